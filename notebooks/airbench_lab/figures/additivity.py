"""Do effects add? Tricks added against the same removed, one at a time; and several at once against their sum."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from airbench_core import AIRBENCH94, Recipe, UsageError
from airbench_lab import published
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.figures.measured import Measured
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, TargetSpeedup, speedup_to_target
from airbench_lab.study.statistics import by_seed, mean_interval
from airbench_lab.study.studies import WHITENED, ablation

ADDED, REMOVED = "epochs saved when added", "epochs lost when removed"
ROW = 0.42  # inches
SUM, JOINT, APART = "sum of the single effects", "effect together", "together minus sum"
LABELS = 2.0  # inches of text beside the rows

BySeed = Mapping[int, float]


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
    with house_style():
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
        style = styles[row["trick"]]
        x, y = row[ADDED], row[REMOVED]
        for at, of, upright in (y, ADDED, False), (x, REMOVED, True):
            ends = (row.get(f"{of}, {end}", math.nan) for end in ("low", "high"))
            interval(axes, at, *ends, style.colour, upright=upright)
        axes.plot(x, y, **style.point, markersize=9, label=row["trick"])
    if not rows:
        axes.text(0.5, 0.7, "nothing measured", transform=axes.transAxes, ha="center")
    axes.set(
        xlabel="epochs saved when added\nto the whitened baseline", ylabel="epochs lost when removed\nfrom airbench94"
    )


def sums(effects: Mapping[str, tuple[BySeed, BySeed]], *, where: str) -> Drawing:
    """For each set of changes its single effects added up and its effect together, and by how much these differ.

    effects: by the name of the set, in points by seed: the sum of the single effects, and the effect together, as
    `airbench_lab.lessons.together.sum_and_joint` gives them. Means over the seeds with Student's 95 % interval, of the
    difference too, which is taken seed by seed; a single seed has none. where: what was run, and on what hardware.
    Raises UsageError for no effects, and for sets of which both sides do not have the same seeds.
    """
    if not effects:
        raise UsageError("there are no effects to draw")
    rows = [_sums_row(name, *pair) for name, pair in effects.items()]
    table = pd.DataFrame(rows)
    words = "; ".join(
        f"{row['removed']}: {row[SUM]:.1f} and {row[JOINT]:.1f}, apart {row[APART]:+.1f} (n={row['n']})" for row in rows
    )
    n = sorted({row["n"] for row in rows})
    names = [row["removed"] + f" (n={row['n']})" * (len(n) > 1) for row in rows]
    said = f", n={n[0]} {'seeds' if n[0] > 1 else 'seed: no interval'}" * (len(n) == 1)
    note = f"{where}{said}. At 0 on the right the effects add. Lines: 95 % intervals, on the right taken seed by seed."
    with house_style():
        drawing = Drawing(
            table, f"Effects added up, and together, in points of accuracy. {words}.", height=1.6 + ROW * len(rows)
        )
        left, right = drawing.subplots(1, 2, sharey=True)
        _sums_panel(left, rows, ((SUM, STYLES[1], -0.15), (JOINT, STYLES[2], 0.15)))
        _sums_panel(right, rows, ((APART, STYLES[0], 0.0),))
        left.set_yticks(range(len(rows)), [wrapped(name, LABELS) for name in names])
        left.set_ylim(len(rows) - 0.4, -0.6)
        left.set_xlabel("points of accuracy")
        right.set_xlabel(f"{APART}, points")
        drawing.legend(*left.get_legend_handles_labels(), loc="outside upper center", ncols=2)
        drawing.supxlabel(wrapped(note, 7.6), fontsize=SMALL)
    return drawing


def _sums_row(name: str, summed: BySeed, joint: BySeed) -> dict[str, Any]:
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


def _sums_panel(axes: Axes, rows: Sequence[Mapping[str, Any]], series: Sequence[tuple]) -> None:
    ends = [row[name + end] for row in rows for name, _, _ in series for end in ("", ", low", ", high")]
    finite = [0.0, *(end for end in ends if math.isfinite(end))]
    room = 0.06 * max(np.ptp(finite), 1)
    axes.set_xlim(min(finite) - room, max(finite) + room)
    axes.axvline(0, color=GREY, linewidth=1)
    axes.grid(axis="x", alpha=0.3)
    for name, style, shift in series:
        at = [number + shift for number in range(len(rows))]
        values = [row[name] for row in rows]
        axes.plot(values, at, **style.point, markersize=7, label=name)
        for row, y in zip(rows, at, strict=True):
            interval(axes, y, row[f"{name}, low"], row[f"{name}, high"], style.colour)
