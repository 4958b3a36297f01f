"""What a run log says of the epochs to an accuracy: a row for each recipe, whatever the lengths of its trainings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from airbench_core.errors import UsageError
from airbench_lab.study import layout
from airbench_lab.study.curves import Curve
from airbench_lab.study.groups import Record, Runs, by_budget, check_named, curve
from airbench_lab.study.keys import one_setting
from airbench_lab.study.layout import Column, bounds, number
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, epochs_to_target, speedup_to_target
from airbench_lab.study.studies import Study


@dataclass(frozen=True, kw_only=True)
class Row:
    """The trainings of one recipe and runtime, by a name without epochs: how many epochs take it to `target`, 0..1.

    budgets: the epochs of these trainings, as scaled, as all epochs here; runs: how many are of each. n: of the
    budget that has the fewest.
    ratio: how many times fewer epochs than those of `baseline`; paired: drawn seed by seed with it (see
    `speedup_to_target`). Intervals are open where they leave what was measured: from 0, to infinity.
    What is not known is None, and `note` says why.
    """

    recipe: str
    target: float
    budgets: tuple[float, ...]
    runs: tuple[int, ...]
    epochs: float | None = None
    interval: tuple[float, float] | None = None
    n: int | None = None
    baseline: str | None = None
    ratio: float | None = None
    ratio_interval: tuple[float, float] | None = None
    ratio_n: int | None = None
    paired: bool | None = None
    note: str = ""


def rows(
    records: Iterable[Record],
    target: float,
    baseline: str | None = None,
    tta: str | None = None,
    study: Study | None = None,
) -> list[Row]:
    """A row for each recipe and runtime in `records`, in the order in which they come first.

    baseline: the name, as in a row's `recipe`, of the one whose epochs are divided by the others'. tta: the accuracy at
    this level instead of the recipe's own. study: it names the runs, all of which are its (`groups.of_study`). Raises
    UsageError for runs of several scales or data sets, a target that is no accuracy, a baseline that is not there, a
    level that a run lacks, and a run that is not of the study.
    """
    records = list(records)
    one_setting(records, device=False)
    if not 0 <= target <= 1:
        raise UsageError(f"target={target:g} is not legal: an accuracy from 0 to 1, such as 0.94")
    groups = by_budget(records, study)
    if baseline is not None:
        check_named("baseline", baseline, groups)
    curves = {recipe: curve(budgets, recipe, tta) for recipe, budgets in groups.items()}
    against = None if baseline is None else curves[baseline]
    return [
        _row(recipe, groups[recipe], curves[recipe], target, baseline, None if recipe == baseline else against)
        for recipe in groups
    ]


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"."""
    target, baseline = rows[0].target, rows[0].baseline
    columns = [
        Column("recipe", lambda row: row.recipe, words=True),
        Column("measured at epochs", lambda row: _budgets(row), words=True),
        Column(f"epochs to {target:g}", lambda row: number(row.epochs)),
        Column("95 % interval", lambda row: bounds(row.interval)),
        Column("n", lambda row: "" if row.n is None else str(row.n)),
    ]
    if baseline is not None:
        columns += [
            Column(f"times fewer than {baseline}", lambda row: number(row.ratio)),
            Column("95 % interval of it", lambda row: bounds(row.ratio_interval)),
            Column("n of it", lambda row: "" if row.ratio_n is None else f"{row.ratio_n}{' pairs' * row.paired}"),
        ]
    columns.append(Column("note", lambda row: row.note, words=True))
    return layout.table(rows, columns, form)


def _row(
    recipe: str, budgets: Mapping[float, Runs], own: Curve, target: float, baseline: str | None, against: Curve | None
) -> Row:
    order = sorted(budgets)
    few = [f"{epochs:g}" for epochs in order if epochs not in own]
    notes = [f"n below 2 at {', '.join(few)} epochs"] if few else []
    values: dict[str, Any] = {}
    if len(own) > 1:
        values, more = _looked_up(own, target, against)
        notes += more
    else:
        notes.append("one length of training makes no curve" if len(order) < 2 else "fewer than two lengths are left")
    return Row(
        recipe=recipe,
        target=target,
        budgets=tuple(order),
        runs=tuple(len(budgets[epochs]) for epochs in order),
        baseline=baseline,
        note="; ".join(notes),
        **values,
    )


def _looked_up(own: Curve, target: float, against: Curve | None) -> tuple[dict[str, Any], list[str]]:
    """What a row says of its curve, and of that of the baseline where there is another one; and notes on both."""
    found = epochs_to_target(own, target)
    values = {"epochs": found.epochs, "interval": (found.low, found.high), "n": found.n}
    notes, n = [found.reason] if found.reason else [], found.n
    if against is not None and len(against) > 1:
        both = speedup_to_target(against, own, target)
        values |= {"ratio": both.ratio, "ratio_interval": (both.low, both.high), "ratio_n": both.n}
        values["paired"], n = both.paired, both.n
    if against is not None and found.epochs and not values.get("ratio"):
        notes.append("no ratio: the baseline's epochs are not known")
    if n < ENOUGH:
        notes.append(TOO_NARROW)
    return values, notes


def _budgets(row: Row) -> str:
    return ", ".join(f"{epochs:g} (n={n})" for epochs, n in zip(row.budgets, row.runs, strict=True))
