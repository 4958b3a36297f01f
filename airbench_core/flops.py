"""Floating-point operations of a whole training, counted by torch on the meta device: no number is typed in."""

import math
from contextlib import nullcontext
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves, tree_map_only
from torch.utils.flop_counter import flop_registry

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
    counts: list[int] = []
    batch = _Counting(torch.empty(images, 3, 32, 32, device="meta"), counts)
    with nullcontext() if backward else torch.no_grad():
        logits = network(batch)
        if backward:
            torch.autograd.grad(logits.sum(), [p for p in network.parameters() if p.requires_grad])
    return sum(counts) // images


class _Counting(Tensor):
    """A tensor without memory: what is computed with it, and with the results, adds its FLOPs to `counts`.

    Apart from other threads, where torch.compile may be at work: torch's FlopCounterMode, whose formulas these are,
    hooks into all modules of the process, which makes a compilation fail; any TorchDispatchMode sets a flag of the
    process, on which older versions of Dynamo refuse to compile.
    """

    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, plain: Tensor, counts: list[int]):
        about = {"strides": plain.stride(), "dtype": plain.dtype, "device": plain.device}
        return Tensor._make_wrapper_subclass(cls, plain.shape, **about)

    def __init__(self, plain: Tensor, counts: list[int]):
        self.plain, self.counts = plain, counts

    @classmethod
    def __torch_dispatch__(cls, func, types, args=(), kwargs=None):
        given = args, kwargs or {}
        counts = next(leaf.counts for leaf in tree_leaves(given) if isinstance(leaf, cls))
        args, kwargs = tree_map_only(cls, lambda counting: counting.plain, given)
        result = func(*args, **kwargs)
        if (formula := flop_registry.get(func.overloadpacket)) is not None:
            counts.append(formula(*args, **kwargs, out_val=result))
        return tree_map_only(Tensor, lambda plain: cls(plain, counts), result)


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
