"""Floating-point operations of a whole training, counted by torch on the meta device: no number is typed in."""

import math
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.network import make_network
from airbench_core.recipes import Recipe

CIFAR10_TRAIN, CIFAR10_TEST = 50_000, 10_000

# The fields that a network's operations follow from: recipes that agree in them are counted once.
NETWORK = ("network", "widths", "depth", "residual", "whiten", "first_norm", "unit_head")
_counted: dict[tuple, "_PerImage"] = {}


class _PerImage(NamedTuple):
    """FLOPs of one image in a network; a step is forward and backward."""

    forward: int
    step: int
    frozen_step: int  # the whitening layer's bias needs no gradient


def _per_image(recipe: Recipe) -> _PerImage:
    key = tuple(getattr(recipe, name) for name in NETWORK)
    if key not in _counted:
        network = _network(recipe)
        forward, step = _count(network, backward=False), _count(network, backward=True)
        if recipe.whiten:
            network.first.bias.requires_grad_(False)
        _counted[key] = _PerImage(forward, step, _count(network, backward=True))
    return _counted[key]


def _network(recipe: Recipe) -> nn.Module:
    """A recipe's network without memory."""
    with torch.device("meta"):
        return make_network(recipe)


def _count(network: nn.Module, backward: bool) -> int:
    images = 2  # BatchNorm refuses a single one
    batch = torch.empty(images, 3, 32, 32, device="meta")
    with FlopCounterMode(display=False) as counter, nullcontext() if backward else torch.no_grad():
        logits = network(batch)
        if backward:
            logits.sum().backward()
    return counter.get_total_flops() // images


def training_flops(recipe: Recipe, train_images: int = CIFAR10_TRAIN, test_images: int = CIFAR10_TEST) -> float:
    """FLOPs of `recipe`: all its steps forward and backward, and the final inference with its TTA views.

    Matrix products and convolutions of the networks count, two operations for a multiply-add; what needs no gradient
    (the input, frozen filters, and everything below a frozen whitening bias) costs no backward pass. The proxy
    network counts too, the optimizer does not (Muon's products are under 1 % of airbench94_muon).
    """
    steps, freeze_at = recipe.steps(train_images), recipe.freeze_step(train_images)
    free = steps if freeze_at is None else min(steps, freeze_at)
    network, batch = _per_image(recipe), recipe.proxy_keep or recipe.batch_size
    flops = batch * (free * network.step + (steps - free) * network.frozen_step)
    if recipe.proxy_keep is not None:
        proxy, learning = _per_image(recipe.proxy()), math.ceil(steps / recipe.proxy_every)
        flops += recipe.batch_size * (learning * proxy.frozen_step + (steps - learning) * proxy.forward)
    return flops + network.forward * len(TTA_WEIGHTS[recipe.tta]) * test_images


def parameters(recipe: Recipe) -> int:
    """How many numbers the network holds, whitening filters and biases included, BatchNorm's fixed scales not."""
    network = _network(recipe)
    norms = [m for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    fixed = {id(m.weight) for m in norms if not m.weight.requires_grad}
    return sum(p.numel() for p in network.parameters() if id(p) not in fixed)
