"""A network that learns step by step: what a training repeats, and the proxy network that chooses images for it."""

from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.augmentation import flip_mask, normalize
from airbench_core.data.datasets import Dataset
from airbench_core.devices import Runtime, compiled
from airbench_core.evaluation import tta_views
from airbench_core.fast.cpu import speed_up_
from airbench_core.fast.lookahead import lookahead_update_ as fast_update_
from airbench_core.network import (
    WHITENING_IMAGES,
    Conv,
    Linear,
    identity_init_,
    make_network,
    whitening_filters,
)
from airbench_core.optimizers import (
    Lookahead,
    learning_rates,
    lookahead_update_,
    lr_factors,
    make_optimizers,
    parameter_groups,
)
from airbench_core.recipes import Recipe
from airbench_core.tricks.muon import newton_schulz


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The functions that the lessons teach. Your own in place of one, with the same arguments, is what trains."""

    whiten: Callable = whitening_filters
    identity_init: Callable = identity_init_
    parameter_groups: Callable = parameter_groups
    flip: Callable = flip_mask
    lr_factors: Callable = lr_factors
    lookahead: Callable = lookahead_update_
    newton_schulz: Callable = newton_schulz
    tta_views: Callable = tta_views

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of those that are your own, sorted."""
        return tuple(sorted(f.name for f in fields(self) if getattr(self, f.name) is not f.default))


class Learner:
    """A network and its optimizers. For each run: `reset`, `begin`, then `step` after step."""

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, parts: Parts):
        self.recipe, self.data, self.parts = recipe, data, parts
        images = len(data.train_images)
        self.steps, self.freeze_step = recipe.steps(images), recipe.freeze_step(images)
        network = make_network(recipe, len(data.classes), data.train_images.shape[-1])
        self.network = network.to(device=runtime.device, memory_format=torch.channels_last)
        for module in self.network.modules():
            if isinstance(module, Conv | Linear):  # BatchNorm stays in float32
                module.to(runtime.weights_dtype)
        self.optimizers = make_optimizers(self.network, recipe, parts.newton_schulz, parts.parameter_groups)
        self.learning_rates = learning_rates(self.optimizers, recipe, self.steps, self.freeze_step, parts.lr_factors)
        on_cpu = runtime.device.type == "cpu"
        update = fast_update_ if parts.lookahead is lookahead_update_ and not on_cpu else parts.lookahead
        self.lookahead = Lookahead(self.network, self.steps, update) if recipe.lookahead else None
        if on_cpu and not runtime.compile:
            speed_up_(self.network, runtime.dtype)
        self.loss = compiled(self._loss) if runtime.compile else self._loss
        self.forward = compiled(self._forward) if runtime.compile else self._forward

    def reset(self, seed: int) -> None:
        """New weights and no momentum.

        In place: compiled functions and recorded graphs keep their tensors.
        """
        self.network.reset(torch.Generator().manual_seed(seed))
        self.network.zero_grad()
        if self.recipe.identity_init:
            for convolution in self.network.convolutions():
                self.parts.identity_init(convolution.weight.data)
        for optimizer in self.optimizers:
            for state in optimizer.state.values():
                # None after a first step that failed.
                if (momentum := state.get("momentum_buffer")) is not None:
                    momentum.zero_()

    def begin(self) -> None:
        """What the clock counts before the first step: the whitening filters, and the slow weights."""
        recipe, data = self.recipe, self.data
        if recipe.whiten:
            some = normalize(data.train_images[:WHITENING_IMAGES], data.mean, data.std, torch.float32)
            self.network.first.weight.data.copy_(self.parts.whiten(some, recipe.whiten_eps))
        if self.lookahead is not None:
            self.lookahead.begin()

    def step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """Step number `step` on images (B, 3, H, W) and labels (B,); gives the summed loss, detached, on the device."""
        for group, rates in self.learning_rates:
            group["lr"] = rates[step]
        result = self.compute(images, labels, self.kind(step))
        self.average(step)
        return result

    def kind(self, step: int) -> bool:
        """Which of two kinds a step is of: here, whether the whitening bias trains in it."""
        return self.freeze_step is None or step < self.freeze_step

    def compute(self, images: Tensor, labels: Tensor, kind: bool) -> Tensor:
        """What a step of that kind does on the device, with the learning rates as they are set; see `step`."""
        self._train_whitening_bias(kind)
        return self._descend(self.loss(images, labels))

    def average(self, step: int) -> None:
        """What Lookahead does after step number `step`."""
        if self.lookahead is not None:
            self.lookahead.after_step(step + 1)
            if step + 1 == self.steps:
                self.lookahead.finish()

    def _train_whitening_bias(self, on: bool) -> None:
        if self.recipe.whiten:
            self.network.first.bias.requires_grad_(on)

    def _descend(self, loss: Tensor) -> Tensor:
        loss.backward()
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        return loss.detach()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.network(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction="sum")

    def _forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class Proxy(Learner):
    """A small network that learns beside the main one and chooses the images of each batch that are hard for it.

    It sees each batch whole, in training mode, and learns from every n-th one, from the chosen images alone. The main
    network does not act upon it: to train it first, as the public airbench96_faster does, gives the same images.
    Its `step` gives which images are hardest: int64 (proxy_keep,).
    """

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, parts: Parts):
        super().__init__(recipe.proxy(), data, runtime, parts)
        self.keep, self.every = recipe.proxy_keep, recipe.proxy_every
        self.losses = compiled(self._losses) if runtime.compile else self._losses

    def reset(self, seed: int) -> None:
        """As for any learner, but not from the main network's numbers: its weights would be a slice of that one's."""
        super().reset((seed + 2**31) % 2**63)  # PyTorch's generator for the CPU looks at the low 32 bits only

    def kind(self, step: int) -> bool:
        """Whether it learns from the batch."""
        return step % self.every == 0

    def compute(self, images: Tensor, labels: Tensor, kind: bool) -> Tensor:
        self._train_whitening_bias(False)
        with torch.set_grad_enabled(kind):
            losses = self.losses(images, labels)
        kept = losses.detach().topk(self.keep, sorted=False).indices
        if kind:
            self._descend(losses[kept].sum())
        return kept

    def _losses(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.network(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction="none")
