"""The ladder from the baseline to airbench94: what each rung needs, the published numbers beside one's own."""

import math
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from airbench_lab import published
from airbench_lab.figures.drawing import BLUE, ORANGE, SMALL, Drawing, house_style, interval, wrapped
from airbench_lab.figures.measured import Measured
from airbench_lab.study.ladder import LADDER, Variant
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, epochs_to_target

PAPER, ZOO = "[P], epochs to 94 %", "[Z], epochs to 94 %"


def ladder(runs: pd.DataFrame, target: float) -> Drawing:
    """Each rung: the published epochs to 94 %, and beside them what `runs` need to come to `target`.

    runs: a frame of `study.frames`. target: an accuracy in 0..1; the epochs to it are those of
    `study.speedup.epochs_to_target`, for which a rung needs runs of several lengths.
    Raises UsageError for runs of several settings, or of a scale that is not one of `SCALES`.
    """
    measured = Measured(runs)
    own = f"own epochs to {100 * target:g} %"
    table = pd.DataFrame([_row(rung, measured, own, target) for rung in LADDER])
    known = table[table[own].notna()]
    said = ", ".join(f"{row['rung']} {row[own]:.3g}" for row in known.to_dict("records")) or "nothing measured"
    alt = (
        f"The ladder of tricks. Published epochs to 94 % fall from {published.LADDER['baseline'].paper:g} to "
        f"{published.AIRBENCH94_EPOCHS:g}. By rung, {own} ({measured.setting}): {said}."
    )
    notes = [
        f"Own: {measured.setting}",
        "Lines: 95 % intervals, with an arrow where they are open",
        *([TOO_NARROW.capitalize()] if (known["n"] < ENOUGH).any() else []),
        f"{published.PAPER}; {published.ZOO}, whose baseline has a BatchNorm after its first convolution.",
    ]
    with house_style():
        drawing = Drawing(table, alt, height=6.4)
        left, right = drawing.subplots(1, 2, sharey=True)
        _published(left, table)
        _own(right, table, own)
        left.set_yticks(range(len(table)), [wrapped(rung, 1.8) for rung in table["rung"]])
        left.set_ylim(len(table) - 0.4, -0.6)
        left.set_title(f"published, full scale, {published.HARDWARE}")
        right.set_title(f"own, scale {measured.scale}")
        drawing.supxlabel(wrapped(". ".join(notes), 7.6), fontsize=SMALL)
    return drawing


def _row(rung: Variant, measured: Measured, own: str, target: float) -> dict[str, Any]:
    """Of the table."""
    theirs = published.LADDER[rung.label]
    paper = math.nan if theirs.paper is None else theirs.paper
    row = {"rung": rung.label, PAPER: paper, ZOO: theirs.zoo, "n of [Z]": theirs.zoo_n}
    row |= {own: math.nan, "low": math.nan, "high": math.nan, "n": 0}
    if rung.compile:
        return row | {"note": "as the rung above: compiling saves seconds, not epochs"}
    curve = measured.curve(rung.recipe)
    if len(curve) < 2:
        return row | {
            "note": f"not measured: {len(curve)} length(s) of training with two runs and more, two are needed"
        }
    found = epochs_to_target(curve, target)
    if found.epochs is not None:
        row[own] = found.epochs
    return row | {"low": found.low, "high": found.high, "n": found.n, "note": found.reason}


def _published(axes: Axes, table: pd.DataFrame) -> None:
    """Two bars a rung, with their numbers."""
    for column, label, at, colour, hatch in (
        (PAPER, "[P], the paper", table.index - 0.2, ORANGE, ""),
        (ZOO, "[Z], its ablations", table.index + 0.2, "white", "////"),
    ):
        bars = axes.barh(at, table[column].fillna(0), 0.36, color=colour, edgecolor="black", hatch=hatch, label=label)
        texts = ["not published" if math.isnan(value) else f"{value:g}" for value in table[column]]
        if column == ZOO:
            texts = [f"{text} (n={n})" for text, n in zip(texts, table["n of [Z]"], strict=True)]
        axes.bar_label(bars, texts, padding=3, fontsize=SMALL)
    axes.set(xlim=(0, 1.32 * table[PAPER].max()), xlabel="epochs to 94 %")
    axes.legend(loc="lower right", handlelength=2)


def _own(axes: Axes, table: pd.DataFrame, own: str) -> None:
    """A bar a rung with its interval and number; where there is none, why."""
    values = table[[own, "low", "high"]].to_numpy(float)
    axes.set(xlim=(0, 1.6 * max(values[np.isfinite(values)], default=1.0)), xlabel=own)
    axes.grid(axis="x", alpha=0.3)
    for at, row in enumerate(table.to_dict("records")):
        value = row[own]
        if math.isnan(value):
            _beside(axes, row["note"].partition(":")[0], 0, at)
            continue
        axes.barh(at, value, 0.5, color=BLUE, edgecolor="black", alpha=0.8)
        interval(axes, at, row["low"], row["high"], "black")
        end = min(np.nanmax([value, row["high"]]), axes.get_xlim()[1])
        _beside(axes, f"{value:.3g} (n={row['n']})", end, at)


def _beside(axes: Axes, text: str, x: float, y: float) -> None:
    axes.annotate(text, (x, y), (6, 0), textcoords="offset points", va="center", fontsize=SMALL)
