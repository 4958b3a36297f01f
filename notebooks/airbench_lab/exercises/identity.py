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


def _left(function: Callable, weight: Tensor) -> dict[str, Tensor]:
    """What lies in the weight's memory afterwards. A network holds the memory, not the name."""
    memory = weight.view(weight.shape)
    function(weight)
    return {"the weight after the call": memory}


def _middle(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def _variant(*, place: Callable[[Tensor], tuple] = _middle, value: float = 1, **other: bool) -> Callable:
    """`identity_init_` with something done otherwise."""

    def wrong(weight: Tensor) -> None:
        n = min(weight.shape[:2])
        channels = torch.arange(n)
        if other.get("mixed"):
            weight[:n] = 0
            weight[(slice(n), slice(None), *place(weight))] = value
            return
        kept = 1 if other.get("kept") else 0
        weight[: len(weight) if other.get("all") else n] *= kept
        if other.get("again"):
            channels = torch.arange(len(weight))
            weight.zero_()
        at = (channels, channels % weight.shape[1], *place(weight))
        weight[at] = value + (weight[at] if other.get("added") else 0)

    return wrong


IDENTITY = Exercise(
    name="identity",
    part="identity_init",
    reference=identity_init_,
    observe=_left,
    cases=(
        Case("24 filters over 24 channels pass all of them on", filters(24, 24, 3), "square"),
        Case("of 64 filters over 24 channels the first 24 do, the others stay random", filters(64, 24, 3), "others"),
        Case("16 filters over 24 channels pass on the first 16", filters(16, 24, 3), "others"),
        Case("and so with filters of 5 x 5", filters(24, 24, 5), "size"),
    ),
    mistakes=(
        Mistake(
            lambda weight: None,
            "the weight is as it was before the call. `weight = ...`, `weight.data = ...` and `weight.set_(...)` make "
            "another tensor, which the network never sees. Write into this one: `weight[...] = ...` or `copy_`.",
        ),
        Mistake(
            _variant(mixed=True),
            "each filter adds up all channels. Filter i should look at channel i alone: the 1 stands at [i, i] of "
            "the first two axes, with an index for each, not a slice.",
        ),
        Mistake(
            _variant(place=lambda weight: (0, 0)),
            "the 1 stands in a corner, which moves the picture by a pixel at each layer. The centre is at k // 2.",
        ),
        Mistake(
            _variant(place=lambda weight: (slice(None), slice(None))),
            "there is a 1 at all places of the filter, which blurs the picture. Only the one at its centre is 1.",
        ),
        Mistake(
            _variant(kept=True, added=True),
            "the 1 was added to the random filters. Set them to 0 first, so that only the 1 is left.",
        ),
        Mistake(
            _variant(kept=True),
            "around the 1 the random numbers are still there. Set the filter to 0 first, then its one entry to 1.",
        ),
        Mistake(
            _variant(all=True),
            "the filters beyond the number of channels are all 0 (nn.init.dirac_ does that too). They should keep the "
            "values they had: a filter of zeros gives a map of zeros, which BatchNorm divides by almost 0.",
        ),
        Mistake(
            _variant(again=True),
            "the filters beyond the number of channels pass the same channels on once more. They should keep the "
            "random values they had, so that they see something else.",
        ),
        Mistake(
            _variant(place=lambda weight: (1, 1)),
            "of a filter of 5 x 5 the centre is at (2, 2). Use k // 2 of the weight's own shape, not 1.",
        ),
    ),
)
