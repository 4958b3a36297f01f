"""One training from a recipe: `train` for a single run, `Trainer` to make many with one set-up.

Notable: a trick that is off does no work on the device; learning rates are a table; the loop waits for the device
once an epoch, off the clock, or not at all (`Trainer.race`); all randomness comes from generators seeded for the run,
so that runs do not influence each other.
"""

import copy
import itertools
import math
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airbench_core.augmentation import Augmentation, normalize, plan
from airbench_core.datasets import Dataset
from airbench_core.devices import Clock, Runtime, compile_errors
from airbench_core.errors import AirbenchError, AirbenchWarning, Diverged
from airbench_core.evaluation import TTA_WEIGHTS, accuracy, combine, tta_views, view_logits
from airbench_core.fast.cpu import plain_
from airbench_core.fast.whole_step import CudaGraphs, NotRecorded, Record, WholeStep
from airbench_core.learner import Learner, Parts, Proxy
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale, scale_named


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What is known after an epoch. `accuracy` is on the test images without TTA, None where nobody watches."""

    epoch: int  # counted from 1
    epochs: float  # done so far, of floor(images / batch_size) steps each; the last may be a fraction
    train_loss: float  # mean over the epoch's images
    accuracy: float | None
    seconds: float  # on the run's clock


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult:
    """A finished run. `recipe` is `asked`, scaled; `seconds` follows the speedrun's rule and includes the final TTA."""

    asked: Recipe
    recipe: Recipe
    parts: tuple[str, ...]  # names of those that were somebody's own: `Parts.replaced`
    scale: str
    seed: int
    runtime: Runtime
    data_name: str
    data_digest: str
    accuracy: float  # at the recipe's level of TTA
    accuracies: dict[str, float]  # at that level and those below it
    predictions: dict[str, Tensor]  # the class of each test image, (N,) at each of these levels
    seconds: float
    epochs: tuple[EpochRecord, ...]
    started: float  # seconds since 1970
    graphs: bool  # whether steps were replayed as CUDA graphs
    network: nn.Module  # a copy, through PyTorch's own functions

    def __repr__(self) -> str:
        return (
            f"<run: accuracy {self.accuracy:.4f} in {self.seconds:.1f} s; seed {self.seed}, scale {self.scale}, "
            f"{self.data_name}>"
        )


class Stopped(AirbenchError):
    """The run was asked to stop. `epochs` holds the records of the complete epochs: if watched, those evaluated too."""

    def __init__(self, epochs: tuple[EpochRecord, ...]):
        super().__init__(f"stopped after {len(epochs)} complete epoch(s)")
        self.epochs = epochs


Observer = Callable[[EpochRecord], None]
GoOn = Callable[[], None]  # called between pieces of work; raises `Stopped` when there is to be no more


@dataclass(frozen=True)
class _Epoch:
    steps: int  # done so far
    loss: Tensor  # mean over the epoch's images, still on the device
    seconds: Callable[[], float]  # on the run's clock; may wait for the device


def train(
    recipe: Recipe,
    data: Dataset,
    *,
    seed: int = 0,
    scale: str | Scale = "full",
    runtime: Runtime | None = None,
    parts: Parts | None = None,
    observer: Observer | None = None,
    stop: threading.Event | None = None,
) -> RunResult:
    """Train `recipe` on `data` once.

    runtime: default `Runtime.detect()`. observer: called with an `EpochRecord` after each epoch, off the clock.
    stop: checked before each step and each batch of inference. Raises `Stopped`, `Diverged` (the loss is not finite)
    or UsageError.
    """
    return Trainer(recipe, data, scale=scale, runtime=runtime, parts=parts).run(seed, observer=observer, stop=stop)


class Trainer:
    """Everything that runs of one recipe share: networks, compiled functions, images on the device."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        *,
        scale: str | Scale = "full",
        runtime: Runtime | None = None,
        parts: Parts | None = None,
        clock: Callable[[], Clock] | None = None,
        record: Record | None = None,
    ):
        self.scale = scale_named(scale) if isinstance(scale, str) else scale
        self.asked, self.recipe = recipe, self.scale.recipe(recipe)
        self.runtime = runtime or Runtime.detect()
        self.parts = parts or Parts()
        self.clock = clock or self.runtime.clock
        self.data = self.scale.data(data).to(self.runtime.device)
        self.images = len(self.data.train_images)
        self.steps_per_epoch = self.recipe.steps_per_epoch(self.images)
        _warn_of_mirrors(self.recipe, self.data)
        shared = self.recipe, self.data, self.runtime, self.parts
        self.main = Learner(*shared)
        self.steps = self.main.steps
        self.proxy = None if self.recipe.proxy_keep is None else Proxy(*shared)
        self.learners = [learner for learner in (self.main, self.proxy) if learner is not None]
        self.batch_size = self.recipe.proxy_keep or self.recipe.batch_size  # images that the main network learns from
        self.network = self.main.network
        if record is None and self.runtime.compile and self.runtime.device.type == "cuda":
            record = CudaGraphs(self.runtime.device)
        self.whole = {learner: WholeStep(learner, record) for learner in self.learners} if record else {}
        self.warm = self.runtime.device.type == "cpu" and not self.runtime.compile and not self.whole
        self.race = self.runtime.device.type != "cpu"  # unobserved runs do not wait for the device between epochs
        self.steps_done = 0  # of the run in progress; a progress bar reads it from another thread

    def run(self, seed: int = 0, *, observer: Observer | None = None, stop: threading.Event | None = None) -> RunResult:
        """Train from scratch with `seed`; see `train`. The first run compiles, before the clock starts.

        Without an observer a GPU is never waited for: what is known of the epochs is read when all is done.
        """
        started = time.time()
        with self.runtime.active():
            self.warm_up()
            self.reset(seed)
            clock = self.clock()
            race = self.race and observer is None
            unread: list[_Epoch] = []  # of a race: all
            records: list[EpochRecord] = []

            def go_on() -> None:
                if stop is not None and stop.is_set():
                    raise Stopped(())

            def record_the_rest() -> None:
                for epoch in unread:
                    records.append(self._record(len(records) + 1, epoch))

            try:
                for epoch in self._epochs(clock, seed, go_on):
                    if race:
                        unread.append(epoch)
                    else:
                        records.append(self._record(len(records) + 1, epoch, observer is not None, go_on))
                    if observer is not None:
                        observer(records[-1])
                with clock:
                    logits, weights = self.logits(self.recipe.tta, go_on)
                    final = combine(logits, weights)
            except Stopped:
                record_the_rest()
                raise Stopped(tuple(records)) from None
            at_levels = self._at_levels(logits, final)
            record_the_rest()
            return RunResult(
                asked=self.asked,
                recipe=self.recipe,
                parts=self.parts.replaced,
                scale=self.scale.name,
                seed=seed,
                runtime=self.runtime,
                data_name=self.data.name,
                data_digest=self.data.digest,
                accuracy=accuracy(final, self.data.test_labels),
                accuracies={tta: accuracy(of, self.data.test_labels) for tta, of in at_levels.items()},
                predictions={tta: of.argmax(1).cpu() for tta, of in at_levels.items()},
                seconds=clock.seconds,
                epochs=tuple(records),
                started=started,
                graphs=bool(self.whole),
                network=plain_(copy.deepcopy(self.network)),
            )

    def reset(self, seed: int) -> None:
        """New weights for a run with `seed`."""
        self.steps_done = 0
        for learner in self.learners:
            learner.reset(seed)

    def batches(self, seed: int) -> tuple[Augmentation, Iterator[Tensor]]:
        """The training images as the network sees them, and the rows of each step's batch; random by `seed` alone.

        To be called after `reset` and `begin`: with a proxy, to ask for a batch is to train the proxy on it.
        """
        data, generator = self.data, torch.Generator(self.runtime.device).manual_seed(seed)
        normalized = normalize(data.train_images, data.mean, data.std, self.runtime.dtype)
        augmentation = Augmentation(normalized, self.recipe, generator, self.parts.flip)
        rows = plan(augmentation)
        if self.proxy is not None:
            rows = self._chosen(rows, self.stepper(self.proxy, augmentation))
        return augmentation, rows

    def stepper(self, learner: Learner, augmentation: Augmentation) -> Callable[[Tensor, int], Tensor]:
        """A function that takes step number `step` on the batch of some rows: step(rows, step)."""
        if learner in self.whole:
            self.whole[learner].begin(augmentation)
            return self.whole[learner].step
        labels = self.data.train_labels
        return lambda rows, step: learner.step(augmentation.batch(rows), labels[rows[:, 0]], step)

    def _chosen(self, rows: Iterator[Tensor], choose: Callable[[Tensor, int], Tensor]) -> Iterator[Tensor]:
        """The rows of each batch that the proxy keeps: (proxy_keep, 6) of (batch_size, 6)."""
        steps = itertools.cycle(range(self.steps))  # a training needs one round; to measure its speed may take more
        for step, some in zip(steps, rows, strict=False):
            yield some[choose(some, step)]

    def begin(self) -> None:
        """What the clock counts before the first step."""
        for learner in self.learners:
            learner.begin()

    def _epochs(self, clock: Clock, seed: int, go_on: GoOn) -> Iterator[_Epoch]:
        """Train, giving what is to be known after each epoch, outside the clock."""
        with clock:
            self.begin()
            augmentation, batches = self.batches(seed)
            step_on = self.stepper(self.main, augmentation)
        for first in range(0, self.steps, self.steps_per_epoch):
            with clock:
                self.network.train()
                total = torch.zeros((), device=self.runtime.device)
                steps = range(first, min(first + self.steps_per_epoch, self.steps))
                for step in steps:
                    go_on()
                    total += step_on(next(batches), step)
                    self.steps_done = step + 1
            yield _Epoch(self.steps_done, total / (len(steps) * self.batch_size), clock.lap())

    def _record(self, number: int, epoch: _Epoch, watched: bool = False, go_on: GoOn = lambda: None) -> EpochRecord:
        train_loss = epoch.loss.item()
        if not math.isfinite(train_loss):
            rates = {"sgd": ("lr", "bias_scale"), "torch-sgd": ("lr",), "muon": ("lr", "bias_lr", "head_lr")}
            these = " or ".join(f"{name}={getattr(self.recipe, name):g}" for name in rates[self.recipe.optimizer])
            raise Diverged(f"the training loss is {train_loss} after epoch {number}: the run diverged; lower {these}")
        test_accuracy = None
        if watched:
            logits, weights = self.logits("none", go_on)
            test_accuracy = accuracy(combine(logits, weights), self.data.test_labels)
        return EpochRecord(
            epoch=number,
            epochs=epoch.steps / self.steps_per_epoch,
            train_loss=train_loss,
            accuracy=test_accuracy,
            seconds=epoch.seconds(),
        )

    def logits(self, tta: str, go_on: GoOn = lambda: None) -> tuple[Tensor, tuple[float, ...]]:
        """The logits of the test images' views at level `tta`, and the views' weights: see `view_logits`."""
        self.network.eval()
        return view_logits(self.main.forward, self.data, tta, self.runtime, self.parts.tta_views, go_on)

    def _at_levels(self, logits: Tensor, final: Tensor) -> dict[str, Tensor]:
        """Logits (N, classes) at the recipe's level of TTA and at those below it, whose views are among `logits`'."""
        at_levels = {self.recipe.tta: final}
        if self.parts.tta_views is tta_views:
            below = list(TTA_WEIGHTS)[: list(TTA_WEIGHTS).index(self.recipe.tta)]
            at_levels |= {tta: combine(logits, TTA_WEIGHTS[tta]) for tta in below}
        return at_levels

    def warm_up(self) -> None:
        """Compile and touch what a run uses, once; weights are drawn anew afterwards. Nothing to do on a plain CPU."""
        if not self.warm:
            with compile_errors():
                try:
                    self._touch_everything()
                except NotRecorded as error:
                    warnings.warn(f"{error}: compiled steps run one by one, more slowly", AirbenchWarning, stacklevel=3)
                    self.whole = {}
                    self._touch_everything()
            self.warm = True

    def _touch_everything(self) -> None:
        self.reset(0)
        self.begin()
        augmentation, batches = self.batches(seed=0)
        step_on = self.stepper(self.main, augmentation)
        self.network.train()
        freeze = self.main.freeze_step
        # Steps before and after the freeze; six, so that a proxy looks and learns. What they teach is forgotten.
        for first in (0, 0 if freeze is None else min(freeze, self.steps - 1)):
            for _ in range(3):
                step_on(next(batches), first)
        self.logits(self.recipe.tta)


def _warn_of_mirrors(recipe: Recipe, data: Dataset) -> None:
    mirrors = [f"{name}={value}" for name in ("flip", "tta") if (value := getattr(recipe, name)) != "none"]
    if data.mirror_changes_class and mirrors:
        warnings.warn(
            f"{' and '.join(mirrors)} on {data.name}, where a mirrored picture may show something else: "
            "set flip and tta to none",
            AirbenchWarning,
            stacklevel=3,
        )
