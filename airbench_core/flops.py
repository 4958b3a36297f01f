"""Floating-point operations of a whole training, counted by torch on the meta device: no number is typed in."""

import torch
from torch.utils.flop_counter import FlopCounterMode

from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.network import Network
from airbench_core.recipes import Recipe

CIFAR10_TRAIN, CIFAR10_TEST = 50_000, 10_000


def training_flops(recipe: Recipe, train_images: int = CIFAR10_TRAIN, test_images: int = CIFAR10_TEST) -> float:
    """FLOPs of `recipe`: all its steps forward and backward, and the final inference with its TTA views.

    Matrix products and convolutions count, two operations for a multiply-add; what needs no gradient (the input,
    frozen filters, and everything below a frozen whitening bias) costs no backward pass.
    """
    with torch.device("meta"):
        network = Network(recipe)
        images = torch.empty(recipe.batch_size, 3, 32, 32)

    def step(frozen: bool) -> int:
        if recipe.whiten:
            network.first.bias.requires_grad_(not frozen)
        with FlopCounterMode(display=False) as counter:
            network(images).sum().backward()
        return counter.get_total_flops()

    steps = recipe.steps(train_images)
    freeze_at = recipe.freeze_step(train_images)
    free = steps if freeze_at is None else min(steps, freeze_at)
    with FlopCounterMode(display=False) as counter, torch.no_grad():
        network(images)
    inference = counter.get_total_flops() / recipe.batch_size * len(TTA_WEIGHTS[recipe.tta]) * test_images
    return free * step(frozen=False) + (steps - free) * step(frozen=True) + inference


def parameters(recipe: Recipe) -> int:
    """How many numbers the network holds, whitening filters and biases included, BatchNorm's fixed scales not."""
    with torch.device("meta"):
        network = Network(recipe)
    fixed = {id(m.weight) for m in network.modules() if isinstance(m, torch.nn.BatchNorm2d)}
    return sum(p.numel() for p in network.parameters() if id(p) not in fixed)
