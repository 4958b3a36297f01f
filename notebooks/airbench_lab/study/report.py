"""What runs say: a row for each recipe, each number with its n and 95 % interval. The other reports: report_*.py."""

import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from airbench_core.errors import UsageError
from airbench_lab.study import layout
from airbench_lab.study.frames import one_setting
from airbench_lab.study.layout import FEW, Column, bounds, number, percent, percents
from airbench_lab.study.names import check_named
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, Curve, curve_of, equivalent_epochs
from airbench_lab.study.statistics import difference, mean_interval

Row = Mapping[str, Any]

_WORTH = ("worth", "worth_interval", "worth_n", "worth_paired", "speedup", "speedup_interval")


def rows(
    runs: pd.DataFrame, baseline: str | None = None, tta: str | None = None, reference: str | None = None
) -> list[Row]:
    """A row for each name of `names.named` runs, in the order in which they come first: see `row`.

    baseline: the name of the one that others are compared with, seed by seed. tta: at this level instead of the
    recipe's own. reference: the name, without epochs, of a recipe that was trained for several lengths, in whose
    epochs, as scaled, the others are stated. A seed that was run more than once counts once, the last time. Raises
    UsageError for runs of several scales or data sets, a baseline or reference that is not there, a reference with
    fewer than two lengths of two runs, and a level that a run lacks.
    """
    one_setting(runs, device=False)
    runs = at_level(runs, tta)
    if baseline is not None:
        check_named("baseline", baseline, runs["name"])
    lengths = None if reference is None else _reference(runs, reference)
    base = None if baseline is None else by_seed(runs[runs["name"] == baseline])
    found = []
    for name, group in runs.groupby("name", sort=False):
        itself = reference is not None and (group["family"] == reference).all()
        about = {"reference": reference, "curve": None if itself else lengths}
        found.append(row(name, group, base=None if name == baseline else base, **about))
    return found


def row(
    name: str,
    runs: pd.DataFrame,
    *,
    base: Mapping[int, float] | None = None,
    reference: str | None = None,
    curve: Curve | None = None,
) -> Row:
    """What the runs of one recipe and runtime say. base: a baseline's accuracies by seed. curve: the reference's.

    Accuracies and their differences from the baseline, paired by seed, are in 0..1; seconds are the median of the runs
    whose time may be quoted, None where none may.
    worth: how many epochs of the reference, as scaled, give the same accuracy (see `equivalent_epochs`); worth_paired:
    drawn seed by seed with it; speedup: worth over the recipe's own epochs, the effective speedup of arXiv:2404.00498.
    Intervals are None below two runs, or pairs; those of worth and speedup are open (from 0, to infinity) where they
    leave what was measured of the reference. What is compared is None for the baseline or reference itself, and where
    none is asked for; a worth that is not known is None too, and `note` says why.
    """
    own = by_seed(runs)
    mean = mean_interval(list(own.values())) if len(own) > 1 else None
    timed = runs.drop_duplicates("seed", keep="last")["seconds"].dropna()
    return {
        "recipe": name,
        "n": len(own),
        "accuracy": statistics.mean(own.values()),
        "interval": mean and (mean.low, mean.high),
        **_difference(base, own),
        "seconds": float(timed.median()) if len(timed) else None,
        "reference": reference,
        **_worth(own, runs["epochs"].iloc[0], curve),
    }


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"; for people, with what was asked for."""
    columns = [
        Column("recipe", lambda row: row["recipe"], words=True),
        Column("n", lambda row: str(row["n"])),
        Column("accuracy", lambda row: f"{percent(row['accuracy'])} %"),
        Column("95 % interval", lambda row: percents(row["interval"])),
    ]
    if any(row["pairs"] is not None for row in rows):
        columns += [
            Column("difference", lambda row: percent(row["difference"], "+.2f")),
            Column(
                "95 % interval of it",
                lambda row: "" if row["pairs"] is None else percents(row["difference_interval"], "+.2f"),
            ),
            Column("pairs", lambda row: "" if row["pairs"] is None else str(row["pairs"])),
        ]
    columns.append(Column("seconds", lambda row: "" if row["seconds"] is None else f"{row['seconds']:,.2f}"))
    if rows[0]["reference"] is not None:
        columns += [
            Column(f"worth epochs of {rows[0]['reference']}", lambda row: number(row["worth"])),
            Column("95 % interval", lambda row: _open(row, "worth_interval")),
            Column("n of it", lambda row: pairs(row, "worth_n", "worth_paired")),
            Column("speedup", lambda row: number(row["speedup"])),
            Column("95 % interval", lambda row: _open(row, "speedup_interval")),
            Column("note", lambda row: row["note"], words=True),
        ]
    return layout.table(rows, columns, form)


def at_level(runs: pd.DataFrame, tta: str | None) -> pd.DataFrame:
    """The runs with the accuracy at this level of TTA (None: the recipe's own). Raises UsageError if a run lacks it."""
    if tta is None:
        return runs
    missing = runs[runs[f"accuracy_{tta}"].isna()] if f"accuracy_{tta}" in runs else runs
    if len(missing):
        first = missing.iloc[0]
        there = [n.removeprefix("accuracy_") for n in runs if n.startswith("accuracy_") and first[n] == first[n]]
        raise UsageError(
            f"tta={tta} was not measured for {first['name']}, seed {first['seed']}; there is: {', '.join(there)}"
        )
    return runs.assign(accuracy=runs[f"accuracy_{tta}"])


def by_seed(runs: pd.DataFrame) -> dict[int, float]:
    """The accuracy of each seed; of several runs of one the last."""
    return dict(zip(runs["seed"], runs["accuracy"], strict=True))


def curve(runs: pd.DataFrame) -> Curve:
    """The accuracies of one recipe's trainings of all lengths: see `curve_of`."""
    return curve_of({epochs: by_seed(some) for epochs, some in runs.groupby(runs["epochs"].round(9))})


def pairs(row: Row, n: str, paired: str) -> str:
    """How many runs, or pairs of them, a comparison is of; nothing where there is none."""
    return "" if row[n] is None else f"{row[n]}{' pairs' * row[paired]}"


def _difference(base: Mapping[int, float] | None, own: Mapping[int, float]) -> dict[str, Any]:
    """What a row says of its difference from the baseline: that of the seeds that both have."""
    if base is None:
        return dict.fromkeys(("difference", "difference_interval", "pairs"))
    a, b = ({seed: one[seed] for seed in base if seed in own} for one in (base, own))
    found = difference(a, b) if len(a) > 1 else None
    apart = statistics.mean(b[seed] - a[seed] for seed in a) if a else None
    return {"difference": apart, "difference_interval": found and (found.low, found.high), "pairs": len(a)}


def _reference(runs: pd.DataFrame, reference: str) -> Curve:
    check_named("reference", reference, runs["family"])
    measured = curve(runs[runs["family"] == reference])
    if len(measured) < 2:
        raise UsageError(
            f"reference={reference} has {len(measured)} length(s) of training with two runs and more, and a curve "
            "needs two: train it with other epochs too"
        )
    return measured


def _worth(own: dict[int, float], epochs: float, reference: Curve | None) -> dict[str, Any]:
    """What a row says of the epochs of the reference that are worth its own; drawn by seed where these are the same."""
    if reference is None:
        return {**dict.fromkeys(_WORTH), "note": ""}
    seeds = next(iter(reference.values()), None)
    paired = isinstance(seeds, Mapping) and seeds.keys() == own.keys()
    found = equivalent_epochs(own if paired else list(own.values()), reference)
    interval = (found.low, found.high) if len(own) > 1 else None
    notes = filter(None, [found.reason, TOO_NARROW * (interval is not None and found.n < ENOUGH)])
    return {
        "worth": found.epochs,
        "worth_interval": interval,
        "worth_n": found.n,
        "worth_paired": paired,
        "speedup": found.epochs and found.epochs / epochs,
        "speedup_interval": interval and (interval[0] / epochs, interval[1] / epochs),
        "note": "; ".join(notes),
    }


def _open(row: Row, interval: str) -> str:
    """An interval that may be open; nothing where there is none to be, FEW where a single run has none."""
    return bounds(row[interval]) or FEW * (row["worth_n"] is not None)
