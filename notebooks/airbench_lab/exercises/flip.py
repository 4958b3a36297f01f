"""Lesson 07: which images are mirrored in an epoch.

Where it alternates there is one right mask. Tosses may be made in many ways that are equally right, so of them it is
checked what holds for fair and independent ones: 64 tosses (4 seeds, 16 epochs) for each of 1,000 images. Each bound
is 6 standard deviations, or 26 of 64 for two images: all in all, right tosses fail with a probability of 1 in 100,000.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from airbench_core.tricks.flip import coin, flip_mask
from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.exercises.differences import kind

IMAGES, SEEDS, EPOCHS = 1000, (71, 72, 73, 74), 16
SIGMAS = 6  # by so many standard deviations may a share be off
TOGETHER = 26  # two images may be alike in so many epochs more, or fewer, than half of the 64
MASK = kind(torch.zeros(IMAGES, dtype=torch.bool))


def _calendar(function: Callable, flip: str, epochs: Sequence[int]) -> dict[str, Any]:
    """The mask of each epoch, and what has become of `first`."""
    generator = torch.Generator().manual_seed(7)
    first = coin(IMAGES, generator)
    masks = {}
    for epoch in epochs:
        mask = function(flip, epoch, first, generator)
        masks[f"the mask of epoch {epoch}"] = mask.clone() if isinstance(mask, Tensor) else mask  # may be `first`
    return {**masks, "`first` after the calls": first}


def _observe(function: Callable, flip: str, epochs: Sequence[int]) -> dict[str, Any]:
    return _tosses(function, epochs) if flip == "random" else _calendar(function, flip, epochs)


def _tosses(function: Callable, epochs: Sequence[int]) -> dict[str, Any]:
    """In words, what holds for the masks of "random" with several seeds."""
    firsts, masks = [], []
    for seed in [*SEEDS, SEEDS[0]]:
        generator = torch.Generator().manual_seed(seed)
        firsts.append(coin(IMAGES, generator))
        for epoch in epochs:
            mask = function("random", epoch, firsts[-1], generator)
            if mask is None or kind(mask) != MASK:
                return {"the mask": mask if mask is None else kind(mask)}
            masks.append(mask.clone())
    n, per_seed = len(SEEDS) * len(epochs), len(epochs)
    tosses, once_more = torch.stack(masks[:n]), torch.stack(masks[n:])
    own = tosses.unique(dim=0)  # epochs that are the same are told as such
    alike = _alike(torch.stack([*masks[:n], *firsts[:-1]]))
    of_a_seed = torch.arange(n) // per_seed
    same_seed = of_a_seed[:, None] == of_a_seed
    counts = len(tosses.sum(1).unique())
    return {
        "the mask": MASK,
        "the share of epochs in which one image is mirrored": _furthest(own.double().mean(0), len(own)),
        "the images that turn together with others": _together(own),
        "the share that is mirrored": _share(float(own.double().mean()), own.numel()),
        "an epoch beside `first`": _pairs(alike[:n, n:]),
        "two epochs side by side": _pairs(alike[:n, :n][same_seed & ~torch.eye(n, dtype=torch.bool)]),
        "two seeds of `generator` side by side": _pairs(alike[:n, :n][~same_seed]),
        "the same seed a second time": "the same tosses"
        if torch.equal(once_more, tosses[:per_seed])
        else "other tosses",
        "how many are mirrored in the epochs": "as many in each" if counts <= len(SEEDS) else "other numbers",
        "the share that is mirrored in one epoch": _furthest(tosses.double().mean(1), IMAGES),
    }


def _alike(tosses: Tensor) -> Tensor:
    """In what share any two rows are alike: (rows, rows)."""
    signs = tosses.double() * 2 - 1
    return (signs @ signs.T / tosses.shape[1] + 1) / 2


def _share(share: float, n: int) -> str:
    """ "50 %" if that many fair tosses may well have this share."""
    return "50 %" if abs(share - 0.5) <= SIGMAS * 0.5 / n**0.5 else f"{share:.1%}".replace("%", " %")


def _furthest(shares: Tensor, n: int) -> str:
    return _share(float(shares[(shares - 0.5).abs().argmax()]), n)


def _pairs(alike: Tensor) -> str:
    share = float(alike.flatten()[(alike - 0.5).abs().argmax()])
    named = {0.0: "opposite", 1.0: "the same"}.get(share, f"alike in {share:.0%}".replace("%", " %"))
    return "unrelated" if _share(share, IMAGES) == "50 %" else named


def _together(tosses: Tensor) -> str:
    n = len(tosses)
    bound = (_alike(tosses.T) - 0.5).abs() * n >= TOGETHER
    return f"{int((bound.sum(1) > 1).sum())}"  # each is alike with itself


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


def _alternating(hint: str, written: Callable) -> Mistake:
    return Mistake(_variant(alternating=written), hint)


def _random(hint: str, written: Callable) -> Mistake:
    return Mistake(_variant(random=written), hint)


FLIP = Exercise(
    name="flip",
    part="flip",
    reference=flip_mask,
    observe=_observe,
    cases=(
        Case("none: no image is ever mirrored", lambda: ("none", range(3)), "none"),
        Case("random: a fair toss for each image, anew in each epoch", lambda: ("random", range(EPOCHS)), "random"),
        Case(
            "alternating: as first tossed, then the opposite, and so on",
            lambda: ("alternating", range(6)),
            "alternating",
        ),
        Case(
            "alternating: the same when a training goes on at epoch 5",
            lambda: ("alternating", (5, 6, 2)),
            "alternating",
        ),
    ),
    mistakes=(
        _alternating(
            "with alternating flip each epoch is tossed anew: that is random flip. The only toss is `first`; whether "
            "the epoch is even or odd says whether you return it or its opposite.",
            lambda epoch, first, toss: toss(),
        ),
        _alternating(
            "all images turn together, mirrored in the odd epochs. Start from `first`, so that half of them show each "
            "side in every epoch.",
            lambda epoch, first, toss: torch.full_like(first, epoch % 2 == 1),
        ),
        _alternating(
            "all images turn together, mirrored in the even epochs. Start from `first`, so that half of them show each "
            "side in every epoch.",
            lambda epoch, first, toss: torch.full_like(first, epoch % 2 == 0),
        ),
        _alternating(
            "you return one True or False for all images. Return a mask with an entry for each, made from `first`.",
            lambda epoch, first, toss: epoch % 2 == 1,
        ),
        _alternating(
            "every epoch shows the same sides: nothing depends on `epoch` yet. In odd epochs return `~first`.",
            lambda epoch, first, toss: first,
        ),
        _alternating(
            "even and odd are swapped. Epochs count from 0, and epoch 0 shows `first` itself.",
            lambda epoch, first, toss: first ^ (epoch % 2 == 0),
        ),
        _alternating(
            "the sides change only every second epoch. `epoch // 2` divides; the remainder is `epoch % 2`.",
            lambda epoch, first, toss: first ^ (epoch // 2 % 2 == 1),
        ),
        _alternating(
            "after epoch 1 it never turns back. The opposite belongs to every odd epoch, not to all after the first.",
            lambda epoch, first, toss: first ^ (epoch > 0),
        ),
        _alternating(
            "your function changes `first` itself: an operation whose name ends in `_` works in place. `first` must "
            "stay, since the next epoch asks for it again.",
            lambda epoch, first, toss: first.logical_not_() if epoch else first,
        ),
        _alternating(
            "a mask is bool, and these are numbers. Compare with `== 1`, or turn a bool by `~first`.",
            lambda epoch, first, toss: (first.long() + epoch) % 2,
        ),
        _random(
            "random flip takes `first` in every epoch. It needs a toss of its own each time, from `generator`.",
            lambda epoch, first, generator: first,
        ),
        _random(
            'with "random" it alternates all the same. Look at `flip` before you look at `epoch`.',
            lambda epoch, first, generator: first ^ bool(epoch % 2),
        ),
        _random(
            "every epoch has the same tosses. A generator that is made anew with one seed begins anew; take the "
            "`generator` that you are given.",
            lambda epoch, first, generator: coin(len(first), torch.Generator().manual_seed(0)),
        ),
        _random(
            "a generator that is seeded with the epoch tosses the same in every training. Take the `generator` that "
            "you are given.",
            lambda epoch, first, generator: coin(len(first), torch.Generator().manual_seed(epoch)),
        ),
        _random(
            "these tosses do not come from `generator`, so the same seed does not give the same training: "
            "`torch.rand(n, generator=generator, device=generator.device)`.",
            lambda epoch, first, generator: torch.rand(len(first)) < 0.5,
        ),
        _random(
            "there is one toss for all images of the epoch. Toss once for each image.",
            lambda epoch, first, generator: torch.full_like(first, bool(torch.randint(2, (1,), generator=generator))),
        ),
        _random(
            "a mask holds True and False. A fair coin is whether a number of `torch.rand` is below 0.5.",
            lambda epoch, first, generator: torch.rand(len(first), generator=generator),
        ),
        Mistake(
            _variant(none=lambda first, toss: first),
            '"none" is not heeded. With it no image is mirrored: `torch.zeros_like(first)` is such a mask.',
        ),
        Mistake(
            _variant(none=lambda first, toss: toss()),
            'with "none" you toss a coin. No image is to be mirrored: `torch.zeros_like(first)` is such a mask.',
        ),
        Mistake(
            _variant(none=lambda first, toss: torch.ones_like(first)),
            'with "none" every image is mirrored. True means mirrored, so all entries are False.',
        ),
    ),
)
