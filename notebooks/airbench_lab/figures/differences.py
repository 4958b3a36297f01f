"""What changes make of the accuracy: paired by seed, with their intervals, and live runs beside the recorded ones."""

import math
from collections.abc import Mapping, Sequence

import pandas as pd

from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.study.statistics import difference

ROW = 0.36  # inches
COLUMNS = ["change", "source", "n", "difference, points", "low", "high", "clear of 0"]

Accuracies = Mapping[int, float]  # by seed, in 0..1
Pair = tuple[Accuracies, Accuracies]  # without the change, with it


def differences(
    recorded: Mapping[str, Pair],
    live: Mapping[str, Pair],
    *,
    where: str,
    live_where: str = "",
    mixed: Sequence[str] = (),
) -> Drawing:
    """For each change the mean difference of accuracy that it makes, in points, with Student's 95 % interval.

    recorded, live: by change; of the seeds that both sides have. A single pair of seeds has no interval; a change
    without any pair has no row, and where none has one there are words instead of axes. The rows stand in the order of
    `recorded`, then of `live`. where, live_where: the hardware of each. mixed: the changes whose two sides were
    recorded on different hardware, and were left out.
    """
    sources = {"recorded": recorded, "live": live}
    rows = [
        row
        for name in dict.fromkeys([*recorded, *live])
        for source, pairs in sources.items()
        if name in pairs and (row := _row(name, source, *pairs[name]))
    ]
    table = pd.DataFrame(rows, columns=COLUMNS)
    names = list(dict.fromkeys(table["change"]))
    n = {source: [row["n"] for row in rows if row["source"] == source] for source in sources}
    if n["recorded"]:
        notes = [f"Recorded on {where}, {_pairs(n['recorded'])}."]
    else:
        notes = [] if mixed else ["Nothing of this is recorded at this scale on these images."]
    if mixed:
        notes.append(f"Left out, since the two sides were recorded on different hardware: {'; '.join(mixed)}.")
    if n["live"]:
        alone = "; a single pair has no interval, and proves nothing" * (max(n["live"]) == 1)
        notes.append(f"Live: {live_where}, {_pairs(n['live'])}{alone}.")
    if not rows:
        with house_style():
            drawing = Drawing(table, f"{_words(rows)} {' '.join(notes)}", height=0.6)
            drawing.text(0.02, 0.5, wrapped(" ".join(notes), 7.6), va="center", fontsize=SMALL)
        return drawing
    under = wrapped(" ".join(notes), 7.6)
    with house_style():
        room = 0.17 * max(0, under.count("\n") - 1)  # of a third line of the note, and more
        drawing = Drawing(table, _words(rows), height=1.3 + ROW * len(names) + room)
        axes = drawing.subplots()
        ends = [0.0, *(row[key] for row in rows for key in COLUMNS[3:6] if math.isfinite(row[key]))]
        low, high = min(-0.3, *ends), max(0.3, *ends)
        axes.set(xlim=(1.06 * low, 1.06 * high), ylim=(len(names) - 0.4, -0.6), xlabel="difference of accuracy, points")
        axes.axvline(0, color=GREY, linewidth=1)
        axes.set_yticks(range(len(names)), [wrapped(name, 3.2) for name in names])
        apart = 0.12 if n["recorded"] and n["live"] else 0.0
        for style, source, shift in (STYLES[1], "recorded", -apart), (STYLES[2], "live", apart):
            some = [row for row in rows if row["source"] == source]
            at = [names.index(row["change"]) + shift for row in some]
            values = [row["difference, points"] for row in some]
            if some:
                axes.plot(values, at, **style.point, markersize=8, label=source)
            for row, y in zip(some, at, strict=True):
                interval(axes, y, row["low"], row["high"], style.colour)
        if apart:
            drawing.legend(loc="outside upper right", ncols=2)
        drawing.supxlabel(under, fontsize=SMALL)
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


def _pairs(n: list[int]) -> str:
    """How many pairs of seeds the rows have: "n=5 pairs", "n=3 to 5 pairs"."""
    least, most = min(n), max(n)
    return f"n={least}{f' to {most}' * (least < most)} pair{'s' * (most > 1)}"


def _words(rows: list[dict]) -> str:
    said = "; ".join(
        f"{row['change']}, {row['source']}: {row['difference, points']:+.1f} points (n={row['n']})" for row in rows
    )
    return f"Differences of accuracy that changes make: {said or 'none known'}."
