"""One training from a recipe: `train` for a single run, `Trainer` to make many with one set-up.

`Trainer.step_through` is the whole training, read from top to bottom. Notable: a trick that is off does no work on the
device; learning rates are a table; the loop waits for the device once an epoch, off the clock, or not at all
(`Trainer.race`); all randomness comes from generators seeded for the run, so that runs do not influence each other.
"""

import copy
import time
import warnings
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from threading import Event

import torch
from torch import Tensor

from airbench_core.augmentation import Augmentation, normalize, plan
from airbench_core.dataset import Dataset
from airbench_core.devices import Runtime
from airbench_core.errors import AirbenchWarning, DataError, Diverged, UsageError
from airbench_core.evaluation import Logits, accuracy, exhaust, infer
from airbench_core.fast import lookahead as fast
from airbench_core.fast.cpu import plain_
from airbench_core.fast.whole_step import CudaGraphs, NotRecorded, Record
from airbench_core.fields import SEEDS, whole
from airbench_core.learner import Learner
from airbench_core.models import Model
from airbench_core.published import recipe_named
from airbench_core.recipes import Recipe
from airbench_core.results import EpochRecord, RunResult, Stopped
from airbench_core.scales import Scale, scale_named
from airbench_core.tricks import Parts
from airbench_core.tricks.compiled import compile_errors
from airbench_core.tricks.lookahead import Lookahead, lookahead_update_
from airbench_core.tricks.proxy import Proxy
from airbench_core.tricks.tta import TTA_WEIGHTS, combine, tta_views
from airbench_core.tricks.whitening import WHITENING_IMAGES

Observer = Callable[[EpochRecord], None]
Seeds = Mapping[str, int]
AS_ONE: Seeds = {}  # nothing has a seed of its own


def train(
    recipe: Recipe | str,
    data: Dataset,
    *,
    seed: int = 0,
    seeds: Seeds = AS_ONE,
    scale: str | Scale = "full",
    runtime: Runtime | None = None,
    parts: Parts | None = None,
    observer: Observer | None = None,
    stop: Event | None = None,
) -> RunResult:
    """Train `recipe`, or the published one of that name, on `data` once.

    seeds: such as {"order": 1}, what has a seed of its own: the weights ("init"), the images' order, their
    augmentation. runtime: default `Runtime.detect()`. observer: called with an `EpochRecord` after each epoch, off the
    clock; one that raises StopIteration ends the run. stop: checked before each step and each batch of inference.
    Raises `Stopped`, `Diverged` (a loss or the outputs are not finite), UsageError or DataError. Nothing depends on
    PyTorch's generators, nor on its global settings but the precision of float32 products; none is changed.
    """
    trainer = Trainer(recipe, data, scale=scale, runtime=runtime, parts=parts)
    return trainer.run(seed, seeds=seeds, observer=observer, stop=stop)


class Trainer:
    """Everything that runs of one recipe share: networks, compiled functions, images on the device."""

    def __init__(
        self,
        recipe: Recipe | str,
        data: Dataset,
        *,
        scale: str | Scale = "full",
        runtime: Runtime | None = None,
        parts: Parts | None = None,
        record: Record | None = None,
    ):
        self.scale = scale if isinstance(scale, Scale) else scale_named(scale)
        self.asked = recipe_named(recipe)
        self.recipe = self.scale.recipe(self.asked)
        self.runtime = runtime or Runtime.detect()
        if not isinstance(parts := parts or Parts(), Parts):
            raise UsageError(f"parts: a {type(parts).__name__} is not legal: Parts(name=function)")
        self.parts = parts.checked()
        if parts.network and (self.recipe.whiten or self.recipe.identity_init):
            raise UsageError("whiten and identity_init are made for the airbench network: set both to False for yours")
        self.clock = self.runtime.clock
        with self.runtime.active(random=bool(self.parts.replaced)):
            self._set_up(data, record)

    def _set_up(self, data: Dataset, record: Record | None) -> None:
        device = self.runtime.device
        if not isinstance(data, Dataset):
            raise UsageError(f"data: a {type(data).__name__} is not legal: airbench_lab.data.load_dataset gives one")
        self.data = self.scale.data(data).to(device)
        self.images = len(self.data.train_images)
        self.steps_per_epoch = self.recipe.steps_per_epoch(self.images)
        _warn_of_mirrors(self.recipe, self.data)
        self.warm = device.type == "cpu" and not self.runtime.compile and record is None
        if not self.warm:  # its labels are exchanged meanwhile: see `warm_up`
            self.data = replace(self.data, train_labels=self.data.train_labels.clone())
        if record is None and self.runtime.compile and device.type == "cuda":
            record = CudaGraphs(device)

        common = self.data, self.runtime, self.parts, record
        self.learner = Learner(self.recipe, *common)
        self.learners, self.proxy = [self.learner], None
        if self.recipe.proxy_keep is not None:
            self.learners.append(Learner(self.recipe.proxy(), *common))
            self.proxy = Proxy(self.learners[1], self.recipe.proxy_keep, self.recipe.proxy_every)
        self.network, self.steps = self.learner.network, self.learner.steps
        self.batch_size = self.recipe.proxy_keep or self.recipe.batch_size  # images that the network learns from
        update = self.parts.lookahead
        if update is lookahead_update_ and device.type != "cpu":
            update = fast.lookahead_update_
        self.lookahead = Lookahead(self.network, self.steps, update) if self.recipe.lookahead else None
        self.race = device.type != "cpu"  # unobserved runs never wait: epochs are read when all is done
        self.steps_done = 0  # of the run in progress; a progress bar reads it from another thread
        self.loss_sum: Tensor | None = None  # over the images of the epoch in progress; on the device

    def step_through(
        self,
        seed: int = 0,
        *,
        seeds: Seeds = AS_ONE,
        clock: AbstractContextManager | None = None,
        after_epoch: Callable[[Tensor], object] = lambda loss: None,
        epochs: Iterable[Iterable[int]] | None = None,
    ) -> Generator[int | None, None, tuple[Tensor, Tensor]]:
        """One training; returns the test images' logits: of each view, and their weighted mean.

        Yields before each step its number, and None before each batch of inference: after one
        `next` the network is ready to learn. clock: what the speedrun counts runs inside.
        after_epoch: called outside it with the mean loss. epochs: the steps of each.
        """
        recipe, parts, data, network = self.recipe, self.parts, self.data, self.network
        clock, learner, lookahead = clock or nullcontext(), self.learner, self.lookahead
        if recipe.whiten:
            network.first.bias.requires_grad_(True)  # the run before may have frozen it
        for one in self.learners:  # the network's and, where it has a proxy, that one's
            one.reset(seeds.get("init", seed))  # random weights, no momentum
            if recipe.identity_init:
                for convolution in one.network.convolutions():
                    parts.identity_init(convolution.weight.data)  # tricks/identity_init.py
        with clock:
            if recipe.whiten:
                some = data.train_images[:WHITENING_IMAGES]
                some = normalize(some, data.mean, data.std, torch.float32)
                filters = parts.whiten(some, recipe.whiten_eps)  # tricks/whitening.py
                for one in self.learners:
                    one.network.first.weight.data.copy_(filters)
            if lookahead is not None:
                lookahead.init()  # slow weights: those of now, tricks/lookahead.py
            # In each epoch anew: the order, flips (tricks/flip.py) and crops of the images.
            augmentation, batches = self.batches(seed, seeds)
            if self.proxy is not None:
                batches = self.proxy.hardest(batches, augmentation)  # tricks/proxy.py

            def descend(rows: Tensor, bias_trains: bool) -> Tensor:
                images = augmentation.batch(rows)  # (B, 3, H, W)
                labels = data.train_labels[rows[:, 0]]  # (B,)
                if recipe.whiten:
                    network.first.bias.requires_grad_(bias_trains)
                loss = learner.loss(images, labels)  # forward: network.py
                loss.backward()
                for optimizer in learner.optimizers:  # optimizers.py, tricks/muon.py
                    optimizer.step()
                    optimizer.zero_grad()
                return loss.detach()

            # As they are or, compiled for a GPU, replayed: fast/whole_step.py.
            learning_rates, step_on = learner.recorded(descend, augmentation)
            freeze = learner.freeze_step
        for steps in self.epochs() if epochs is None else epochs:
            with clock:
                network.train()
                self.loss_sum = data.train_labels.new_zeros((), dtype=torch.float32)
                total, trained = self.loss_sum, 0
                for step in steps:
                    yield step
                    for group, rates in learning_rates:
                        group["lr"] = rates[step]  # tricks/schedule.py, tricks/bias_scale.py
                    total += step_on(next(batches), freeze is None or step < freeze)
                    if lookahead is not None:
                        lookahead.after_step(step + 1)
                    self.steps_done, trained = step + 1, trained + self.batch_size
            after_epoch(total / trained)
        with clock:
            logits, weights = yield from self.infer(recipe.tta)  # evaluation.py, tricks/tta.py
            return logits, combine(logits, weights)

    def epochs(self) -> Iterator[range]:
        """The numbers of the steps of each epoch; the last may be a part of one."""
        for first in range(0, self.steps, self.steps_per_epoch):
            yield range(first, min(first + self.steps_per_epoch, self.steps))

    def batches(self, seed: int, seeds: Seeds = AS_ONE) -> tuple[Augmentation, Iterator[Tensor]]:
        """The training images as the network sees them, and the rows (batch_size, 6) of one batch after the other."""
        data, parts = self.data, self.parts

        def generator(part: str) -> torch.Generator:
            return torch.Generator(self.runtime.device).manual_seed(seeds.get(part, seed))

        apart = generator("order") if seeds.keys() & {"order", "augment"} else None  # else all comes from one
        normalized = normalize(data.train_images, data.mean, data.std, self.runtime.dtype)
        augmentation = Augmentation(normalized, self.recipe, generator("augment"), parts.flip, parts.augment, apart)
        return augmentation, plan(augmentation)

    def infer(self, tta: str) -> Generator[None, None, Logits]:
        """The logits of the test images' views at level `tta`; yields before each batch."""
        self.network.eval()
        return (yield from infer(self.learner.forward, self.data, tta, self.runtime, self.parts.tta_views))

    def run(self, seed: int = 0, *, seeds: Seeds = AS_ONE, observer: Observer | None = None, stop: Event | None = None):
        """Train from scratch with `seed`; see `train`. The first run compiles, before the clock starts."""
        started, seed, own = time.time(), whole("seed", seed, 0, SEEDS - 1), self.parts.replaced
        if unknown := seeds.keys() - {"init", "order", "augment"}:
            raise UsageError(f"seeds={dict(seeds)} is not legal: {unknown.pop()!r} is none of init, order, augment")
        seeds = {name: whole(f"seeds[{name!r}]", of, 0, SEEDS - 1) for name, of in seeds.items()}

        def check() -> None:
            if stop is not None and stop.is_set():
                raise Stopped(())

        with self.runtime.active(random=bool(own)):
            self.warm_up(check)
            if own:  # dropout and the like in a network of one's own
                torch.default_generator.manual_seed(seed)
            if own and self.runtime.device.type == "cuda":
                torch.cuda.manual_seed(seed)
            self.steps_done, clock = 0, self.clock()
            records: list[EpochRecord] = []
            unread: list[tuple[int, Tensor, Callable[[], float]]] = []  # of epochs: steps done, loss, seconds

            def after_epoch(loss: Tensor) -> None:
                unread.append((self.steps_done, loss, clock.lap()))
                if observer is not None or not self.race:
                    read()
                if observer is not None:
                    try:
                        observer(records[-1])
                    except StopIteration:  # inside a generator it would be an error of ours
                        raise Stopped(()) from None

            def read() -> None:
                while unread:
                    records.append(self._record(len(records) + 1, *unread.pop(0), observer is not None, check))

            try:
                training = self.step_through(seed, seeds=seeds, clock=clock, after_epoch=after_epoch)
                logits, final = exhaust(training, check)
            except Stopped:
                read()
                raise Stopped(tuple(records), self._model()) from None
            read()
            self._check_finite(final, "the network's outputs are not all finite")
            at_levels = {self.recipe.tta: final}
            if self.parts.tta_views is tta_views:  # the views of the levels below are among those of this one
                below = list(TTA_WEIGHTS)[: list(TTA_WEIGHTS).index(self.recipe.tta)]
                at_levels |= {tta: combine(logits, TTA_WEIGHTS[tta]) for tta in below}
            return RunResult(
                asked=self.asked,
                recipe=self.recipe,
                parts=own,
                scale=self.scale.name,
                seed=seed,
                seeds=seeds,
                runtime=self.runtime,
                data_name=self.data.name,
                data_digest=self.data.digest,
                accuracy=accuracy(final, self.data.test_labels),
                accuracies={tta: accuracy(of, self.data.test_labels) for tta, of in at_levels.items()},
                predictions={tta: of.argmax(1).cpu() for tta, of in at_levels.items()},
                seconds=clock.seconds,
                epochs=tuple(records),
                started=started,
                graphs=self.learner.graphs is not None,
                model=self._model(),
            )

    def _model(self) -> Model:
        data, network = self.data, plain_(copy.deepcopy(self.network)).eval()
        about = {"classes": data.classes, "mean": data.mean, "std": data.std, "size": data.train_images.shape[-1]}
        return Model(recipe=self.recipe, network=network, views=self.parts.tta_views, **about)

    def _record(
        self, number: int, steps: int, loss: Tensor, seconds: Callable[[], float], watched: bool, check: Callable
    ) -> EpochRecord:
        train_loss = loss.item()  # waits for the device
        self._check_finite(loss, f"the training loss is {train_loss} after epoch {number}")
        test_accuracy = None
        if watched:
            logits, weights = exhaust(self.infer("none"), check)
            test_accuracy = accuracy(combine(logits, weights), self.data.test_labels)
        about = {"epoch": number, "epochs": steps / self.steps_per_epoch, "seconds": seconds()}
        return EpochRecord(**about, train_loss=train_loss, accuracy=test_accuracy)

    def _check_finite(self, values: Tensor, otherwise: str) -> None:
        """Raises `Diverged` with the words `otherwise` and what is to blame, where `values` are not all finite."""
        if values.isfinite().all():
            return
        images = self.data.train_images
        if (images == images[:1]).all():
            raise DataError(f"{otherwise}: the training images of {self.data.name} are all the same, give others")
        rates = {"sgd": ("lr", "bias_scale"), "torch-sgd": ("lr",), "muon": ("lr", "bias_lr", "head_lr")}
        these = " or ".join(f"{name}={getattr(self.asked, name):g}" for name in rates[self.asked.optimizer])
        look = f"look at your own {' and '.join(self.parts.replaced)} first, then " if self.parts.replaced else ""
        raise Diverged(f"{otherwise}: the run diverged; {look}lower {these}")

    def warm_up(self, check: Callable = lambda: None) -> None:
        """Compile and touch what a run uses, once; weights are drawn anew afterwards. Nothing to do on a plain CPU."""
        if self.warm:
            return
        # Steps before the freeze and after; three, so that a proxy looks and learns; on a GPU as many as an epoch's. On
        # random labels, as the speedrun's rule has it, and what they teach is forgotten.
        late = min(self.learner.freeze_step or 0, self.steps - 1)
        many = max(3, self.steps_per_epoch) if self.race else 3
        labels, generator = self.data.train_labels, torch.Generator(self.runtime.device).manual_seed(0)
        true = labels.clone()
        with compile_errors():
            try:
                labels.random_(0, len(self.data.classes), generator=generator)
                exhaust(self.step_through(epochs=[[0] * 3, [late] * many]), check)
            except NotRecorded as error:
                warnings.warn(f"{error}: compiled steps run one by one, more slowly", AirbenchWarning, stacklevel=3)
                for one in self.learners:
                    one.graphs = None
                self.warm_up(check)
            finally:
                labels.copy_(true)
        self.warm = True


def _warn_of_mirrors(recipe: Recipe, data: Dataset) -> None:
    mirrors = [f"{name}={value}" for name in ("flip", "tta") if (value := getattr(recipe, name)) != "none"]
    if data.mirror_changes_class and mirrors:
        where = f"{' and '.join(mirrors)} on {data.name}, where a mirrored picture may show something else"
        warnings.warn(f"{where}: set flip and tta to none", AirbenchWarning, stacklevel=3)
