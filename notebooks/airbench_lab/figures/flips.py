"""Two ways of flipping: which side of each picture is shown epoch by epoch."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import SMALL, VERMILION, Drawing, house_style

SIDES, SIDE_EPOCHS = 5, 4  # shown as pictures, at most
GAP = 2  # white pixels between two of them


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


def _numbers(mirrored: np.ndarray) -> str:
    return ", ".join(str(picture + 1) for picture in np.flatnonzero(mirrored)) or "none"


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
