"""The ladder, ours beside the paper's: the epochs that each rung needs there, and the accuracy that they bring here."""

from collections.abc import Mapping, Sequence

import pandas as pd

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.figures.measured import percent

ROW = 0.42  # inches


def ladder(rungs: Mapping[str, tuple[float, Sequence[float]]], *, where: str) -> Drawing:
    """A row for each rung: left the epochs to 94 % that are published, right the accuracies of runs of as many epochs.

    rungs: by what each is called, from the bottom, its epochs and accuracies in 0..1. A rung that keeps up stands
    straight below the one before, with fewer epochs. Dots: the runs; lines: Student's 95 % intervals, of three runs and
    more. where: what was run, and on what hardware. Raises UsageError for a rung without runs.
    """
    if empty := [name for name, (_, accuracies) in rungs.items() if not len(accuracies)]:
        raise UsageError(f"there are no runs of the rung {empty[0]!r}")
    rows = [
        {"rung": name, "epochs": epochs, "n": of.n, "accuracy, %": of.mean, "low": of.low, "high": of.high}
        for name, (epochs, accuracies) in rungs.items()
        for of in [percent(accuracies)]
    ]
    table = pd.DataFrame(rows)
    words = "; ".join(f"{row['rung']}: {row['epochs']:g} epochs, {row['accuracy, %']:.1f} %" for row in rows)
    n = " to ".join(dict.fromkeys(str(end) for end in (table["n"].min(), table["n"].max())))
    note = f"Epochs: published, to 94 % at full scale [P]. Accuracy: {where}; dots: single runs, n={n}"
    note += "; lines: 95 % intervals." if table["n"].max() > 2 else "."
    with house_style():
        drawing = Drawing(table, f"The ladder. {words}.", height=1.3 + ROW * len(rows))
        left, right = drawing.subplots(1, 2, sharey=True)
        left.set(ylim=(len(rows) - 0.4, -0.6), xlabel="epochs to 94 %, the paper")
        left.set_yticks(range(len(rows)), [wrapped(name, 2.2) for name in rungs])
        left.barh(range(len(rows)), table["epochs"], height=0.6, color=STYLES[1].colour)
        for y, epochs in enumerate(table["epochs"]):
            left.annotate(f"{epochs:g}", (epochs, y), (3, 0), textcoords="offset points", va="center", fontsize=SMALL)
        left.margins(x=0.15)
        right.set_xlabel("accuracy after as many epochs, ours, %")
        right.axvline(table["accuracy, %"].iloc[-1], color=GREY, linewidth=1)
        right.grid(axis="x", alpha=0.3)
        right.locator_params(axis="x", nbins=5)
        right.plot(table["accuracy, %"], range(len(rows)), **STYLES[2].point, markersize=8)
        runs = [100 * one for _, accuracies in rungs.values() for one in accuracies]
        low, high = min(runs), max(runs)
        room = max(0.2, 0.15 * (high - low))
        right.set_xlim(low - room, high + room)
        for y, (row, (_, accuracies)) in enumerate(zip(rows, rungs.values(), strict=True)):
            right.plot([100 * one for one in accuracies], [y] * row["n"], ".", color=GREY, gid="runs", zorder=1)
            if row["n"] > 2:  # of two runs it is as wide as the picture
                interval(right, y, row["low"], row["high"], STYLES[2].colour)
        drawing.supxlabel(wrapped(note, 7.6), fontsize=SMALL)
    return drawing
