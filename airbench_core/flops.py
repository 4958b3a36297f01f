"""Floating-point operations of a whole training, counted by torch on the meta device: no number is typed in."""

import math
from contextlib import nullcontext

import torch
from torch.utils.flop_counter import FlopCounterMode

from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.network import make_network
from airbench_core.recipes import Recipe

CIFAR10_TRAIN, CIFAR10_TEST = 50_000, 10_000


class _Counted:
    """A recipe's network without memory, whose passes are counted."""

    def __init__(self, recipe: Recipe):
        self.recipe = recipe
        with torch.device("meta"):
            self.network = make_network(recipe)

    def forward(self, images: int) -> int:
        return self._count(images, backward=False)

    def step(self, images: int, frozen: bool) -> int:
        """Forward and backward; `frozen`: the whitening layer's bias needs no gradient."""
        if self.recipe.whiten:
            self.network.first.bias.requires_grad_(not frozen)
        return self._count(images, backward=True)

    def _count(self, images: int, backward: bool) -> int:
        batch = torch.empty(images, 3, 32, 32, device="meta")
        with FlopCounterMode(display=False) as counter, nullcontext() if backward else torch.no_grad():
            logits = self.network(batch)
            if backward:
                logits.sum().backward()
        return counter.get_total_flops()


def training_flops(recipe: Recipe, train_images: int = CIFAR10_TRAIN, test_images: int = CIFAR10_TEST) -> float:
    """FLOPs of `recipe`: all its steps forward and backward, and the final inference with its TTA views.

    Matrix products and convolutions of the networks count, two operations for a multiply-add; what needs no gradient
    (the input, frozen filters, and everything below a frozen whitening bias) costs no backward pass. The proxy
    network counts too, the optimizer does not (Muon's products are under 1 % of airbench94_muon).
    """
    steps, freeze_at = recipe.steps(train_images), recipe.freeze_step(train_images)
    free = steps if freeze_at is None else min(steps, freeze_at)
    batch = recipe.proxy_keep or recipe.batch_size
    network = _Counted(recipe)
    flops = free * network.step(batch, frozen=False) + (steps - free) * network.step(batch, frozen=True)
    if recipe.proxy_keep is not None:
        proxy, learning = _Counted(recipe.proxy()), math.ceil(steps / recipe.proxy_every)
        flops += learning * proxy.step(recipe.batch_size, frozen=True)
        flops += (steps - learning) * proxy.forward(recipe.batch_size)
    return flops + network.forward(1) * len(TTA_WEIGHTS[recipe.tta]) * test_images


def parameters(recipe: Recipe) -> int:
    """How many numbers the network holds, whitening filters and biases included, BatchNorm's fixed scales not."""
    network = _Counted(recipe).network
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    fixed = {id(m.weight) for m in norms if not m.weight.requires_grad}
    return sum(p.numel() for p in network.parameters() if id(p) not in fixed)
