"""Do effects add? What each trick is worth in one company and in another."""

import math
from collections.abc import Mapping

import pandas as pd

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.study.statistics import difference

ROW = 0.62  # inches

BySeed = Mapping[int, float]
Pair = tuple[BySeed, BySeed]  # without the trick, with it: in percent


def effects(measured: Mapping[str, Mapping[str, Pair]], *, where: str) -> Drawing:
    """A row for each trick, and in it a point for each company in which it was measured: the gain, in points.

    measured: by trick and then by company, in the order of the first trick; with Student's 95 % interval of the pairs.
    On a straight line downwards the trick is worth the same everywhere. where: what was run, and on what hardware.
    Raises UsageError for nothing to draw, and as `study.statistics.difference`.
    """
    if not measured:
        raise UsageError("there are no effects to draw")
    companies = list(next(iter(measured.values())))
    rows = [
        {"trick": trick, "where": company, "n": found.n_a, "points": found.difference}
        | {"low": found.low, "high": found.high}
        for trick, pairs in measured.items()
        for company in companies
        for found in [difference(*pairs[company])]
    ]
    table = pd.DataFrame(rows)
    words = "; ".join(f"{row['trick']}, {row['where']}: {row['points']:+.1f} (n={row['n']})" for row in rows)
    n = sorted(set(table["n"]))
    note = f"{where}, n={' to '.join(map(str, (n[0], n[-1]) if len(n) > 1 else n))} pairs. Lines: 95 % intervals."
    with house_style():
        drawing = Drawing(
            table, f"What each trick gains, in points of accuracy. {words}.", height=1.4 + ROW * len(measured)
        )
        axes = drawing.subplots()
        ends = [0.0, *(row[end] for row in rows for end in ("low", "high") if math.isfinite(row[end]))]
        room = 0.05 * (max(ends) - min(ends))
        axes.set(xlim=(min(ends) - room, max(ends) + room), ylim=(len(measured) - 0.4, -0.6))
        axes.set_xlabel("gain of accuracy, points")
        axes.axvline(0, color=GREY, linewidth=1)
        axes.grid(axis="x", alpha=0.3)
        axes.set_yticks(range(len(measured)), [wrapped(trick, 2.0) for trick in measured])
        for number, company in enumerate(companies):
            style, shift = STYLES[number], 0.24 * (number - (len(companies) - 1) / 2)
            some = table[table["where"] == company]
            at = [row + shift for row in range(len(some))]
            axes.plot(some["points"], at, **style.point, markersize=7, label=company)
            for y, low, high in zip(at, some["low"], some["high"], strict=True):
                interval(axes, y, low, high, style.colour)
        drawing.legend(loc="outside upper center", ncols=len(companies))
        drawing.supxlabel(wrapped(note, 7.6), fontsize=SMALL)
    return drawing
