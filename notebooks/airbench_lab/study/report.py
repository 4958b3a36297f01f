"""What a run log says: a row for each recipe, each number with its n and 95 % interval."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airbench_core.errors import UsageError
from airbench_lab.study import layout
from airbench_lab.study.curves import Curve
from airbench_lab.study.groups import Record, Runs, accuracies, budget, by_budget, by_name, check_named, curve
from airbench_lab.study.keys import one_setting
from airbench_lab.study.layout import FEW, Column, bounds, number, percent, percents
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, equivalent_epochs
from airbench_lab.study.statistics import difference, mean_interval
from airbench_lab.study.studies import Study

Interval = tuple[float, float] | None


@dataclass(frozen=True, kw_only=True)
class Row:
    """The runs of one recipe and runtime, by name.

    Accuracies and their differences from the baseline, paired by seed, are in 0..1; seconds are the median of the runs
    whose time may be quoted, None where none may.
    worth: how many epochs of `reference`, as scaled, give the same accuracy (see `equivalent_epochs`); worth_paired:
    drawn seed by seed with it; speedup: worth over the recipe's own epochs, the effective speedup of arXiv:2404.00498.
    Intervals are None below two runs, or pairs; those of worth and speedup are open (from 0, to infinity) where they
    leave what was measured of the reference. What is compared is None for the baseline or reference itself, and where
    none is asked for; a worth that is not known is None too, and `note` says why.
    """

    recipe: str
    n: int
    accuracy: float
    interval: Interval
    difference: float | None = None
    difference_interval: Interval = None
    pairs: int | None = None
    seconds: float | None
    reference: str | None = None
    worth: float | None = None
    worth_interval: Interval = None
    worth_n: int | None = None
    worth_paired: bool | None = None
    speedup: float | None = None
    speedup_interval: Interval = None
    note: str = ""


DIFFERENCE = (
    Column("difference", lambda row: percent(row.difference, "+.2f")),
    Column("95 % interval of it", lambda row: "" if row.pairs is None else percents(row.difference_interval, "+.2f")),
    Column("pairs", lambda row: "" if row.pairs is None else str(row.pairs)),
)
WORTH = (
    Column("95 % interval", lambda row: _open(row, row.worth_interval)),
    Column("n of it", lambda row: "" if row.worth_n is None else f"{row.worth_n}{' pairs' * row.worth_paired}"),
    Column("speedup", lambda row: number(row.speedup)),
    Column("95 % interval", lambda row: _open(row, row.speedup_interval)),
    Column("note", lambda row: row.note, words=True),
)


def rows(
    records: Iterable[Record],
    baseline: str | None = None,
    tta: str | None = None,
    reference: str | None = None,
    study: Study | None = None,
) -> list[Row]:
    """A row for each recipe and runtime in `records`, in the order in which they come first.

    baseline: the name, as in a row's `recipe`, of the one that others are compared with. tta: at this level instead of
    the recipe's own. reference: the name, without epochs, of a recipe that was trained for several lengths, in whose
    epochs, as scaled, the others are stated. study: it names the runs, all of which are its (`groups.of_study`). A seed
    that was run more than once counts once, the last time. Raises UsageError for runs of several scales or data sets, a
    baseline or reference that is not there, a reference with fewer than two lengths of two runs, a level that a run
    lacks, and a run that is not of the study.
    """
    records = list(records)
    one_setting(records, device=False)
    groups = by_name(records, study)
    measured = {recipe: accuracies(runs, recipe, tta) for recipe, runs in groups.items()}
    compared: dict[str, dict[str, Any]] = {recipe: {} for recipe in groups}
    if baseline is not None:
        check_named("baseline", baseline, groups)
        for recipe in groups.keys() - {baseline}:
            compared[recipe] |= _difference(measured[baseline], measured[recipe])
    if reference is not None:
        lengths, of_reference = _reference(records, reference, tta, study)
        for recipe, runs in groups.items():
            epochs = budget(next(iter(runs.values())))
            compared[recipe]["reference"] = reference
            if runs != lengths.get(epochs):  # not the reference itself
                compared[recipe] |= _worth(measured[recipe], epochs, of_reference)
    return [_row(recipe, runs, measured[recipe], compared[recipe]) for recipe, runs in groups.items()]


def row(recipe: str, runs: Runs, reference: str, curve: Curve | None) -> Row:
    """The row of one recipe's runs, stated in epochs of a reference that was measured elsewhere, maybe nowhere.

    curve: the reference's, of two lengths and more (see `curves.curve_of`); without one the row's note says so.
    """
    own = accuracies(runs, recipe)
    return _row(recipe, runs, own, {"reference": reference} | _worth(own, budget(next(iter(runs.values()))), curve))


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"; for people, with what was asked for."""
    columns = [
        Column("recipe", lambda row: row.recipe, words=True),
        Column("n", lambda row: str(row.n)),
        Column("accuracy", lambda row: f"{percent(row.accuracy)} %"),
        Column("95 % interval", lambda row: percents(row.interval)),
    ]
    if any(row.pairs is not None for row in rows):
        columns += DIFFERENCE
    columns.append(Column("seconds", lambda row: "" if row.seconds is None else f"{row.seconds:,.2f}"))
    if rows[0].reference is not None:
        columns += [Column(f"worth epochs of {rows[0].reference}", lambda row: number(row.worth)), *WORTH]
    return layout.table(rows, columns, form)


def _row(recipe: str, runs: Runs, own: dict[int, float], compared: dict[str, Any]) -> Row:
    mean = mean_interval(list(own.values())) if len(own) > 1 else None
    timed = [record["seconds"] for record in runs.values() if record["seconds"] is not None]
    return Row(
        recipe=recipe,
        n=len(own),
        accuracy=statistics.mean(own.values()),
        interval=mean and (mean.low, mean.high),
        seconds=statistics.median(timed) if timed else None,
        **compared,
    )


def _difference(base: dict[int, float], own: dict[int, float]) -> dict[str, Any]:
    """What a row says of its difference from the baseline: that of the seeds that both have."""
    a, b = ({seed: one[seed] for seed in base if seed in own} for one in (base, own))
    found = difference(a, b) if len(a) > 1 else None
    return {
        "difference": statistics.mean(b[seed] - a[seed] for seed in a) if a else None,
        "difference_interval": found and (found.low, found.high),
        "pairs": len(a),
    }


def _reference(
    records: list[Record], reference: str, tta: str | None, study: Study | None
) -> tuple[dict[float, Runs], Curve]:
    """The runs of the reference at each of its lengths, and their curve."""
    lengths = by_budget(records, study)
    check_named("reference", reference, lengths)
    measured = curve(lengths[reference], reference, tta)
    if len(measured) < 2:
        raise UsageError(
            f"reference={reference} has {len(measured)} length(s) of training with two runs and more, and a curve "
            "needs two: train it with other epochs too"
        )
    return lengths[reference], measured


def _worth(own: dict[int, float], epochs: float, reference: Curve | None) -> dict[str, Any]:
    """What a row says of the epochs of the reference that are worth its own; drawn by seed where these are the same."""
    seeds = next(iter(reference.values())) if reference else None
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


def _open(row: Row, interval: Interval) -> str:
    """An interval that may be open; nothing where there is none to be, FEW where a single run has none."""
    return bounds(interval) or FEW * (row.worth_n is not None)
