"""The flip calendar: which images are mirrored in which epoch, and how many different views have been seen."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLUE, STYLES, VERMILION, Drawing, look

IMAGES, EPOCHS = 12, 16  # drawn one by one at most; all of them count


def flip_calendar(masks: Mapping[str, ArrayLike]) -> Drawing:
    """Two ways of flipping, image by image and epoch by epoch, and below them the share of all views seen so far.

    masks: for each way, by name, which images are mirrored in each epoch: bool (epochs, images), as `flip_mask` gives
    it row by row. An image has two views: as stored, and mirrored. The first 12 images are drawn; all of them count.
    Raises UsageError unless there are two masks of one shape, of 2 to 16 epochs.
    """
    arrays = {name: np.asarray(mask, bool) for name, mask in masks.items()}
    shapes = {mask.shape for mask in arrays.values()}
    if len(arrays) != 2 or len(shapes) > 1 or any(mask.ndim != 2 for mask in arrays.values()):
        raise UsageError("a calendar needs two masks (epochs, images) of one shape")
    ((epochs, images),) = shapes
    if not (2 <= epochs <= EPOCHS and images):
        raise UsageError(
            f"a calendar of {epochs} epochs and {images} images is not legal: 2 to {EPOCHS}, and some images"
        )
    seen = {name: _seen(mask) for name, mask in arrays.items()}
    shown = min(images, IMAGES)
    column = f"views seen so far, of {2 * images:,}"
    table = pd.DataFrame(
        {
            "flip": name,
            "epoch": epoch + 1,
            "mirrored images" if shown == images else f"mirrored among the first {shown}": _numbers(
                mask[epoch, :shown]
            ),
            "mirrored": int(mask[epoch].sum()),
            column: int(seen[name][epoch]),
        }
        for name, mask in arrays.items()
        for epoch in range(epochs)
    )
    after = ", ".join(f"{name} {views[1]:,}" for name, views in seen.items())
    alt = (
        f"Which of {images:,} images are mirrored in each of {epochs} epochs. "
        f"Distinct views seen after two epochs, of {2 * images:,}: {after}."
    )
    with look():
        drawing = Drawing(table, alt, height=5.6)
        top = drawing.subfigures(2, 1, height_ratios=(shown + 4, 12))
        for axes, (name, mask) in zip(top[0].subplots(1, 2, sharey=True), arrays.items(), strict=True):
            _calendar(axes, name, mask[:, :shown])
        top[0].get_axes()[0].set_ylabel("image")
        _views(top[1].subplots(), {name: 100 * views / (2 * images) for name, views in seen.items()}, images)
    return drawing


def _seen(mask: np.ndarray) -> np.ndarray:
    """How many of the images' two views have been seen after each epoch: (epochs,)."""
    return sum(np.logical_or.accumulate(side, axis=0).sum(1) for side in (mask, ~mask))


def _numbers(mirrored: np.ndarray) -> str:
    return ", ".join(str(image + 1) for image in np.flatnonzero(mirrored)) or "none"


def _calendar(axes: Axes, name: str, mask: np.ndarray) -> None:
    """A triangle for each image and epoch, which points to where the image faces."""
    for side, marker, colour, fill, label in (
        (~mask, ">", BLUE, "none", "as stored"),
        (mask, "<", VERMILION, VERMILION, "mirrored"),
    ):
        epochs, images = np.nonzero(side)
        axes.plot(
            epochs + 1, images + 1, linestyle="none", marker=marker, color=colour, markerfacecolor=fill, label=label
        )
    axes.set(xlim=(0.4, len(mask) + 0.6), ylim=(mask.shape[1] + 0.7, 0.3), xlabel="epoch")
    axes.set_title(f"{name}", loc="left")
    axes.legend(loc="lower right", bbox_to_anchor=(1, 1), ncols=2, handlelength=1, borderaxespad=0.2)
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_locator(MaxNLocator(integer=True))


def _views(axes: Axes, shares: Mapping[str, np.ndarray], images: int) -> None:
    for (name, share), style in zip(shares.items(), STYLES[1:], strict=False):
        epochs = np.arange(1, len(share) + 1)
        axes.plot(epochs, share, color=style.colour, linestyle=style.dashes, marker=style.marker, label=name)
    axes.set(xlabel="epoch", ylabel="distinct views\nseen so far, %", ylim=(45, 105))
    axes.set_title(f"of the two views of each of {images:,} images", loc="left")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right")
