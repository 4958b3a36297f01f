"""The leaderboard of a speedrun: seconds and accuracies with their intervals; and how likely a test lets one pass."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, VERMILION, Drawing, house_style, interval, wrapped

ROW = 0.5  # inches
LABELS = 1.9  # inches of text beside the rows
PASSING = ("true mean minus target, points", "chance to pass, %")


def board(rows: Sequence[Mapping[str, Any]], *, target: float, where: str) -> Drawing:
    """A leaderboard: seconds and accuracy of each entry, with their intervals, and the target.

    rows: from the first place down, as `lessons.speedrun.standings` makes them: rank, entry, seconds and accuracy with
    low and high, n. target: in percent. What does not pass is drawn hollow.
    """
    table = pd.DataFrame(rows)
    words = "; ".join(
        f"{row['rank']}: {row['entry']}, {row['seconds']:.2f} s, {row['accuracy, %']:.2f} % (n={row['n']})"
        for row in rows
    )
    sure = sorted({f"{row['sure']:.0%}".replace("%", " %") for row in rows}) if rows else []
    note = f"{where}. Seconds: median, {' or '.join(sure)} interval; accuracy: mean, 95 % interval; dashed: the target."
    note += " Hollow: does not pass." if any(row["rank"] == "fails" for row in rows) else ""
    under = wrapped(note, 7.6)
    with house_style():
        drawing = Drawing(
            table,
            f"Leaderboard, {where}. {words or 'No entries yet'}.",
            height=round(1.1 + 0.17 * (under.count("\n") + 1) + ROW * max(1, len(rows)), 2),
        )
        left, right = drawing.subplots(1, 2, sharey=True)
        for axes, name, label in (left, "seconds", "median seconds"), (right, "accuracy, %", "mean accuracy, %"):
            start = name.removesuffix(", %")
            ends = [row[key] for row in rows for key in (name, f"{start}, low", f"{start}, high")]
            ends += [target] if axes is right else []
            room = 0.08 * max(np.ptp(ends), 0.1) if ends else 1
            axes.set(xlim=(min(ends) - room, max(ends) + room) if ends else (0, 1), xlabel=label)
            axes.grid(axis="x", alpha=0.3)
            for at, row in enumerate(rows):
                style = STYLES[1 if axes is left else 3]
                fill = "white" if row["rank"] == "fails" else style.colour
                interval(axes, at, row[f"{start}, low"], row[f"{start}, high"], style.colour)
                axes.plot(row[name], at, **style.point, markerfacecolor=fill, markersize=8)
        right.axvline(target, color=VERMILION, linestyle="--", linewidth=1)
        left.set_yticks(range(len(rows)), [wrapped(f"{row['rank']}: {row['entry']}", LABELS) for row in rows])
        left.set_ylim(max(1, len(rows)) - 0.4, -0.6)
        if not rows:
            left.text(0.5, 0.5, "no entries yet", transform=left.transAxes, ha="center")
        drawing.supxlabel(under, fontsize=SMALL)
    return drawing


def passing(
    chance: Callable[[float, float, int], float], std: float, runs: Sequence[int], reach: float = 1.5
) -> Drawing:
    """How likely an entry passes, by how far its true mean lies from the target, for several numbers of runs.

    chance: as `lessons.speedrun.chance_to_pass`. std: of single runs, in points. runs: one to seven numbers of runs.
    reach: points to each side. Raises UsageError for more lines than one can tell apart.
    """
    if not 1 <= len(runs) <= len(STYLES):
        raise UsageError(f"{len(runs)} lines are not legal: 1 to {len(STYLES)}")
    above = np.linspace(-reach, reach, 61)
    lines = {n: 100 * np.array([chance(float(x), std, n) for x in above]) for n in runs}
    rows = [{PASSING[0]: x, **{f"{PASSING[1]}, n={n}": y[i] for n, y in lines.items()}} for i, x in enumerate(above)]
    words = ", ".join(f"n={n} {y[20]:.0f} %" for n, y in lines.items())
    alt = (
        f"Chance to pass against true mean minus target, single runs scattering by {std:.2g} points. "
        f"At {above[20]:+.2g} points: {words}."
    )
    with house_style():
        drawing = Drawing(pd.DataFrame(rows[::5]), alt, height=3.8)
        axes = drawing.subplots()
        axes.axvline(0, color=GREY, linewidth=1)
        axes.axhline(95, color=GREY, linewidth=1, linestyle=":")
        for (n, y), style in zip(lines.items(), STYLES, strict=False):
            axes.plot(above, y, **style.line, markevery=10, label=f"{n} runs")
        axes.set(xlabel=PASSING[0], ylabel=PASSING[1], ylim=(-3, 103), xlim=(-reach, reach))
        axes.grid(alpha=0.3)
        axes.legend(loc="lower right")
        drawing.supxlabel(
            wrapped(f"Single runs scatter by {std:.2g} points (standard deviation). Dotted: 95 %.", 7.6), fontsize=SMALL
        )
    return drawing
