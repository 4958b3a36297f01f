"""Lookahead on plain arrays: one round of it and how much it keeps; what comes of it by the end of the schedule."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLACK, BLUE, GREY, STYLES, Drawing, house_style, interval
from airbench_lab.study.statistics import mean_interval

APART = 0.02  # of two ways, along lr_end


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


def by_end(panels: Mapping[str, Mapping[str, Mapping[float, Sequence[float]]]], measured: str) -> Drawing:
    """What comes of a training, by where its learning rate ends: means with Student's 95 % intervals.

    panels: by title, then by the way of training, {lr_end: values}, one value a run, two and more; the same ways in
    each. measured: what a value is. Raises UsageError for no panels or more than three, or other than 1 to 7 ways.
    """
    ways = {tuple(lines) for lines in panels.values()}
    if not 1 <= len(panels) <= 3 or len(ways) != 1 or not 1 <= len(*ways) <= len(STYLES):
        raise UsageError(f"means by lr_end need 1 to 3 panels of the same 1 to {len(STYLES)} ways")
    rows = [
        {"panel": title, "way": way, "lr_end": end, "mean": mean.mean, "low": mean.low, "high": mean.high, "n": mean.n}
        for title, lines in panels.items()
        for way, of in lines.items()
        for end, mean in ((end, mean_interval(of[end])) for end in sorted(of))
    ]
    said = "; ".join(f"{row['panel']}, {row['way']}, lr_end {row['lr_end']:g}: {row['mean']:.3g}" for row in rows)
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), f"{measured} by where the learning rate ends. {said}.", height=3.4)
        grid = drawing.subplots(1, len(panels), sharey=True, squeeze=False)[0]
        low, high = min(row["low"] for row in rows), max(row["high"] for row in rows)
        room = 0.05 * (high - low) or 1
        grid[0].set_ylim(low - room, high + room)  # first: an interval that leaves the axes is drawn as an arrow
        for axes, (title, lines) in zip(grid, panels.items(), strict=True):
            for i, (way, style) in enumerate(zip(lines, STYLES[1:] + STYLES[:1], strict=False)):
                own = [row for row in rows if (row["panel"], row["way"]) == (title, way)]
                at = [row["lr_end"] + APART * (i - (len(lines) - 1) / 2) for row in own]
                axes.plot(at, [row["mean"] for row in own], **style.line, label=way)
                for x, row in zip(at, own, strict=True):
                    interval(axes, x, row["low"], row["high"], style.colour, upright=True)
            axes.set(xlabel="lr_end: share of the peak", xlim=(-0.06, 1.06))
            axes.set_title(title, loc="left")
            axes.grid(alpha=0.3)
        grid[0].set_ylabel(measured)
        drawing.legend(*grid[0].get_legend_handles_labels(), loc="outside upper right", ncols=len(*ways))
    return drawing
