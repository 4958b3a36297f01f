"""Floating-point operations of a whole training, added up from the shapes of the networks; without torch."""

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

from airbench_core.recipes import TTA_WEIGHTS, WHITENING_WIDTH, Recipe

CIFAR10_TRAIN, CIFAR10_TEST, CLASSES = 50_000, 10_000, 10


class _Layer(NamedTuple):
    pixels: int  # of its output
    inputs: int  # that each output is a sum of
    channels: int

    @property
    def flops(self) -> int:
        return 2 * self.pixels * self.inputs * self.channels


def _layers(recipe: Recipe) -> Iterator[_Layer]:
    """The convolutions and the head of the recipe's network, for images of 32 x 32 pixels, from the input on."""
    widths = recipe.widths
    if recipe.network == "resnet18":
        yield _Layer(32**2, 3 * 9, widths[0])
        for stage, (before, width) in enumerate(pairwise((widths[0], *widths))):
            pixels = (32 >> stage) ** 2
            yield _Layer(pixels, before * 9, width)
            yield from [_Layer(pixels, width * 9, width)] * 3
            if stage:
                yield _Layer(pixels, before, width)  # the short cut
    else:
        side = 31
        yield _Layer(side**2, 3 * 4, WHITENING_WIDTH)
        for before, width in pairwise((WHITENING_WIDTH, *widths)):
            yield _Layer(side**2, before * 9, width)
            side //= 2
            yield from [_Layer(side**2, width * 9, width)] * (recipe.depth - 1)
    yield _Layer(1, widths[-1], CLASSES)


class _PerImage(NamedTuple):
    """FLOPs of one image in a network; a step is forward and backward."""

    forward: int
    step: int
    frozen_step: int  # the whitening layer's bias needs no gradient


def _per_image(recipe: Recipe) -> _PerImage:
    """The gradients of a layer's input and of its weights each cost as much as its output."""
    first, second, *rest = (layer.flops for layer in _layers(recipe))
    forward = first + second + sum(rest)
    step = 3 * forward - first * (1 + recipe.whiten)  # images need no gradient, nor do whitening filters
    return _PerImage(forward, step, step - second)


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
    *convolutions, head = _layers(recipe)
    weights = sum(layer.inputs * layer.channels for layer in (*convolutions, head))
    biases = sum(layer.channels for layer in convolutions)  # of the BatchNorms, or the first layer's own
    return weights + (2 * biases + CLASSES if recipe.network == "resnet18" else biases)
