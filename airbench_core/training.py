"""One training from a recipe: `train` for a single run, `Trainer` to make many with one set-up.

Notable: every decision about a trick is taken while the run is built, none in the step loop; learning rates are a
table; the loop waits for the device once an epoch, off the clock; all randomness comes from generators seeded for
the run, so that runs do not influence each other.
"""

import copy
import math
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.augmentation import Augmentation, flip_mask, normalize
from airbench_core.datasets import Dataset
from airbench_core.devices import Clock, Runtime, compile_errors, compiled
from airbench_core.errors import AirbenchError, Diverged
from airbench_core.evaluation import TTA_WEIGHTS, accuracy, combine, tta_views, view_logits
from airbench_core.network import WHITENING_IMAGES, Network, identity_init_, whitening_filters
from airbench_core.optimizers import Lookahead, lookahead_update_, lr_factors, make_optimizer
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale, scale_named


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The functions that the lessons teach. Your own in place of one, with the same arguments, is what trains."""

    whiten: Callable = whitening_filters
    identity_init: Callable = identity_init_
    flip: Callable = flip_mask
    lookahead: Callable = lookahead_update_
    tta_views: Callable = tta_views


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What is known after an epoch. `accuracy` is on the test images without TTA, None where nobody watches."""

    epoch: int  # counted from 1
    epochs: float  # passes over the training images so far; the last epoch may be a fraction
    train_loss: float  # mean over the epoch's images
    accuracy: float | None
    seconds: float  # on the run's clock


@dataclass(frozen=True, kw_only=True)
class RunResult:
    """A finished run. `recipe` is the scaled one; `seconds` follows the speedrun's rule and includes the final TTA."""

    recipe: Recipe
    scale: str
    seed: int
    runtime: Runtime
    data_name: str
    data_digest: str
    accuracy: float  # at the recipe's level of TTA
    accuracies: dict[str, float]  # at that level and those below it
    seconds: float
    epochs: tuple[EpochRecord, ...]
    started: float  # seconds since 1970
    network: Network = field(repr=False)


class Stopped(AirbenchError):
    """The run was asked to stop. `epochs` holds the records of the complete epochs."""

    def __init__(self, epochs: tuple[EpochRecord, ...]):
        super().__init__(f"stopped after {len(epochs)} complete epoch(s)")
        self.epochs = epochs


Observer = Callable[[EpochRecord], None]


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
    stop: checked before each step. Raises `Stopped`, `Diverged` (the loss is not finite) or UsageError.
    """
    return Trainer(recipe, data, scale=scale, runtime=runtime, parts=parts).run(seed, observer=observer, stop=stop)


class Trainer:
    """Everything that runs of one recipe share: network, compiled functions, images on the device."""

    def __init__(
        self,
        recipe: Recipe,
        data: Dataset,
        *,
        scale: str | Scale = "full",
        runtime: Runtime | None = None,
        parts: Parts | None = None,
        clock: Callable[..., Clock] = Clock,
    ):
        self.scale = scale_named(scale) if isinstance(scale, str) else scale
        self.recipe = self.scale.recipe(recipe)
        self.runtime = runtime or Runtime.detect()
        self.parts = parts or Parts()
        self.clock = clock
        self.data = self.scale.data(data).to(self.runtime.device)
        self.images = len(self.data.train_images)
        self.steps_per_epoch = self.recipe.steps_per_epoch(self.images)
        self.steps = self.recipe.steps(self.images)
        self.network = Network(self.recipe, len(data.classes)).to(
            device=self.runtime.device, memory_format=torch.channels_last
        )
        for module in self.network.modules():
            if not isinstance(module, torch.nn.BatchNorm2d):
                for parameter in module.parameters(recurse=False):
                    parameter.data = parameter.data.to(self.runtime.weights_dtype)
        self.loss, self.forward = self._loss, self._forward
        if self.runtime.compile:
            self.loss, self.forward = compiled(self._loss), compiled(self._forward)
        self.warm = self.runtime.device.type == "cpu" and not self.runtime.compile
        self.steps_done = 0  # of the run in progress; a progress bar reads it from another thread

    def run(self, seed: int = 0, *, observer: Observer | None = None, stop: threading.Event | None = None) -> RunResult:
        """Train from scratch with `seed`; see `train`. The first run compiles, before the clock starts."""
        started = time.time()
        with self.runtime.active():
            self.warm_up()
            self.reset(seed)
            clock = self.clock(self.runtime.synchronize)
            records: list[EpochRecord] = []
            try:
                for done, loss in self._epochs(clock, seed, stop):
                    record = self._record(len(records) + 1, done, loss, clock.seconds, watched=observer is not None)
                    records.append(record)
                    if observer is not None:
                        observer(record)
            except Stopped:
                raise Stopped(tuple(records)) from None
            with clock:
                logits, weights = self.logits(self.recipe.tta)
                final = combine(logits, weights)
            return RunResult(
                recipe=self.recipe,
                scale=self.scale.name,
                seed=seed,
                runtime=self.runtime,
                data_name=self.data.name,
                data_digest=self.data.digest,
                accuracy=accuracy(final, self.data.test_labels),
                accuracies=self._accuracies(logits, final),
                seconds=clock.seconds,
                epochs=tuple(records),
                started=started,
                network=copy.deepcopy(self.network),
            )

    def reset(self, seed: int) -> None:
        """New weights and a new optimizer, in place: compiled functions keep their tensors."""
        self.network.reset(torch.Generator().manual_seed(seed))
        self.network.zero_grad()
        if self.recipe.identity_init:
            for convolution in self.network.convolutions():
                self.parts.identity_init(convolution.weight.data)
        if self.network.first.bias is not None:
            self.network.first.bias.requires_grad_(True)
        self.steps_done = 0
        self.optimizer = make_optimizer(self.network, self.recipe)
        self.base_lrs = [group["lr"] for group in self.optimizer.param_groups]

    def augmentation(self, images: Tensor, seed: int) -> Augmentation:
        """uint8 `images` (N, 3, H, W) as the network sees them; what is random comes from `seed` alone."""
        generator = torch.Generator(self.runtime.device).manual_seed(seed)
        normalized = normalize(images, self.data.mean, self.data.std, self.runtime.dtype)
        return Augmentation(normalized, self.recipe, generator, self.parts.flip)

    def _epochs(self, clock: Clock, seed: int, stop: threading.Event | None) -> Iterator[tuple[int, Tensor]]:
        """Train, giving (steps done, mean loss of the epoch on the device) after each epoch, outside the clock."""
        recipe, data = self.recipe, self.data
        with clock:
            if recipe.whiten:
                some = normalize(data.train_images[:WHITENING_IMAGES], data.mean, data.std, torch.float32)
                self.network.first.weight.data.copy_(self.parts.whiten(some, recipe.whiten_eps))
            augmentation = self.augmentation(data.train_images, seed)
            lookahead = Lookahead(self.network, self.steps, self.parts.lookahead) if recipe.lookahead else None
            factors = lr_factors(recipe, self.steps)
            freeze_at = recipe.freeze_step(self.images)
        for epoch, first in enumerate(range(0, self.steps, self.steps_per_epoch)):
            with clock:
                self.network.train()
                order = augmentation.draw(epoch)
                total = torch.zeros((), device=self.runtime.device)
                steps = range(first, min(first + self.steps_per_epoch, self.steps))
                for step, which in zip(steps, order.split(recipe.batch_size), strict=False):
                    if stop is not None and stop.is_set():
                        raise Stopped(())
                    if step == freeze_at:
                        self.network.first.bias.requires_grad_(False)
                    total += self.step(augmentation.batch(which), data.train_labels[which], factors[step])
                    self.steps_done = step + 1
                    if lookahead is not None:
                        lookahead.after_step(step + 1)
                if lookahead is not None and self.steps_done == self.steps:
                    lookahead.finish()
            yield self.steps_done, total / (len(steps) * recipe.batch_size)

    def step(self, images: Tensor, labels: Tensor, lr_factor: float) -> Tensor:
        """One step of SGD on (B, 3, H, W) and (B,); gives the summed loss, detached, on the device."""
        for group, lr in zip(self.optimizer.param_groups, self.base_lrs, strict=True):
            group["lr"] = lr * lr_factor
        loss = self.loss(images, labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad()
        return loss.detach()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.network(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction="sum")

    def _forward(self, images: Tensor) -> Tensor:
        return self.network(images)

    def _record(self, epoch: int, steps: int, loss: Tensor, seconds: float, watched: bool) -> EpochRecord:
        train_loss = loss.item()
        if not math.isfinite(train_loss):
            raise Diverged(
                f"the training loss is {train_loss} after epoch {epoch}: the run diverged; try a lower lr "
                f"(lr={self.recipe.lr:g}) or bias_scale (bias_scale={self.recipe.bias_scale:g})"
            )
        test_accuracy = None
        if watched:
            logits, weights = self.logits("none")
            test_accuracy = accuracy(combine(logits, weights), self.data.test_labels)
        return EpochRecord(
            epoch=epoch,
            epochs=steps / self.steps_per_epoch,
            train_loss=train_loss,
            accuracy=test_accuracy,
            seconds=seconds,
        )

    def logits(self, tta: str) -> tuple[Tensor, tuple[float, ...]]:
        self.network.eval()
        return view_logits(self.forward, self.data, tta, self.runtime, self.parts.tta_views)

    def _accuracies(self, logits: Tensor, final: Tensor) -> dict[str, float]:
        """Accuracy at the recipe's level of TTA and at those below it, whose views are among those computed."""
        labels = self.data.test_labels
        accuracies = {self.recipe.tta: accuracy(final, labels)}
        if self.parts.tta_views is tta_views:
            below = list(TTA_WEIGHTS)[: list(TTA_WEIGHTS).index(self.recipe.tta)]
            accuracies |= {tta: accuracy(combine(logits, TTA_WEIGHTS[tta]), labels) for tta in below}
        return accuracies

    def warm_up(self) -> None:
        """Compile and touch what a run uses, once; weights are drawn anew afterwards. Nothing to do on a plain CPU."""
        if not self.warm:
            with compile_errors():
                self._touch_everything()
            self.warm = True

    def _touch_everything(self) -> None:
        self.reset(0)
        b, device = self.recipe.batch_size, self.runtime.device
        augmentation = self.augmentation(self.data.train_images[:b], seed=0)
        which = augmentation.draw(0)
        labels = torch.arange(b, device=device) % len(self.data.classes)
        self.network.train()
        for frozen in (False,) if self.recipe.freeze_step(self.images) is None else (False, True):
            if frozen:
                self.network.first.bias.requires_grad_(False)
            for _ in range(3):
                self.step(augmentation.batch(which), labels, lr_factor=0.0)
        self.logits(self.recipe.tta)
