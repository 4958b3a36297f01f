"""What a run log says of the epochs to an accuracy: a row for each recipe, whatever the lengths of its trainings."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from airbench_core.errors import UsageError
from airbench_core.study import layout
from airbench_core.study.curves import Curve
from airbench_core.study.groups import Record, Runs, accuracies, by_budget, check_named
from airbench_core.study.keys import one_setting
from airbench_core.study.layout import Column, bounds, number
from airbench_core.study.speedup import Epochs, epochs_to_target, speedup_to_target


@dataclass(frozen=True, kw_only=True)
class Row:
    """The trainings of one recipe and runtime, by a name without epochs: how many epochs take it to `target`, 0..1.

    budgets: the epochs of these trainings, as scaled; runs: how many are of each. n: of the budget that has the fewest.
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


def rows(records: Iterable[Record], target: float, baseline: str | None = None, tta: str | None = None) -> list[Row]:
    """A row for each recipe and runtime in `records`, in the order in which they were first run.

    baseline: the name, as in a row's `recipe`, of the one whose epochs are divided by the others'. tta: the accuracy at
    this level instead of the recipe's own. Raises UsageError for runs of several scales or data sets, a target that is
    no accuracy, a baseline that is not there, and a level that a run lacks.
    """
    records = list(records)
    one_setting(records, device=False)
    if not 0 <= target <= 1:
        raise UsageError(f"target={target:g} is not legal: an accuracy from 0 to 1, such as 0.94")
    groups = by_budget(records)
    if baseline is not None:
        check_named("baseline", baseline, groups)
    curves = {recipe: curve(budgets, recipe, tta) for recipe, budgets in groups.items()}
    against = None if baseline is None else curves[baseline]
    return [
        _row(recipe, groups[recipe], curves[recipe], target, baseline, None if recipe == baseline else against)
        for recipe in groups
    ]


def curve(budgets: Mapping[float, Runs], recipe: str, tta: str | None = None) -> Curve:
    """The accuracies of the budgets that have two runs and more; their seeds too, where these are the same at all."""
    some = {epochs: accuracies(runs, recipe, tta) for epochs, runs in sorted(budgets.items()) if len(runs) > 1}
    alike = len({frozenset(runs) for runs in some.values()}) == 1
    return some if alike else {epochs: list(runs.values()) for epochs, runs in some.items()}


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
    few = [epochs for epochs in order if epochs not in own]
    notes = [f"n below 2 at {', '.join(f'{epochs:g}' for epochs in few)} epochs"] if few else []
    values: dict = {}
    if len(own) < 2:
        notes.append("one length of training has no curve" if len(order) < 2 else "fewer than two lengths are left")
    else:
        found = epochs_to_target(own, target)
        values = {"epochs": found.epochs, "interval": known(found, own), "n": found.n}
        notes += [found.reason] if found.reason else []
        if against is not None and len(against) > 1:
            ratio = speedup_to_target(against, own, target)
            values |= {"ratio": ratio.ratio, "ratio_interval": (ratio.low, ratio.high)}
            values |= {"ratio_n": ratio.n, "paired": ratio.paired}
        if against is not None and found.epochs and not values.get("ratio"):
            notes.append("no ratio: the baseline's epochs are not known")
    return Row(
        recipe=recipe,
        target=target,
        budgets=tuple(order),
        runs=tuple(len(budgets[epochs]) for epochs in order),
        baseline=baseline,
        note="; ".join(notes),
        **values,
    )


def known(found: Epochs, own: Curve) -> tuple[float, float]:
    """The interval, where all of it is off the curve up to, or from, the curve's end."""
    return min(found.low, max(own)), max(found.high, min(own))


def _budgets(row: Row) -> str:
    return ", ".join(f"{epochs:g} (n={n})" for epochs, n in zip(row.budgets, row.runs, strict=True))
