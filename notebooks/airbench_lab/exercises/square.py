"""Lesson 10: cutout."""

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


def apart(function, images: Tensor, *others) -> tuple[Tensor, Tensor]:
    """What a function returns, and what it left of the images that it was given."""
    return function(images, *others), images


def _variant(*, place=lambda row, column, size: (row, column), fill=lambda image: 0.0, **other):
    """`cutout`, picture by picture, with something done otherwise."""

    def wrong(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
        out = images if other.get("in_place") else images.clone()
        for i in range(len(images)):
            which = 0 if other.get("one_square") else i
            top, left = place(int(rows[which]), int(columns[which]), size)
            reach = size + other.get("more", 0)
            channels = slice(0, 1) if other.get("first_channel") else slice(None)
            area = (channels, slice(max(0, top), max(0, top + reach)), slice(max(0, left), max(0, left + reach)))
            out[i][area] = fill(images[i])
        return out

    return wrong


def _outside(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    return images - cutout(images, rows, columns, size)


def _stripes(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    out = images.clone()
    for i, (row, column) in enumerate(zip(rows.tolist(), columns.tolist(), strict=True)):
        out[i, :, row : row + size] = 0
        out[i, :, :, column : column + size] = 0
    return out


def _whole_batch(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    out = images.clone()
    for row, column in zip(rows.tolist(), columns.tolist(), strict=True):
        out[:, :, row : row + size, column : column + size] = 0
    return out


def _nothing_returned_in_place(*arguments) -> None:
    _variant(in_place=True)(*arguments)


CUTOUT = Exercise(
    name="cutout",
    reference=cutout,
    call=apart,
    cases=(
        Case("squares of 12 pixels in 6 pictures of 32 x 32", lambda: arguments(6, 32, 32, 12, 0)),
        Case("of 3 pixels in 4 pictures of 20 x 28", lambda: arguments(4, 20, 28, 3, 1)),
        Case("of 0 pixels, which changes nothing", lambda: arguments(3, 16, 16, 0, 2)),
    ),
    mistakes=(
        Mistake(
            _nothing_returned_in_place,
            "your function returns None and changes the pictures that it was given: work on a copy, such as "
            "images.clone(), and return that.",
        ),
        Mistake(
            _variant(place=lambda row, column, size: (row - size // 2, column - size // 2)),
            "your squares are centred on (row, column): these are their top left corners.",
        ),
        Mistake(
            _variant(place=lambda row, column, size: (column, row)),
            "rows and columns are swapped: the third dimension of (N, C, H, W) is the row, from the top.",
        ),
        Mistake(
            _variant(one_square=True),
            "all pictures have the square of the first one: each has its own row and column.",
        ),
        Mistake(
            _whole_batch,
            "every square is cut out of every picture: picture i has only square i.",
        ),
        Mistake(
            _variant(in_place=True),
            "the pictures that you were given have changed: the training needs them again in the next epoch. Work on a "
            "copy, such as images.clone().",
        ),
        Mistake(
            _variant(fill=lambda image: 1.0),
            "the squares are filled with 1: fill them with 0, which in normalized pictures is the mean colour.",
        ),
        Mistake(
            _variant(fill=lambda image: image.mean((1, 2), keepdim=True)),
            "the squares are filled with the mean of each picture: fill them with 0. Pictures are normalized, so "
            "that 0 is the mean of all.",
        ),
        Mistake(
            _variant(more=1),
            "your squares are one pixel too large: from row to row + size, without the latter.",
        ),
        Mistake(
            _variant(more=-1),
            "your squares are one pixel too small: a slice row:row + size has size pixels.",
        ),
        Mistake(
            _variant(first_channel=True),
            "only the first channel is cut: the square goes through all three colours.",
        ),
        Mistake(
            _outside,
            "you kept the squares and cut out everything else: turn the mask round.",
        ),
        Mistake(
            _stripes,
            "these are whole stripes of rows and columns: a pixel is cut where its row AND its column lie inside.",
        ),
    ),
    otherwise=(
        "some pixels are not what they should be. For picture i: rows rows[i] to rows[i] + size, columns columns[i] to "
        "columns[i] + size, all channels, set to 0 in a copy."
    ),
)
