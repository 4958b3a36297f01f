"""Lesson 03: filters that pass their input on. Two steps: one such filter, then as many as a weight has room for."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from airbench_core.tricks.identity_init import identity_init_
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def filters(out: int, channels: int, size: int, *more: int) -> Callable[[], tuple]:
    """What makes the arguments of a call: random filters (out, channels, size, size), and `more`."""

    def draw() -> tuple:
        return torch.randn(out, channels, size, size, generator=torch.Generator().manual_seed(0)), *more

    return draw


def _left(function: Callable, weight: Tensor, *more: int) -> dict[str, Tensor]:
    """What lies in the weight's memory afterwards. A network holds the memory, not the name."""
    memory = weight.view(weight.shape)
    function(weight, *more)
    return {"the weight after the call": memory}


def _middle(weight: Tensor) -> tuple[int, int]:
    return weight.shape[2] // 2, weight.shape[3] // 2


def dirac_(
    weight: Tensor,
    i: int,
    *,
    channels: slice | None = None,
    place: Callable[[Tensor], tuple] = _middle,
    cleared: bool = True,
    added: bool = False,
) -> None:
    """Let filter i pass channel i on; or do something otherwise. channels: those that it looks at, instead."""
    if cleared:
        weight[i] = 0
    at = (i, channels or i, *place(weight))
    weight[at] = 1 + (weight[at] if added else 0)


def _whole(
    one: Callable = dirac_, which: Callable[[Tensor], Iterable[int]] = lambda weight: range(min(weight.shape[:2]))
) -> Callable:
    """`identity_init_` with another filter, or other filters."""

    def wrong(weight: Tensor) -> None:
        for i in which(weight):
            one(weight, i)

    return wrong


def _rest(value: Callable[[Tensor, int], object]) -> Callable:
    """`identity_init_` that does something to the filters beyond the number of channels, too."""

    def wrong(weight: Tensor) -> None:
        identity_init_(weight)
        for i in range(weight.shape[1], len(weight)):
            value(weight, i)

    return wrong


def _again(weight: Tensor, i: int) -> None:
    weight[i] = 0
    weight[(i, i % weight.shape[1], *_middle(weight))] = 1


ONE = (  # each with the filter that it makes
    Mistake(
        lambda weight, i: None,
        "the weight is as it was before the call. `weight = ...`, `weight.data = ...` and `weight.set_(...)` make "
        "another tensor, which the network never sees. Write into this one: `weight[...] = ...` or `copy_`.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, channels=slice(None)),
        "the filter adds up all channels. Filter i should look at channel i alone: the 1 stands at [i, i] of the first "
        "two axes, with an index for each, not a slice.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, place=lambda weight: (0, 0)),
        "the 1 stands in a corner, which moves the picture by a pixel at each layer. The centre is at k // 2.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, place=lambda weight: (slice(None), slice(None))),
        "there is a 1 at all places of the filter, which blurs the picture. Only the one at its centre is 1.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, cleared=False, added=True),
        "the 1 was added to the random filter. Set it to 0 first, so that only the 1 is left.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, cleared=False),
        "around the 1 the random numbers are still there. Set the filter to 0 first, then its one entry to 1.",
    ),
    Mistake(
        lambda weight, i: dirac_(weight, i, place=lambda weight: (1, 1)),
        "of a filter of 5 x 5 the centre is at (2, 2). Use k // 2 of the weight's own shape, not 1.",
    ),
)
IDENTITY = Exercise(
    name="identity",
    part="identity_init",
    reference=identity_init_,
    observe=_left,
    steps=(
        Exercise(
            name="dirac",
            reference=dirac_,
            observe=_left,
            cases=(
                Case("filter 3 of 24 passes channel 3 on, the others are as they were", filters(24, 24, 3, 3)),
                Case("and so with filters of 5 x 5", filters(24, 24, 5, 7)),
            ),
            mistakes=(
                *ONE,
                Mistake(
                    lambda weight, i: (weight.zero_(), dirac_(weight, i)),
                    "the other filters are 0 now. Set `weight[i]` to 0, not all of `weight`.",
                ),
            ),
        ),
    ),
    cases=(
        Case("24 filters over 24 channels pass all of them on", filters(24, 24, 3), "square"),
        Case("of 64 filters over 24 channels the first 24 do, the others stay random", filters(64, 24, 3), "others"),
        Case("16 filters over 24 channels pass on the first 16", filters(16, 24, 3), "others"),
        Case("and so with filters of 5 x 5", filters(24, 24, 5), "others"),
    ),
    mistakes=(
        *(Mistake(_whole(mistake.wrong), mistake.hint) for mistake in ONE),
        Mistake(
            _rest(lambda weight, i: weight[i].zero_()),
            "the filters beyond the number of channels are all 0 (nn.init.dirac_ does that too). They should keep the "
            "values they had: a filter of zeros gives a map of zeros, which BatchNorm divides by almost 0.",
        ),
        Mistake(
            _rest(_again),
            "the filters beyond the number of channels pass the same channels on once more. They should keep the "
            "random values they had, so that they see something else.",
        ),
    ),
)
