"""A network that learns step by step: what a training repeats, and the proxy network that chooses images for it."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

import airbench_core.fast.cpu as fast_cpu
from airbench_core.augmentation import Augmentation, flip_mask, normalize
from airbench_core.datasets import Dataset
from airbench_core.devices import Runtime, compiled
from airbench_core.evaluation import tta_views
from airbench_core.muon import newton_schulz
from airbench_core.network import (
    WHITENING_IMAGES,
    Conv,
    Linear,
    identity_init_,
    make_network,
    whitening_filters,
)
from airbench_core.optimizers import Lookahead, learning_rates, lookahead_update_, make_optimizers
from airbench_core.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The functions that the lessons teach. Your own in place of one, with the same arguments, is what trains."""

    whiten: Callable = whitening_filters
    identity_init: Callable = identity_init_
    flip: Callable = flip_mask
    lookahead: Callable = lookahead_update_
    newton_schulz: Callable = newton_schulz
    tta_views: Callable = tta_views


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
        if runtime.device.type == "cpu" and not runtime.compile:
            fast_cpu.speed_up_(self.network)
        self.loss = compiled(self._loss) if runtime.compile else self._loss
        self.forward = compiled(self._forward) if runtime.compile else self._forward

    def reset(self, seed: int) -> None:
        """New weights and new optimizers, in place: compiled functions keep their tensors."""
        self.network.reset(torch.Generator().manual_seed(seed))
        self.network.zero_grad()
        if self.recipe.identity_init:
            for convolution in self.network.convolutions():
                self.parts.identity_init(convolution.weight.data)
        self._train_whitening_bias(True)
        self.optimizers = make_optimizers(self.network, self.recipe, self.parts.newton_schulz)
        self.learning_rates = learning_rates(self.optimizers, self.recipe, self.steps, self.freeze_step)

    def begin(self) -> None:
        """What the clock counts before the first step: the whitening filters, and the slow weights."""
        recipe, data = self.recipe, self.data
        if recipe.whiten:
            some = normalize(data.train_images[:WHITENING_IMAGES], data.mean, data.std, torch.float32)
            self.network.first.weight.data.copy_(self.parts.whiten(some, recipe.whiten_eps))
        self.lookahead = Lookahead(self.network, self.steps, self.parts.lookahead) if recipe.lookahead else None

    def step(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """Step number `step` on images (B, 3, H, W) and labels (B,); gives the summed loss, detached, on the device."""
        self._freeze_before(step)
        loss = self.loss(images, labels)
        self._descend(loss, step)
        return loss.detach()

    def _freeze_before(self, step: int) -> None:
        if step == self.freeze_step:
            self._train_whitening_bias(False)

    def _train_whitening_bias(self, on: bool) -> None:
        if self.recipe.whiten:
            self.network.first.bias.requires_grad_(on)

    def _descend(self, loss: Tensor, step: int) -> None:
        loss.backward()
        for group, rates in self.learning_rates:
            group["lr"] = rates[step]
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad()
        if self.lookahead is not None:
            self.lookahead.after_step(step + 1)
            if step + 1 == self.steps:
                self.lookahead.finish()

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.network(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction="sum")

    def _forward(self, images: Tensor) -> Tensor:
        return self.network(images)


class Proxy(Learner):
    """A small network that learns beside the main one and chooses the images of each batch that are hard for it.

    It sees each batch whole, in training mode, and learns from every n-th one, from the chosen images alone. The main
    network does not act upon it: to train it first, as the public airbench96_faster does, gives the same images.
    """

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, parts: Parts):
        super().__init__(recipe.proxy(), data, runtime, parts)
        self.keep, self.every = recipe.proxy_keep, recipe.proxy_every
        self.losses = compiled(self._losses) if runtime.compile else self._losses

    def reset(self, seed: int) -> None:
        """As for any learner, but not from the main network's numbers: its weights would be a slice of that one's."""
        super().reset((seed + 2**31) % 2**63)  # PyTorch's generator for the CPU looks at the low 32 bits only

    def rewrite(self, plan: Iterator[Tensor], augmentation: Augmentation) -> Iterator[Tensor]:
        """The rows of each batch of `plan` (see augmentation.py) that are kept: (proxy_keep, 6) of (batch_size, 6).

        To go on is to train: the proxy takes its step on a batch when that batch is asked for.
        """
        steps = itertools.cycle(range(self.steps))  # a training needs one round; to measure its speed may take more
        for step, rows in zip(steps, plan, strict=False):
            yield rows[self.choose(augmentation.batch(rows), self.data.train_labels[rows[:, 0]], step)]

    def choose(self, images: Tensor, labels: Tensor, step: int) -> Tensor:
        """Which of the images (B, 3, H, W) are hardest: int64 (proxy_keep,). In every n-th step it learns from them."""
        learns = step % self.every == 0
        self._freeze_before(step)
        with torch.set_grad_enabled(learns):
            losses = self.losses(images, labels)
        kept = losses.detach().topk(self.keep, sorted=False).indices
        if learns:
            self._descend(losses[kept].sum(), step)
        return kept

    def _losses(self, images: Tensor, labels: Tensor) -> Tensor:
        logits = self.network(images)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction="none")
