"""Floating-point operations of a whole training, counted in networks without memory as torch's own counter does."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airbench_core.learner import make_network
from airbench_core.recipes import Recipe
from airbench_core.tricks.tta import TTA_WEIGHTS

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
        forward, step = _count(network)
        if recipe.whiten:
            network.first.bias.requires_grad_(False)
        _counted[key] = _PerImage(forward, step, _count(network)[1])
    return _counted[key]


def _network(recipe: Recipe) -> nn.Module:
    """A recipe's network without memory."""
    with torch.device("meta"):
        return make_network(recipe)


def _count(network: nn.Module) -> tuple[int, int]:
    """FLOPs of one image forward, and forward and backward: the gradients of input and weight each cost as much.

    By hooks on this network alone: in another thread torch.compile may be at work, which a mode for the whole process,
    such as torch's FlopCounterMode, makes fail.
    """
    counts: list[tuple[int, int]] = []

    def count(layer: nn.Module, inputs: tuple[Tensor], out: Tensor) -> None:
        flops = 2 * out[0].numel() * layer.weight[0].numel()
        counts.append((flops, flops * (1 + inputs[0].requires_grad + layer.weight.requires_grad)))

    layers = [module for module in network.modules() if isinstance(module, nn.Conv2d | nn.Linear)]
    hooks = [layer.register_forward_hook(count) for layer in layers]
    network(torch.empty(2, 3, 32, 32, device="meta"))  # BatchNorm refuses a single one
    for hook in hooks:
        hook.remove()
    return tuple(map(sum, zip(*counts, strict=True)))


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
