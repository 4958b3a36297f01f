"""Looking inside, on plain arrays: whitening filters, second moments, singular values, losses of a small descent."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, show_picture

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
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), alt, height=2.3)
        for i, axes in enumerate(drawing.subplots(2, 12).flat):
            picture = 0.5 + 0.5 * values[i] / (np.abs(values[i]).max() or 1)
            show_picture(axes, picture)
            axes.set_title(f"{i + 1}\n{lengths[i]:.2g}" if i < 12 else f"{i + 1}", fontsize=SMALL)
            axes.spines[:].set_visible(True)
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
    with house_style():
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
    with house_style():
        drawing = Drawing(table, f"Singular values by rank, the smallest and largest: {ranges}.", height=4.2)
        axes = drawing.subplots()
        for (name, some), style in zip(arrays.items(), STYLES, strict=False):
            axes.plot(table["rank"], some, **style.line, markevery=max(1, len(some) // 12), label=name)
        axes.axhline(1, color=GREY, linestyle=":", linewidth=1)
        axes.set(yscale="log", xlabel="rank, 1 is the largest", ylabel="singular value")
        axes.yaxis.set_major_formatter("{x:g}")
        axes.yaxis.set_minor_formatter("")
        axes.grid(alpha=0.3)
        drawing.legend(loc="outside upper center", ncols=3)
    return drawing


def losses(
    curves: Mapping[str, ArrayLike],
    *,
    step: str = "step of gradient descent",
    loss: str = "mean squared error",
    first: int = 0,
) -> Drawing:
    """The losses of descents against their steps.

    curves: by name, of 1 to 7 descents, all as long (steps,). step, loss: what the axes are called. first: the number
    of the first value; 0 where that is the loss before any step. What is more than 2.2 times the least loss is cut off.
    Raises UsageError for other shapes.
    """
    arrays = {name: np.asarray(some, float) for name, some in curves.items()}
    shapes = {some.shape for some in arrays.values()}
    if not 1 <= len(arrays) <= len(STYLES) or len(shapes) > 1 or any(some.ndim != 1 for some in arrays.values()):
        raise UsageError(f"losses need 1 to {len(STYLES)} arrays (steps,) of one length")
    count = shapes.pop()[0]
    last = first + count - 1
    steps = sorted({at for at in (0, 1, 2, 5, 10, 20, 50, 100, 200, 500) if first <= at < last} | {last})
    table = pd.DataFrame({"step": steps, **{name: some[np.array(steps) - first] for name, some in arrays.items()}})
    said = "; ".join(f"{name} from {some[0]:.3g} to {some[-1]:.3g}" for name, some in arrays.items())
    with house_style():
        drawing = Drawing(table, f"The {loss} against the {step}, up to {last}: {said}.", height=3.4)
        axes = drawing.subplots()
        for (name, some), style in zip(arrays.items(), STYLES, strict=False):
            axes.plot(range(first, last + 1), some, **style.line, markevery=max(1, last // 12), label=name)
        axes.set(xlabel=step, ylabel=loss)
        least, top = min(some.min() for some in arrays.values()), axes.get_ylim()[1]
        if least < top / 2:
            axes.set_ylim(0, min(top, 2.2 * least))
        axes.grid(alpha=0.3)
        axes.legend()
    return drawing


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
