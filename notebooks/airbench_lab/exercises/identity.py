"""Lesson 03: filters that pass their input on."""

from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.tricks.identity_init import identity_init_
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def filters(out: int, channels: int, size: int) -> Callable[[], tuple[Tensor]]:
    """What makes the argument of a call: random filters (out, channels, size, size)."""

    def draw() -> tuple[Tensor]:
        return (torch.randn(out, channels, size, size, generator=torch.Generator().manual_seed(0)),)

    return draw


def after(function: Callable, weight: Tensor) -> Tensor:
    """The weight as the function, which works in place, left it."""
    function(weight)
    return weight


def _middle(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _variant(*, place: Callable[[Tensor], tuple] = _middle, value: float = 1, **other: bool) -> Callable:
    """`identity_init_` with something done otherwise."""

    def wrong(weight: Tensor) -> Tensor:
        if other.get("copy"):
            weight = weight.clone()
        n = min(weight.shape[:2])
        channels = torch.arange(n)
        if other.get("mixed"):
            weight[:n] = 0
            weight[(slice(n), slice(None), *place(weight))] = value
            return weight
        kept = 1 if other.get("kept") else 0
        weight[: len(weight) if other.get("all") else n] *= kept
        if other.get("again"):
            channels = torch.arange(len(weight))
            weight.zero_()
        at = (channels, channels % weight.shape[1], *place(weight))
        weight[at] = value + (weight[at] if other.get("added") else 0)
        return weight

    return wrong


IDENTITY = Exercise(
    name="identity",
    part="identity_init",
    reference=identity_init_,
    call=after,
    cases=(
        Case("24 filters over 24 channels pass all of them on", filters(24, 24, 3)),
        Case("of 64 filters over 24 channels the first 24 do, the others stay random", filters(64, 24, 3)),
        Case("16 filters over 24 channels pass on the first 16", filters(16, 24, 3)),
        Case("and so with filters of 5 x 5", filters(24, 24, 5)),
    ),
    mistakes=(
        Mistake(
            _variant(copy=True),
            "the weight is as it was before the call: write into the tensor itself (weight[...] = ...), "
            "instead of into a copy that you return.",
        ),
        Mistake(
            _variant(mixed=True),
            "each filter adds up all channels: filter i should look at channel i alone, so the 1 stands at [i, i] of "
            "the first two axes, with an index for each, not a slice.",
        ),
        Mistake(
            _variant(place=lambda weight: (0, 0)),
            "the 1 stands in a corner, which moves the picture by a pixel at each layer: the centre is at k // 2.",
        ),
        Mistake(
            _variant(place=lambda weight: (slice(None), slice(None))),
            "there is a 1 at all places of the filter, which blurs the picture: only the one at its centre is 1.",
        ),
        Mistake(
            _variant(kept=True, added=True),
            "the 1 was added to the random filters: set these to 0 first, so that only the 1 is left.",
        ),
        Mistake(
            _variant(kept=True),
            "around the 1 the random numbers are still there: set the filter to 0 first, then its one entry to 1.",
        ),
        Mistake(
            _variant(value=1 / 3),
            "the entry at the centre is less than 1: the picture should pass as it is, at its full strength.",
        ),
        Mistake(
            _variant(all=True),
            "the filters beyond the number of channels are all 0 (nn.init.dirac_ does that too): they should keep the "
            "values they had, since a filter of zeros gives a map of zeros, which BatchNorm divides by almost 0.",
        ),
        Mistake(
            _variant(again=True),
            "the filters beyond the number of channels pass the same channels on once more: they should keep the "
            "random values they had, so that they see something else.",
        ),
        Mistake(
            _variant(place=lambda weight: (1, 1)),
            "of a filter of 5 x 5 the centre is at (2, 2): take k // 2 of the weight's own shape, not 1.",
        ),
    ),
    otherwise=(
        "the first min(out, in) filters do not pass their channels on as they are, or others were changed. Print a "
        "small one: after the call on torch.randn(3, 2, 3, 3), weight[0, 0] is 0 but for a 1 in the middle, "
        "weight[0, 1] is all 0, and weight[2] is as before."
    ),
)
