"""Lesson 07: which images are mirrored in an epoch.

A toss may be made in many ways that are equally right. So it is not the masks that are compared but what holds for
them: how many images are mirrored, and how each epoch stands to the first tosses and to the epoch before.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from airbench_core.tricks.flip import coin, flip_mask
from airbench_lab.exercises.checking import Case, Exercise, Mistake

IMAGES = 4000  # so many that a share of fair tosses is within 0.05 of a half: 6 standard deviations


def calendar(function: Any, flip: str, epochs: Sequence[int]) -> Any:
    """What a function like `flip_mask` does in these epochs, in words; or its answer, where that is no mask.

    Of each epoch: how many are mirrored, whether the masks are those of `first` and of the epoch before. Then whether
    `first` stayed what it was, and whether the same seed gives the same masks.
    """
    first = coin(IMAGES, torch.Generator().manual_seed(7))
    masks = _masks(function, flip, epochs, given := first.clone())
    if not isinstance(masks, list):
        return masks
    words = [(_share(mask), _beside(mask, first)) for mask in masks]
    moved = [_beside(a, b) for a, b in zip(masks[1:], masks, strict=False)]
    again = _masks(function, flip, epochs, first.clone())
    repeated = isinstance(again, list) and all(torch.equal(a, b) for a, b in zip(masks, again, strict=True))
    return (*words, *moved, torch.equal(given, first), repeated)


def _masks(function: Any, flip: str, epochs: Sequence[int], first: Tensor) -> Any:
    generator = torch.Generator().manual_seed(11)
    masks = []
    for epoch in epochs:
        mask = function(flip, epoch, first, generator)
        if not (isinstance(mask, Tensor) and mask.dtype == torch.bool and mask.shape == first.shape):
            return mask
        masks.append(mask.clone())  # which may be `first` itself
    return masks


def _share(mask: Tensor) -> str:
    share = float(mask.float().mean())
    return {0.0: "none", 1.0: "all"}.get(share, "half" if abs(share - 0.5) < 0.05 else "another share")


def _beside(mask: Tensor, other: Tensor) -> str:
    alike = float((mask == other).float().mean())
    return {0.0: "opposite", 1.0: "same"}.get(alike, "unrelated" if abs(alike - 0.5) < 0.05 else "partly alike")


def _variant(*, none=lambda first, toss: torch.zeros_like(first), random=None, alternating=None):
    """`flip_mask` with one of its branches written otherwise."""

    def wrong(flip: str, epoch: int, first: Tensor, generator: torch.Generator) -> Any:
        def toss() -> Tensor:
            return coin(len(first), generator)

        if flip == "none":
            return none(first, toss)
        if flip == "random":
            return random(epoch, first, generator) if random else toss()
        return alternating(epoch, first, toss) if alternating else first ^ bool(epoch % 2)

    return wrong


FLIP = Exercise(
    name="flip",
    part="flip",
    reference=flip_mask,
    call=lambda function, flip, epochs: calendar(function, flip, epochs),
    cases=(
        Case("alternating: as first tossed, then the opposite, and so on", lambda: ("alternating", range(6))),
        Case("alternating: the same when a training goes on at epoch 5", lambda: ("alternating", (5, 6, 2))),
        Case("random: a fair toss for each image, anew in each epoch", lambda: ("random", range(6))),
        Case("none: no image is ever mirrored", lambda: ("none", range(3))),
    ),
    mistakes=(
        Mistake(
            _variant(alternating=lambda epoch, first, toss: toss()),
            "with alternating flip each epoch is tossed anew: that is random flip. The only toss is `first`; whether "
            "the epoch is even or odd says whether you return it or its opposite.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: torch.full_like(first, epoch % 2 == 1)),
            "all images turn together: every one is mirrored in the odd epochs. Start from `first`, so that half of "
            "them show each side in every epoch.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: torch.full_like(first, epoch % 2 == 0)),
            "all images turn together: every one is mirrored in the even epochs. Start from `first`, so that half of "
            "them show each side in every epoch.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: epoch % 2 == 1),
            "you return one True or False for all images: return a mask with an entry for each, made from `first`.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first),
            "every epoch shows the same sides: nothing depends on `epoch` yet. In odd epochs return the opposite, "
            "`~first`.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first ^ (epoch % 2 == 0)),
            "the parity is reversed: epochs count from 0, and epoch 0 shows `first` itself.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first ^ (epoch % 3 != 0)),
            "the sides come back only every third epoch, so two in a row are alike: the period is two, `epoch % 2`.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first ^ (epoch // 2 % 2 == 1)),
            "the sides change only every second epoch: `epoch // 2` divides; the remainder is `epoch % 2`.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first ^ (epoch > 0)),
            "after epoch 1 it never turns back: the opposite belongs to every odd epoch, not to all after the first.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: first.logical_not_() if epoch else first),
            "your function changes `first` itself (an operation whose name ends in `_` works in place). It must stay: "
            "the next epoch asks for it again, and a training may go on at any epoch.",
        ),
        Mistake(
            _variant(alternating=lambda epoch, first, toss: (first.long() + epoch) % 2),
            "the right sides, but as numbers: a mask is bool. Compare with `== 1`, or turn a bool by `~first`.",
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: first),
            "random flip takes `first` in every epoch: it needs a toss of its own each time, from `generator`.",
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: first ^ bool(epoch % 2)),
            'with "random" it alternates all the same: look at `flip` before you look at `epoch`.',
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: coin(len(first), torch.Generator().manual_seed(0))),
            "random flip tosses the same in every epoch: a generator that is made anew with one seed begins anew. "
            "Take the `generator` that you are given.",
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: torch.rand(len(first)) < 0.5),
            "these tosses do not come from `generator`, so the same seed does not give the same training: "
            "`torch.rand(n, generator=generator, device=generator.device)`.",
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: coin(1, generator).expand(len(first))),
            "one toss for all images of the epoch: toss once for each image.",
        ),
        Mistake(
            _variant(random=lambda epoch, first, generator: torch.rand(len(first), generator=generator)),
            "these are numbers from 0 to 1: a fair coin is whether such a number is below 0.5.",
        ),
        Mistake(
            _variant(none=lambda first, toss: first),
            '"none" is not heeded: with it no image is mirrored. `torch.zeros_like(first)` is such a mask.',
        ),
        Mistake(
            _variant(none=lambda first, toss: toss()),
            'with "none" you toss a coin: no image is to be mirrored. `torch.zeros_like(first)` is such a mask.',
        ),
        Mistake(
            _variant(none=lambda first, toss: torch.ones_like(first)),
            'with "none" every image is mirrored: True means mirrored, so all entries are False.',
        ),
    ),
    otherwise=(
        "the mask is not yet what it should be: bool, with one entry for each image, True where it is mirrored. Look "
        "at `flip` first; where it alternates, at whether the epoch is even."
    ),
)
