"""Do speedups add? Tricks added one at a time, against the same tricks removed one at a time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import pandas as pd
from matplotlib.axes import Axes

from airbench_core import AIRBENCH94, Recipe
from airbench_lab import published
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, interval, look, wrapped
from airbench_lab.figures.measured import Measured
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, TargetSpeedup, speedup_to_target
from airbench_lab.study.studies import WHITENED, ablation

ADDED, REMOVED = "epochs saved when added", "epochs lost when removed"


def add_remove(runs: pd.DataFrame, target: float) -> Drawing:
    """The paper's figure 4: for each trick, what it saves when added against what is lost when it is removed.

    Epochs to 94 % as published and, of `runs`, a frame of `study.frames`, to the accuracy `target` in 0..1: added to
    the whitened baseline, removed from airbench94, as in `study.studies.ablation`, each trained for several lengths.
    Intervals: those of `study.speedup.speedup_to_target`. On the diagonal a trick is worth as much in both places.
    Raises UsageError for runs of several settings, or of a scale that is not one of `SCALES`.
    """
    measured = Measured(runs)
    theirs, own = _theirs(), _own(measured, target)
    table = pd.DataFrame([*theirs, *own]).astype({"n": "Int64"})
    known = [row for row in own if not math.isnan(row[ADDED] + row[REMOVED])]
    missing = ", ".join(row["trick"] for row in own if row not in known)
    points = ", ".join(f"{row['trick']} {row[ADDED]:.2g} and {row[REMOVED]:.2g}" for row in (*theirs, *known))
    alt = (
        "For each trick the epochs saved when it is added to the whitened baseline, and those lost when it is removed "
        f"from airbench94: first to 94 % as published, then own to {100 * target:g} % ({measured.setting}): {points}."
    )
    n = min((row["n"] for row in known), default=0)
    notes = [
        f"Own: {measured.setting}" + f", n={n} or more at each length of training" * bool(known),
        "Lines: 95 % intervals, with an arrow where they are open",
        *([TOO_NARROW.capitalize()] if known and n < ENOUGH else []),
        *([f"Not known: {missing}"] if missing else []),
        f"Published: {published.HARDWARE}, {published.PAPER}; {published.ZOO}.",
    ]
    with look():
        drawing = Drawing(table, alt, height=5.4)
        left, right = drawing.subplots(1, 2)
        _scatter(left, theirs)
        _scatter(right, known)
        left.set_title("published, to 94 %, full scale")
        right.set_title(f"own, to {100 * target:g} %, scale {measured.scale}")
        drawing.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=3)
        drawing.supxlabel(wrapped(". ".join(notes), 7.6), fontsize=SMALL)
    return drawing


def _theirs() -> list[dict[str, Any]]:
    return [
        {
            "trick": trick,
            "source": "[P], [Z]",
            ADDED: round(published.WHITENED_EPOCHS - found.added, 1),
            REMOVED: round(found.removed - published.AIRBENCH94_EPOCHS, 1),
            "note": "",
        }
        for trick, found in published.INTERACTIONS.items()
    ]


def _own(measured: Measured, target: float) -> list[dict[str, Any]]:
    recipes = {variant.label: variant.recipe for variant in ablation()}
    recipes["airbench94 - multi-crop TTA"] = replace(AIRBENCH94, tta=WHITENED.tta)
    rows = []
    for trick in published.INTERACTIONS:
        saved = _fewer(measured, WHITENED, recipes[f"whitened baseline + {trick}"], target)
        lost = _fewer(measured, recipes[f"airbench94 - {trick}"], AIRBENCH94, target)
        notes = [f"{where}: {_why(found)}" for where, found in (("added", saved), ("removed", lost)) if _why(found)]
        row = {"trick": trick, "source": "own"} | _columns(ADDED, saved) | _columns(REMOVED, lost)
        n = min((found.n for found in (saved, lost) if not isinstance(found, str)), default=0)
        rows.append(row | {"n": n, "note": "; ".join(notes)})
    return rows


def _fewer(measured: Measured, a: Recipe, b: Recipe, target: float) -> TargetSpeedup | str:
    """How many epochs fewer b needs than a; or why that is not known."""
    curves = measured.curve(a), measured.curve(b)
    if any(len(curve) < 2 for curve in curves):
        return "no two lengths of training with two runs and more"
    return speedup_to_target(*curves, target)


def _why(found: TargetSpeedup | str) -> str:
    """Why a number is not known; empty where it is."""
    return found if isinstance(found, str) else " and ".join(filter(None, (found.a.reason, found.b.reason)))


def _columns(name: str, found: TargetSpeedup | str) -> dict[str, float]:
    known = not isinstance(found, str)
    value = found.fewer if known and found.fewer is not None else math.nan
    low, high = (found.fewer_low, found.fewer_high) if known else (math.nan, math.nan)
    return {name: value, f"{name}, low": low, f"{name}, high": high}


def _scatter(axes: Axes, rows: Sequence[Mapping[str, Any]]) -> None:
    """The points of one source, each trick with its own style in both panels."""
    bounds = [value for row in rows for name, value in row.items() if name.startswith((ADDED, REMOVED))]
    finite = [0.0, 1.0, *filter(math.isfinite, bounds)]
    room = 0.1 * (max(finite) - min(finite))
    limits = (min(finite) - room, max(finite) + room)
    axes.set(xlim=limits, ylim=limits, aspect="equal")
    axes.axline((0, 0), slope=1, color=GREY, linestyle="--", linewidth=1)
    axes.axhline(0, color=GREY, linewidth=0.5)
    axes.axvline(0, color=GREY, linewidth=0.5)
    styles = dict(zip(published.INTERACTIONS, STYLES, strict=False))
    for row in rows:
        colour, _, marker = styles[row["trick"]]
        x, y = row[ADDED], row[REMOVED]
        interval(axes, y, row.get(f"{ADDED}, low", math.nan), row.get(f"{ADDED}, high", math.nan), colour)
        interval(
            axes, x, row.get(f"{REMOVED}, low", math.nan), row.get(f"{REMOVED}, high", math.nan), colour, upright=True
        )
        axes.plot(x, y, linestyle="none", marker=marker, color=colour, markersize=9, label=row["trick"])
    if not rows:
        axes.text(0.5, 0.7, "nothing measured", transform=axes.transAxes, ha="center")
    axes.set(
        xlabel="epochs saved when added\nto the whitened baseline", ylabel="epochs lost when removed\nfrom airbench94"
    )
