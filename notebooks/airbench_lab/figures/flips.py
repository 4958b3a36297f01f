"""The flip calendar: which pictures are mirrored in which epoch, and how many of their sides have been seen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLUE, STYLES, VERMILION, Drawing, look

PICTURES, EPOCHS = 12, 16  # drawn one by one at most; all of them count


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
    with look():
        drawing = Drawing(table, alt, height=5.6)
        top = drawing.subfigures(2, 1, height_ratios=(shown + 4, 12))
        for axes, (name, mask) in zip(top[0].subplots(1, 2, sharey=True), arrays.items(), strict=True):
            _calendar(axes, name, mask[:, :shown])
        top[0].get_axes()[0].set_ylabel("picture")
        _sides(top[1].subplots(), {name: 100 * sides / (2 * pictures) for name, sides in seen.items()}, pictures)
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


def _sides(axes: Axes, shares: Mapping[str, np.ndarray], pictures: int) -> None:
    for (name, share), style in zip(shares.items(), STYLES[1:], strict=False):
        epochs = np.arange(1, len(share) + 1)
        axes.plot(epochs, share, color=style.colour, linestyle=style.dashes, marker=style.marker, label=name)
    axes.set(xlabel="epoch", ylabel="sides seen\nso far, %", ylim=(45, 105))
    axes.set_title(f"of the two sides of each of {pictures:,} pictures", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
