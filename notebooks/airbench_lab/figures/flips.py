"""Two ways of flipping: which side of each picture is shown epoch by epoch, and how many sides have been seen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLUE, SMALL, STYLES, VERMILION, Drawing, house_style

PICTURES, EPOCHS = 12, 16  # drawn one by one at most; all of them count
SIDES, SIDE_EPOCHS = 5, 4  # shown as pictures, at most
GAP = 2  # white pixels between two of them


def flip_calendar(masks: Mapping[str, ArrayLike]) -> Drawing:
    """Two ways of flipping, picture by picture and epoch by epoch, and below them the share of all sides seen so far.

    masks: for each way, by name, which pictures are mirrored in each epoch: bool (epochs, pictures), as `flip_mask`
    gives it row by row. A picture has two sides: as stored, and mirrored. The first 12 are drawn; all of them count.
    Raises UsageError unless there are two masks of one shape, of 2 to 16 epochs.
    """
    arrays = {name: np.asarray(mask, bool) for name, mask in masks.items()}
    shapes = {mask.shape for mask in arrays.values()}
    if len(arrays) != 2 or len(shapes) > 1 or any(mask.ndim != 2 for mask in arrays.values()):
        raise UsageError("a calendar needs two masks (epochs, pictures) of one shape")
    ((epochs, pictures),) = shapes
    if not (2 <= epochs <= EPOCHS and pictures):
        raise UsageError(
            f"a calendar of {epochs} epochs and {pictures} pictures is not legal: 2 to {EPOCHS}, and some pictures"
        )
    seen = {name: _seen(mask) for name, mask in arrays.items()}
    shown = min(pictures, PICTURES)
    column = f"sides seen so far, of {2 * pictures:,}"
    table = pd.DataFrame(
        {
            "flip": name,
            "epoch": epoch + 1,
            "mirrored pictures" if shown == pictures else f"mirrored among the first {shown}": _numbers(
                mask[epoch, :shown]
            ),
            "mirrored": int(mask[epoch].sum()),
            column: int(seen[name][epoch]),
        }
        for name, mask in arrays.items()
        for epoch in range(epochs)
    )
    after = ", ".join(f"{name} {sides[1]:,}" for name, sides in seen.items())
    alt = (
        f"Which of {pictures:,} pictures are mirrored in each of {epochs} epochs. "
        f"Sides seen after two epochs, of {2 * pictures:,}: {after}."
    )
    with house_style():
        drawing = Drawing(table, alt, height=5.6)
        top = drawing.subfigures(2, 1, height_ratios=(shown + 4, 12))
        for axes, (name, mask) in zip(top[0].subplots(1, 2, sharey=True), arrays.items(), strict=True):
            _calendar(axes, name, mask[:, :shown])
        top[0].get_axes()[0].set_ylabel("picture")
        _shares(top[1].subplots(), {name: 100 * sides / (2 * pictures) for name, sides in seen.items()}, pictures)
    return drawing


def _seen(mask: np.ndarray) -> np.ndarray:
    """How many of the pictures' two sides have been seen after each epoch: (epochs,)."""
    return sum(np.logical_or.accumulate(side, axis=0).sum(1) for side in (mask, ~mask))


def _numbers(mirrored: np.ndarray) -> str:
    return ", ".join(str(picture + 1) for picture in np.flatnonzero(mirrored)) or "none"


def _calendar(axes: Axes, name: str, mask: np.ndarray) -> None:
    """A triangle for each picture and epoch, which points to where the picture faces."""
    for side, marker, colour, fill, label in (
        (~mask, ">", BLUE, "none", "as stored"),
        (mask, "<", VERMILION, VERMILION, "mirrored"),
    ):
        epochs, pictures = np.nonzero(side)
        axes.plot(
            epochs + 1, pictures + 1, linestyle="none", marker=marker, color=colour, markerfacecolor=fill, label=label
        )
    axes.set(xlim=(0.4, len(mask) + 0.6), ylim=(mask.shape[1] + 0.7, 0.3), xlabel="epoch")
    axes.set_title(f"{name}", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, handlelength=1, borderaxespad=0.2)
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_locator(MaxNLocator(integer=True))


def _shares(axes: Axes, shares: Mapping[str, np.ndarray], pictures: int) -> None:
    for (name, share), style in zip(shares.items(), STYLES[1:], strict=False):
        epochs = np.arange(1, len(share) + 1)
        axes.plot(epochs, share, color=style.colour, linestyle=style.dashes, marker=style.marker, label=name)
    axes.set(xlabel="epoch", ylabel="sides seen\nso far, %", ylim=(45, 105))
    axes.set_title(f"of the two sides of each of {pictures:,} pictures", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")


def sides(images: ArrayLike, masks: Mapping[str, ArrayLike]) -> Drawing:
    """The pictures as two ways of flipping show them, a row for each epoch; framed where the side was seen before.

    images: (N, 3, H, W), uint8, 1 to 5 of them. masks: for each way, by name, which are mirrored in each epoch: bool
    (epochs, N), of 2 to 4 epochs. Framed are the sides that the epoch just before showed, too. Raises UsageError for
    other shapes.
    """
    pictures = np.asarray(images)
    arrays = {name: np.asarray(mask, bool) for name, mask in masks.items()}
    shapes = {mask.shape for mask in arrays.values()}
    if pictures.ndim != 4 or pictures.shape[1] != 3 or not 1 <= len(pictures) <= SIDES:
        raise UsageError(f"images of shape {pictures.shape} are not legal: 1 to {SIDES} of (3, height, width)")
    if len(arrays) != 2 or len(shapes) > 1 or any(mask.shape[1:] != (len(pictures),) for mask in arrays.values()):
        raise UsageError(f"two masks (epochs, {len(pictures)}) of one shape are needed")
    epochs = len(next(iter(arrays.values())))
    if not 2 <= epochs <= SIDE_EPOCHS:
        raise UsageError(f"{epochs} epochs are not legal: 2 to {SIDE_EPOCHS}")
    table = pd.DataFrame(
        {
            "flip": name,
            "epoch": epoch + 1,
            "mirrored": _numbers(mask[epoch]),
            "same side as in the epoch before": _numbers(_again(mask)[epoch]),
        }
        for name, mask in arrays.items()
        for epoch in range(epochs)
    )
    counts = ", ".join(f"{name} {int(_again(mask).sum())}" for name, mask in arrays.items())
    alt = (
        f"{len(pictures)} pictures as they are shown in {epochs} epochs, mirrored or not. How often a picture shows "
        f"the same side as in the epoch before: {counts}."
    )
    side = pictures.shape[-1] + GAP
    with house_style():
        drawing = Drawing(table, alt, height=0.7 + 3.6 * epochs / len(pictures))
        for axes, (name, mask) in zip(drawing.subplots(1, 2), arrays.items(), strict=True):
            _show_sides(axes, pictures, mask, side)
            axes.set_title(f"{name}: {int(_again(mask).sum())} shown twice in a row", fontsize=SMALL)
    return drawing


def _again(mask: np.ndarray) -> np.ndarray:
    """Where a side is that of the epoch before: bool (epochs, N)."""
    return np.concatenate([np.zeros_like(mask[:1]), mask[1:] == mask[:-1]])


def _show_sides(axes: Axes, pictures: np.ndarray, mask: np.ndarray, side: int) -> None:
    """One image of all pictures and epochs: (epochs * side, N * side, 3)."""
    epochs, n = mask.shape
    canvas = np.full((epochs * side, n * side, 3), 255, np.uint8)
    for epoch, image in np.ndindex(epochs, n):
        picture = pictures[image].transpose(1, 2, 0)
        height, width = picture.shape[:2]
        top, left = epoch * side + GAP // 2, image * side + GAP // 2
        canvas[top : top + height, left : left + width] = picture[:, ::-1] if mask[epoch, image] else picture
    axes.imshow(canvas, interpolation="nearest")
    for epoch, image in zip(*np.nonzero(_again(mask)), strict=True):
        corner = image * side - 0.5 + GAP / 4, epoch * side - 0.5 + GAP / 4
        axes.add_patch(
            Rectangle(corner, side - GAP / 2, side - GAP / 2, fill=False, edgecolor=VERMILION, linewidth=2.5)
        )
    middle = (side - 1) / 2
    axes.set_xticks([middle + side * i for i in range(n)], range(1, n + 1))
    axes.set_yticks([middle + side * i for i in range(epochs)], range(1, epochs + 1))
    axes.set(xlabel="picture", ylabel="epoch")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
