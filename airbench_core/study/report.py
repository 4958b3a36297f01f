"""What a run log says: a row for each recipe, each number with its n and 95 % interval."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from airbench_core.study import layout
from airbench_core.study.groups import Record, Runs, accuracies, by_name, check_named
from airbench_core.study.keys import one_setting
from airbench_core.study.layout import Column, percent, percents
from airbench_core.study.statistics import difference, mean_interval


@dataclass(frozen=True, kw_only=True)
class Row:
    """The runs of one recipe and runtime, by name.

    Accuracies and their differences from the baseline, paired by seed, are in 0..1; seconds are the median.
    Intervals are None below two runs, or pairs; all of the difference is None for the baseline and without one.
    """

    recipe: str
    n: int
    accuracy: float
    interval: tuple[float, float] | None
    difference: float | None
    difference_interval: tuple[float, float] | None
    pairs: int | None
    seconds: float


COLUMNS = (
    Column("recipe", lambda row: row.recipe, words=True),
    Column("n", lambda row: str(row.n)),
    Column("accuracy", lambda row: f"{percent(row.accuracy)} %"),
    Column("95 % interval", lambda row: percents(row.interval)),
    Column("difference", lambda row: percent(row.difference, "+.2f")),
    Column("95 % interval of it", lambda row: "" if row.pairs is None else percents(row.difference_interval, "+.2f")),
    Column("pairs", lambda row: "" if row.pairs is None else str(row.pairs)),
    Column("seconds", lambda row: f"{row.seconds:,.2f}"),
)


def rows(records: Iterable[Record], baseline: str | None = None, tta: str | None = None) -> list[Row]:
    """A row for each recipe and runtime in `records`, in the order in which they were first run.

    baseline: the name, as in a row's `recipe`, of the one that others are compared with. tta: at this level instead of
    the recipe's own. A seed that was run more than once counts once, the last time. Raises UsageError for runs of
    several scales or data sets, a baseline that is not there, and a level that a run lacks.
    """
    records = list(records)
    one_setting(records, device=False)
    groups = by_name(records)
    if baseline is not None:
        check_named("baseline", baseline, groups)
    measured = {recipe: accuracies(runs, recipe, tta) for recipe, runs in groups.items()}
    return [_row(recipe, groups[recipe], measured, None if recipe == baseline else baseline) for recipe in groups]


def table(rows: Sequence[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"."""
    return layout.table(rows, COLUMNS, form)


def _row(recipe: str, runs: Runs, measured: dict[str, dict[int, float]], baseline: str | None) -> Row:
    own = measured[recipe]
    mean = mean_interval(list(own.values())) if len(own) > 1 else None
    pairs, change, interval = None, None, None
    if baseline is not None:
        base = {seed: value for seed, value in measured[baseline].items() if seed in own}
        pairs = len(base)
        if pairs:
            change = statistics.mean(own[seed] - base[seed] for seed in base)
        if pairs > 1:
            apart = difference(base, {seed: own[seed] for seed in base})
            interval = apart.low, apart.high
    return Row(
        recipe=recipe,
        n=len(own),
        accuracy=statistics.mean(own.values()),
        interval=mean and (mean.low, mean.high),
        difference=change,
        difference_interval=interval,
        pairs=pairs,
        seconds=statistics.median(record["seconds"] for record in runs.values()),
    )
