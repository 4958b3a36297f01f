"""Do effects add? The sum of what several changes do one by one, against what they do together."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, interval, look, wrapped
from airbench_lab.study.statistics import by_seed, mean_interval

ROW = 0.42  # inches
SUM, JOINT, APART = "sum of the single effects", "effect together", "together minus sum"
LABELS = 2.0  # inches of text beside the rows

BySeed = Mapping[int, float]


def sums(effects: Mapping[str, tuple[BySeed, BySeed]], *, where: str) -> Drawing:
    """For each set of changes its single effects added up and its effect together, and by how much these differ.

    effects: by the name of the set, in points by seed: the sum of the single effects, and the effect together, as
    `airbench_lab.together.sum_and_joint` gives them. Means over the seeds with Student's 95 % interval, of the
    difference too, which is taken seed by seed; a single seed has none. where: what was run, and on what hardware.
    Raises UsageError for no effects, and for sets of which both sides do not have the same seeds.
    """
    if not effects:
        raise UsageError("there are no effects to draw")
    rows = [_row(name, *pair) for name, pair in effects.items()]
    table = pd.DataFrame(rows)
    words = "; ".join(
        f"{row['removed']}: {row[SUM]:.1f} and {row[JOINT]:.1f}, apart {row[APART]:+.1f} (n={row['n']})" for row in rows
    )
    n = sorted({row["n"] for row in rows})
    names = [row["removed"] + f" (n={row['n']})" * (len(n) > 1) for row in rows]
    said = f", n={n[0]} {'seeds' if n[0] > 1 else 'seed: no interval'}" * (len(n) == 1)
    note = f"{where}{said}. At 0 on the right the effects add. Lines: 95 % intervals, on the right taken seed by seed."
    with look():
        drawing = Drawing(
            table, f"Effects added up, and together, in points of accuracy. {words}.", height=1.6 + ROW * len(rows)
        )
        left, right = drawing.subplots(1, 2, sharey=True)
        _panel(left, rows, ((SUM, STYLES[1], -0.15), (JOINT, STYLES[2], 0.15)))
        _panel(right, rows, ((APART, STYLES[0], 0.0),))
        left.set_yticks(range(len(rows)), [wrapped(name, LABELS) for name in names])
        left.set_ylim(len(rows) - 0.4, -0.6)
        left.set_xlabel("points of accuracy")
        right.set_xlabel(f"{APART}, points")
        drawing.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        drawing.supxlabel(wrapped(note, 7.6), fontsize=SMALL)
    return drawing


def _row(name: str, summed: BySeed, joint: BySeed) -> dict[str, Any]:
    one, other = by_seed(summed, joint)
    columns = {SUM: one, JOINT: other, APART: [b - a for a, b in zip(one, other, strict=True)]}
    row: dict[str, Any] = {"removed": name, "n": len(one)}
    for column, values in columns.items():
        single = len(values) == 1
        mean = None if single else mean_interval(values)
        row |= {
            column: values[0] if mean is None else mean.mean,
            f"{column}, low": math.nan if mean is None else mean.low,
            f"{column}, high": math.nan if mean is None else mean.high,
        }
    return row


def _panel(axes: Axes, rows: Sequence[Mapping[str, Any]], series: Sequence[tuple]) -> None:
    ends = [row[name + end] for row in rows for name, _, _ in series for end in ("", ", low", ", high")]
    finite = [0.0, *(end for end in ends if math.isfinite(end))]
    room = 0.06 * max(np.ptp(finite), 1)
    axes.set_xlim(min(finite) - room, max(finite) + room)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    for name, style, shift in series:
        at = [number + shift for number in range(len(rows))]
        values = [row[name] for row in rows]
        axes.plot(values, at, linestyle="none", marker=style.marker, color=style.colour, markersize=7, label=name)
        for row, y in zip(rows, at, strict=True):
            interval(axes, y, row[f"{name}, low"], row[f"{name}, high"], style.colour)
