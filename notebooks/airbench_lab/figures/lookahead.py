"""Lookahead on plain arrays: one round of it and how much it keeps; descents on a noisy quadratic."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLACK, BLUE, GREY, STYLES, Drawing, house_style

ROWS = 20  # of a table, at most


def lookahead_round(path: ArrayLike, slow: ArrayLike, decays: ArrayLike) -> Drawing:
    """One round of Lookahead in the plane, and beside it how much of the slow weights is kept over a training.

    path: (steps + 1, 2), where the fast weights went, from where the slow ones are. slow: (2,), where both are after
    the update. decays: (updates,), over a whole training. Raises UsageError for other shapes.
    """
    places, end, kept = np.asarray(path, float), np.asarray(slow, float), np.asarray(decays, float)
    if places.ndim != 2 or places.shape[1] != 2 or len(places) < 2 or end.shape != (2,):
        raise UsageError(f"a path of shape {places.shape} to {end.shape} is not legal: (2 or more, 2) to (2,)")
    if kept.ndim != 1 or len(kept) < 2:
        raise UsageError(f"decays of shape {kept.shape} are not legal: (2 or more,)")
    at = np.linspace(0, 100, len(kept))
    some = np.unique(np.linspace(0, len(kept) - 1, 11).round().astype(int))
    table = pd.DataFrame({"training done, %": at[some], "d, kept": kept[some], "1 - d, taken over": 1 - kept[some]})
    alt = (
        f"Left: from the slow weights {len(places) - 1} steps of the fast ones, then both are set to a place "
        f"between. Right: d from {kept[0]:.2g} over {kept[len(kept) // 2]:.2g} half way to {kept[-1]:.2g}."
    )
    with house_style():
        drawing = Drawing(table, alt, height=3.6)
        left, right = drawing.subplots(1, 2)
        left.plot(*np.stack([places[0], places[-1]]).T, color=GREY, linestyle=":", linewidth=1)
        left.plot(*places.T, color=BLUE, linestyle=STYLES[1].dashes, marker="s", markersize=5, label="fast: its steps")
        left.plot(*places[0], "o", color=BLACK, markersize=10, markerfacecolor="none", label="slow, before")
        left.plot(*end, "o", color=BLACK, markersize=10, label="slow and fast, after")
        left.set(xticks=[], yticks=[], xlabel="one weight", ylabel="another weight")
        left.set_title("one round", loc="left")
        left.margins(0.15)
        for name, values, style in (
            ("d: kept of the slow weights", kept, STYLES[0]),
            ("1 − d: taken over", 1 - kept, STYLES[2]),
        ):
            right.plot(at, values, color=style.colour, linestyle=style.dashes, label=name)
        right.set(xlabel="training done, %", ylim=(-0.03, 1.03))
        right.set_title("the schedule of d", loc="left")
        right.grid(alpha=0.3)
        right.legend(loc="center left")
        drawing.legend(*left.get_legend_handles_labels(), loc="outside lower left", ncols=3)
    return drawing


def descents(paths: Mapping[str, ArrayLike], losses: Mapping[str, ArrayLike], curvature: ArrayLike) -> Drawing:
    """Ways down a quadratic valley: the last quarter of one of each in the plane, and the mean loss of many by steps.

    paths: for each way, by name, (steps + 1, 2). losses: by the same names, (steps + 1,), above 0. curvature: (2,), a
    and b of the loss (a x² + b y²) / 2. Raises UsageError for other shapes, or more than three ways.
    """
    ways = {name: np.asarray(path, float) for name, path in paths.items()}
    means = {name: np.asarray(loss, float) for name, loss in losses.items()}
    a, b = np.asarray(curvature, float)
    steps = {len(some) for some in (*ways.values(), *means.values())}
    if ways.keys() != means.keys() or not 1 <= len(ways) <= 3 or len(steps) != 1:
        raise UsageError("descents need one to three ways, each with a path (steps + 1, 2) and losses (steps + 1,)")
    if any(path.ndim != 2 or path.shape[1] != 2 for path in ways.values()):
        raise UsageError("a path is of shape (steps + 1, 2)")
    last = steps.pop() - 1
    some = np.unique(np.linspace(0, last, ROWS + 1).round().astype(int))
    table = pd.DataFrame(
        {"step": some}
        | {f"mean loss, {name}": loss[some] for name, loss in means.items()}
        | {f"{axis}, {name}": path[some, i] for name, path in ways.items() for i, axis in enumerate("xy")}
    )
    ends = ", ".join(f"{name} {loss[-1]:.2g}" for name, loss in means.items())
    styles = dict(zip(ways, (STYLES[1], STYLES[2], STYLES[3]), strict=False))
    with house_style():
        drawing = Drawing(table, f"Descents on a noisy quadratic; mean loss after {last} steps: {ends}.", height=3.8)
        left, right = drawing.subplots(1, 2)
        first = last - last // 4
        x, y = _around(np.concatenate([path[first:] for path in ways.values()]))
        valley = (a * x[None, :] ** 2 + b * y[:, None] ** 2) / 2
        left.contour(x, y, valley, levels=valley.max() * np.linspace(0.1, 1, 6) ** 2, colors=GREY, linewidths=0.5)
        left.plot(0, 0, marker="+", color=BLACK, markersize=12, linestyle="none")
        for name, path in ways.items():
            left.plot(*path[first:].T, color=styles[name].colour, linestyle=styles[name].dashes, linewidth=1)
            left.plot(*path[-1], **styles[name].point, markersize=9)
        left.set(xlabel="x", ylabel="y", xlim=(x[0], x[-1]), ylim=(y[0], y[-1]))
        left.set_title(f"one run of each, its last {last - first} steps\n+ is the minimum", loc="left")
        for name, loss in means.items():
            style = styles[name]
            right.plot(loss, **style.line, markevery=last, label=name)
        right.set(yscale="log", xlabel="step")
        right.set_title("mean loss of all runs", loc="left")
        right.yaxis.set_major_formatter("{x:g}")
        right.yaxis.set_minor_formatter("")
        right.grid(alpha=0.3)
        drawing.legend(loc="outside upper center", ncols=len(ways))
    return drawing


def _around(places: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What is to be seen along x and along y: all places, the minimum, and some room."""
    low, high = np.minimum(places.min(0), 0), np.maximum(places.max(0), 0)
    room = 0.06 * (high - low) + 1e-6
    return tuple(np.linspace(first, last, 80) for first, last in zip(low - room, high + room, strict=True))
