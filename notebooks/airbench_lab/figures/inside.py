"""Looking inside, on plain arrays: whitening filters, second moments, the views of TTA, singular values."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_core.tricks.tta import TTA_WEIGHTS, tta_views
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, WIDTH, Drawing, look, row_height, side, wrapped

PIXELS = ("top left", "top right", "bottom left", "bottom right")
PATCH = tuple(f"{colour} {pixel}" for colour in ("red", "green", "blue") for pixel in PIXELS)  # as F.unfold orders them


def filters(weights: ArrayLike) -> Drawing:
    """The 24 filters (24, 3, 2, 2) of the first layer as small pictures; below each of the first twelve its negative.

    Grey is 0. Each filter is drawn as bright as it can be; its length, the norm of its 12 weights, stands above. A
    filter that is long amplifies what varies little in the images. Raises UsageError for another shape.
    """
    values = _array(weights, (24, 3, 2, 2), "weights")
    lengths = np.sqrt((values**2).sum((1, 2, 3)))
    rows = [
        {"filter": i + 1, "length": float(length), **dict(zip(PATCH, map(float, one.ravel()), strict=True))}
        for i, (one, length) in enumerate(zip(values, lengths, strict=True))
    ]
    alt = (
        "The 24 whitening filters as pictures of 2 by 2 pixels: twelve, and below them their negatives. Their lengths "
        f"go from {lengths.min():.2g} to {lengths.max():.2g}."
    )
    with look():
        drawing = Drawing(pd.DataFrame(rows), alt, height=2.3)
        for i, axes in enumerate(drawing.subplots(2, 12).flat):
            picture = 0.5 + 0.5 * values[i] / (np.abs(values[i]).max() or 1)
            _picture(axes, picture, f"{i + 1}\n{lengths[i]:.2g}" if i < 12 else f"{i + 1}")
        drawing.suptitle("whitening filters: number, length; below, their negatives")
    return drawing


def covariances(before: ArrayLike, after: ArrayLike) -> Drawing:
    """The second moment of the 12 numbers of a 2 x 2 patch, and that of what the first 12 whitening filters make of it.

    It is the covariance of numbers whose mean is 0; no mean is taken away here. before, after: (12, 12). Each picture
    has its own scale, the same on both sides of 0. Raises UsageError for other shapes.
    """
    pair = {"before": _array(before, (12, 12), "before"), "after": _array(after, (12, 12), "after")}
    names = {"before": PATCH, "after": tuple(f"filter {i}" for i in range(1, 13))}
    rows = [
        {"second moment": when, "of": name, **dict(zip(map(str, range(1, 13)), map(float, line), strict=True))}
        for when, matrix in pair.items()
        for name, line in zip(names[when], matrix, strict=True)
    ]
    conditions = {when: _condition(matrix) for when, matrix in pair.items()}
    said = ", ".join(f"{when} {_count(value)}" for when, value in conditions.items())
    alt = f"Second moments of 2 by 2 patches before and after whitening, 12 by 12. Condition numbers: {said}."
    with look():
        drawing = Drawing(pd.DataFrame(rows), alt, height=4)
        for axes, (when, matrix) in zip(drawing.subplots(1, 2), pair.items(), strict=True):
            limit = np.abs(matrix).max() or 1
            image = axes.imshow(matrix, cmap="PuOr", vmin=-limit, vmax=limit)
            drawing.colorbar(image, ax=axes, shrink=0.75, label="second moment")
            axes.set_title(f"{when} whitening\ncondition number {_count(conditions[when])}")
            if when == "before":
                for set_ticks in axes.set_xticks, axes.set_yticks:
                    set_ticks([1.5, 5.5, 9.5], ["red", "green", "blue"])
                axes.set_xlabel("colour, each with its 4 pixels")
            else:
                for set_ticks in axes.set_xticks, axes.set_yticks:
                    set_ticks(range(0, 12, 2), range(1, 13, 2))
                axes.set_xlabel("filter")
    return drawing


def titled(images: ArrayLike, titles: Sequence[str]) -> Drawing:
    """Images in a row, each below its title.

    images: (N, 3, H, W) of 1 to 10 images, in 0..1; the nearest is drawn for what is outside. Raises UsageError for
    other shapes, or another number of titles.
    """
    pixels = np.asarray(images, float)
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not 1 <= len(pixels) <= 10 or len(titles) != len(pixels):
        raise UsageError(f"images of shape {pixels.shape} with {len(titles)} titles: 1 to 10 of (3, H, W) are needed")
    rows = [
        {"picture": number, "title": title, "mean red": red, "mean green": green, "mean blue": blue}
        for number, (title, (red, green, blue)) in enumerate(
            zip(titles, pixels.mean((2, 3)).tolist(), strict=True), start=1
        )
    ]
    return _row(pixels, list(titles), pd.DataFrame(rows), f"Pictures in a row: {'; '.join(titles)}.")


def views(image: ArrayLike, tta: str = "mirror+translate") -> Drawing:
    """The views of one image that a level of test-time augmentation shows the network, with their weights.

    image: (3, H, W), uint8 or in 0..1. Raises UsageError for another shape, or a level that there is not.
    """
    if tta not in TTA_WEIGHTS:
        raise UsageError(f"tta={tta} is not legal: {' or '.join(TTA_WEIGHTS)}")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or len(pixels) != 3:
        raise UsageError(f"an image of shape {pixels.shape} is not legal: (3, height, width)")
    scaled = pixels / 255 if pixels.dtype == np.uint8 else pixels
    pictures, weights = tta_views(torch.tensor(scaled, dtype=torch.float32)[None], tta)
    table = pd.DataFrame({"view": range(1, len(pictures) + 1), "what": VIEWS[: len(pictures)], "weight": weights})
    described = "; ".join(f"{what}, weight {weight:g}" for what, weight in zip(table["what"], weights, strict=True))
    alt = f"The views of an image under test-time augmentation: {described}."
    return _row([view[0].numpy() for view in pictures], table["what"], table, alt, [f"weight {w:g}" for w in weights])


# As `tta_views` orders them: the first copy shows what lies one pixel up and left of each pixel.
MOVED = "moved 1 px down and right", "moved 1 px up and left"
VIEWS = ("the image", "mirrored", *MOVED, *(f"{moved}, mirrored" for moved in MOVED))


def singular_values(values: Mapping[str, ArrayLike]) -> Drawing:
    """Singular values from the largest to the smallest, of a matrix and of what Newton-Schulz makes of it.

    values: by name, such as {"before": ..., "after 3 steps": ...}, of 1 to 7 matrices, each with as many values (K,).
    The axis is logarithmic; the dotted line is 1, where the iteration drives them. Raises UsageError for other shapes.
    """
    arrays = {name: np.sort(np.asarray(some, float))[::-1] for name, some in values.items()}
    shapes = {some.shape for some in arrays.values()}
    if not 1 <= len(arrays) <= len(STYLES) or len(shapes) > 1 or any(some.ndim != 1 for some in arrays.values()):
        raise UsageError(f"singular values need 1 to {len(STYLES)} arrays (K,) of one length")
    table = pd.DataFrame({"rank": range(1, shapes.pop()[0] + 1), **arrays})
    ranges = ", ".join(f"{name} {some[-1]:.2g} to {some[0]:.2g}" for name, some in arrays.items())
    with look():
        drawing = Drawing(table, f"Singular values by rank, the smallest and largest: {ranges}.", height=4.2)
        axes = drawing.subplots()
        for (name, some), style in zip(arrays.items(), STYLES, strict=False):
            axes.plot(
                table["rank"],
                some,
                color=style.colour,
                linestyle=style.dashes,
                marker=style.marker,
                markevery=max(1, len(some) // 12),
                label=name,
            )
        axes.axhline(1, color=GREY, linestyle=":", linewidth=1)
        axes.set(yscale="log", xlabel="rank, 1 is the largest", ylabel="singular value")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.grid(alpha=0.3)
        drawing.legend(loc="outside upper center", ncols=3)
    return drawing


def _row(
    pictures: Sequence[np.ndarray], titles: Iterable[str], table: pd.DataFrame, alt: str, below: Sequence[str] = ()
) -> Drawing:
    """Pictures (3, H, W) side by side, each below its title, of which a last line is in `below`."""
    count = len(pictures)
    above = [wrapped(title, 0.9 * WIDTH / count) for title in titles]
    if below:
        above = [f"{title}\n{last}" for title, last in zip(above, below, strict=True)]
    with look():
        drawing = Drawing(table, alt, row_height(side(count, 2.5), above))
        for axes, picture, title in zip(drawing.subplots(1, count, squeeze=False)[0], pictures, above, strict=True):
            axes.set_anchor("N")  # else the room for the titles is measured from elsewhere
            _picture(axes, picture, title)
    return drawing


def _picture(axes: Axes, pixels: np.ndarray, title: str) -> None:
    """Pixels (3, H, W) in 0..1, as they are."""
    axes.imshow(pixels.transpose(1, 2, 0).clip(0, 1), interpolation="nearest")
    axes.set_title(title, fontsize=SMALL)
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)


def _array(values: ArrayLike, shape: Sequence[int], name: str) -> np.ndarray:
    array = np.asarray(values, float)
    if array.shape != tuple(shape):
        raise UsageError(f"{name} of shape {array.shape} are not legal: {tuple(shape)}")
    return array


def _condition(matrix: np.ndarray) -> float:
    """The largest eigenvalue over the smallest: how many times more one direction varies than another."""
    eigenvalues = np.linalg.eigvalsh(matrix)
    return float(eigenvalues[-1] / eigenvalues[0])


def _count(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
