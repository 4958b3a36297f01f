"""Lesson 10: cutout. A step before it: the mask of each picture's square."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from airbench_core.augmentation import cutout
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def arguments(n: int, height: int, width: int, size: int, seed: int) -> tuple[Tensor, Tensor, Tensor, int]:
    """Pictures (n, 3, height, width) whose mean is not 0, and the corners of squares that lie inside them."""
    generator = torch.Generator().manual_seed(seed)
    images = 0.7 + torch.randn(n, 3, height, width, generator=generator)
    rows = torch.randint(height - size + 1, (n,), generator=generator)
    columns = torch.randint(width - size + 1, (n,), generator=generator)
    return images, rows, columns, size


def squares(rows: Tensor, columns: Tensor, size: int, height: int, width: int) -> Tensor:
    """Which pixels lie in the square of each picture: bool (N, height, width)."""
    return cutout(torch.ones(len(rows), 1, height, width), rows, columns, size)[:, 0] == 0


def _stripes(rows: Tensor, columns: Tensor, size: int, height: int, width: int) -> Tensor:
    whole_rows = squares(rows, torch.zeros_like(columns), size, height, size)[:, :, :1]
    return whole_rows | squares(torch.zeros_like(rows), columns, size, size, width)[:, :1]


def _apart(function: Callable, images: Tensor, *others: Any) -> dict[str, Any]:
    """What a function returns, and what it left of the images that it was given."""
    return {"the answer": function(images, *others), "the images that were given, after the call": images}


def _variant(*, mask=squares, fill=lambda images: torch.zeros(()), **other):
    """`cutout` with something done otherwise."""

    def wrong(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
        cut = mask(rows, columns, size, *images.shape[2:])[:, None]
        if other.get("first_channel"):
            cut = cut & (torch.arange(images.shape[1]) == 0)[:, None, None]
        out = torch.where(cut, fill(images), images)
        return images.copy_(out) if other.get("in_place") else out

    return wrong


def _in_place_without_return(*given: Any) -> None:
    _variant(in_place=True)(*given)


MASKS = (  # each with the mask that it takes
    Mistake(
        lambda rows, columns, size, *shape: squares(columns, rows, size, *shape),
        "rows and columns are swapped. The row counts from the top: it is the dimension before the last.",
    ),
    Mistake(
        lambda rows, columns, size, *shape: squares(rows - size // 2, columns - size // 2, size, *shape),
        "your squares are centred on (row, column). These are their top left corners.",
    ),
    Mistake(
        lambda rows, columns, size, *shape: squares(rows, columns, size + 1, *shape),
        "your squares are one pixel too large. They go from row to row + size, without the latter.",
    ),
    Mistake(
        lambda rows, columns, size, *shape: squares(rows, columns, size - 1, *shape),
        "your squares are one pixel too small. A slice row:row + size has size pixels.",
    ),
    Mistake(
        lambda rows, columns, *others: squares(rows[:1].expand(len(rows)), columns[:1].expand(len(rows)), *others),
        "all pictures have the square of the first one. Each has its own row and column.",
    ),
    Mistake(
        lambda rows, *others: squares(rows, *others).any(0).expand(len(rows), -1, -1),
        "every square is cut out of every picture. Picture i has only square i.",
    ),
    Mistake(
        lambda *given: ~squares(*given),
        "you kept the squares and cut out everything else. Turn the mask round: True is inside of the square.",
    ),
    Mistake(
        _stripes,
        "these are whole stripes of rows and columns. A pixel is cut where its row and its column both lie inside.",
    ),
)
CUTOUT = Exercise(
    name="cutout",
    reference=cutout,
    observe=_apart,
    steps=(
        Exercise(
            name="mask",
            reference=squares,
            cases=(
                Case("the masks of squares of 12 pixels in 6 pictures of 32 x 32", lambda: _corners(6, 32, 32, 12, 0)),
                Case("of 3 pixels in 4 pictures of 20 x 28", lambda: _corners(4, 20, 28, 3, 1)),
            ),
            mistakes=MASKS,
        ),
    ),
    cases=(
        Case("squares of 12 pixels in 6 pictures of 32 x 32", lambda: arguments(6, 32, 32, 12, 0)),
        Case("of 3 pixels in 4 pictures of 20 x 28", lambda: arguments(4, 20, 28, 3, 1)),
        Case("of 0 pixels, which changes nothing", lambda: arguments(3, 16, 16, 0, 2)),
    ),
    mistakes=(
        *(Mistake(_variant(mask=mistake.wrong), mistake.hint) for mistake in MASKS),
        Mistake(
            _in_place_without_return,
            "your function changes the pictures that it was given. Work on a copy, such as images.clone(), and return "
            "that.",
        ),
        Mistake(
            _variant(in_place=True),
            "the pictures that you were given have changed. The training needs them again in the next epoch: work on a "
            "copy, such as images.clone().",
        ),
        Mistake(
            _variant(fill=lambda images: torch.ones(())),
            "the squares are filled with 1. Fill them with 0, which in normalized pictures is the mean colour.",
        ),
        Mistake(
            _variant(fill=lambda images: images.mean((2, 3), keepdim=True)),
            "the squares are filled with the mean of each picture. Fill them with 0: pictures are normalized, so that "
            "0 is the mean of all.",
        ),
        Mistake(
            _variant(first_channel=True),
            "only the first channel is cut. The square goes through all three colours.",
        ),
    ),
)


def _corners(n: int, height: int, width: int, size: int, seed: int) -> tuple[Tensor, Tensor, int, int, int]:
    return *arguments(n, height, width, size, seed)[1:], height, width
