"""What changes make of the accuracy: paired by seed, with their intervals, and live runs beside the recorded ones."""

import math
from collections.abc import Mapping

import pandas as pd

from airbench_core.study.statistics import difference
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, interval, look, wrapped

ROW = 0.36  # inches
COLUMNS = ["change", "source", "n", "difference, points", "low", "high", "clear of 0"]

Accuracies = Mapping[int, float]  # by seed, in 0..1
Pair = tuple[Accuracies, Accuracies]  # without the change, with it


def differences(recorded: Mapping[str, Pair], live: Mapping[str, Pair], *, where: str, live_where: str = "") -> Drawing:
    """For each change the mean difference of accuracy that it makes, in points, with Student's 95 % interval.

    recorded, live: by change; of the seeds that both sides have. A single pair of seeds has no interval, none at all is
    left out. where, live_where: the hardware of each.
    """
    rows = [
        row
        for source, pairs in (("recorded", recorded), ("live", live))
        for name, pair in pairs.items()
        if (row := _row(name, source, *pair))
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    names = list(dict.fromkeys(table["change"]))
    notes = [f"Recorded on {where}."] if where else ["Nothing of this is recorded at this scale on these images."]
    if live_where:
        single = all(row["n"] == 1 for row in rows if row["source"] == "live")
        notes.append(
            f"Live: {live_where}" + ("; a single pair has no interval, and proves nothing." if single else ".")
        )
    with look():
        drawing = Drawing(table, _words(rows), height=1.3 + ROW * max(1, len(names)))
        axes = drawing.subplots()
        ends = [0.0, *(row[key] for row in rows for key in COLUMNS[3:6] if math.isfinite(row[key]))]
        low, high = min(-0.3, *ends), max(0.3, *ends)
        axes.set(xlim=(1.06 * low, 1.06 * high), ylim=(len(names) - 0.4, -0.6), xlabel="difference of accuracy, points")
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(range(len(names)), [wrapped(name, 3.2) for name in names])
        for style, source, shift in (STYLES[1], "recorded", -0.12), (STYLES[2], "live", 0.12):
            some = [row for row in rows if row["source"] == source]
            at = [names.index(row["change"]) + shift for row in some]
            values = [row["difference, points"] for row in some]
            marker = {"linestyle": "none", "marker": style.marker, "color": style.colour, "markersize": 8}
            if some:
                axes.plot(values, at, **marker, label=source)
            for row, y in zip(some, at, strict=True):
                interval(axes, y, row["low"], row["high"], style.colour)
        if rows:
            drawing.legend(loc="outside upper right", ncols=2)
        drawing.supxlabel(wrapped(" ".join(notes), 7.6), fontsize=SMALL)
    return drawing


def _row(name: str, source: str, without: Accuracies, with_: Accuracies) -> dict | None:
    seeds = [seed for seed in without if seed in with_]
    if not seeds:
        return None
    if len(seeds) == 1:
        value = 100 * (with_[seeds[0]] - without[seeds[0]])
        return dict(zip(COLUMNS, (name, source, 1, value, math.nan, math.nan, "one pair: not known"), strict=True))
    found = difference(*({seed: 100 * runs[seed] for seed in seeds} for runs in (without, with_)))
    clear = "yes" if found.low > 0 or found.high < 0 else "no"
    return dict(zip(COLUMNS, (name, source, len(seeds), found.difference, found.low, found.high, clear), strict=True))


def _words(rows: list[dict]) -> str:
    said = "; ".join(
        f"{row['change']}, {row['source']}: {row['difference, points']:+.1f} points (n={row['n']})" for row in rows
    )
    return f"Differences of accuracy that changes make: {said or 'none known'}."
