"""What runs say of the epochs to an accuracy: a row for each recipe, whatever the lengths of its trainings."""

from collections.abc import Sequence

import pandas as pd

from airbench_core.errors import UsageError
from airbench_lab.study import layout
from airbench_lab.study.frames import one_setting
from airbench_lab.study.layout import Column, bounds, number
from airbench_lab.study.names import check_named
from airbench_lab.study.report import Row, at_level, curve, pairs
from airbench_lab.study.speedup import ENOUGH, TOO_NARROW, Curve, epochs_to_target, speedup_to_target

_COMPARED = ("epochs", "interval", "n", "baseline", "ratio", "ratio_interval", "ratio_n", "paired")


def rows(runs: pd.DataFrame, target: float, baseline: str | None = None, tta: str | None = None) -> list[Row]:
    """A row for each family of `names.named` runs: how many epochs take it to the accuracy `target`, 0..1.

    baseline: the family whose epochs are divided by the others'. tta: the accuracy at this level instead of the
    recipe's own. In a row, budgets: the epochs of its trainings, as scaled, as all epochs here; runs: how many are of
    each; n: of the budget that has the fewest; ratio: how many times fewer epochs than those of `baseline`; paired:
    drawn seed by seed with it (see `speedup_to_target`). Intervals are open where they leave what was measured: from
    0, to infinity. What is not known is None, and `note` says why.
    Raises UsageError for runs of several scales or data sets, a target that is no accuracy, a baseline that is not
    there, and a level that a run lacks.
    """
    one_setting(runs, device=False)
    if not 0 <= target <= 1:
        raise UsageError(f"target={target:g} is not legal: an accuracy from 0 to 1, such as 0.94")
    if baseline is not None:
        check_named("baseline", baseline, runs["family"])
    runs = at_level(runs, tta)
    groups = dict(list(runs.groupby("family", sort=False)))
    curves = {recipe: curve(group) for recipe, group in groups.items()}
    found = []
    for recipe, group in groups.items():
        counts = group.drop_duplicates(["epochs", "seed"]).groupby(group["epochs"].round(9)).size()
        budgets = {"budgets": tuple(counts.index), "runs": tuple(int(n) for n in counts)}
        against = curves[baseline] if baseline is not None and recipe != baseline else None
        compared = _compared(curves[recipe], budgets["budgets"], target, against) | {"baseline": baseline}
        found.append({"recipe": recipe, "target": target, **budgets, **dict.fromkeys(_COMPARED), **compared})
    return found


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"."""
    target, baseline = rows[0]["target"], rows[0]["baseline"]
    columns = [
        Column("recipe", lambda row: row["recipe"], words=True),
        Column("measured at epochs", _budgets, words=True),
        Column(f"epochs to {target:g}", lambda row: number(row["epochs"])),
        Column("95 % interval", lambda row: bounds(row["interval"])),
        Column("n", lambda row: "" if row["n"] is None else str(row["n"])),
    ]
    if baseline is not None:
        columns += [
            Column(f"times fewer than {baseline}", lambda row: number(row["ratio"])),
            Column("95 % interval of it", lambda row: bounds(row["ratio_interval"])),
            Column("n of it", lambda row: pairs(row, "ratio_n", "paired")),
        ]
    columns.append(Column("note", lambda row: row["note"], words=True))
    return layout.table(rows, columns, form)


def _compared(own: Curve, budgets: Sequence[float], target: float, against: Curve | None) -> Row:
    """What a row says of its curve, and of that of the baseline where there is another one; and notes on both."""
    few = [f"{epochs:g}" for epochs in budgets if epochs not in own]
    notes = [f"n below 2 at {', '.join(few)} epochs"] if few else []
    if len(own) < 2:
        notes.append("one length of training makes no curve" if len(budgets) < 2 else "fewer than two lengths are left")
        return {"note": "; ".join(notes)}
    found = epochs_to_target(own, target)
    values = {"epochs": found.epochs, "interval": (found.low, found.high), "n": found.n}
    notes, n = [*notes, *filter(None, [found.reason])], found.n
    if against is not None and len(against) > 1:
        both = speedup_to_target(against, own, target)
        values |= {"ratio": both.ratio, "ratio_interval": (both.low, both.high), "ratio_n": both.n}
        values["paired"], n = both.paired, both.n
    if against is not None and found.epochs and not values.get("ratio"):
        notes.append("no ratio: the baseline's epochs are not known")
    if n < ENOUGH:
        notes.append(TOO_NARROW)
    return values | {"note": "; ".join(notes)}


def _budgets(row: Row) -> str:
    return ", ".join(f"{epochs:g} (n={n})" for epochs, n in zip(row["budgets"], row["runs"], strict=True))
