"""What a run log says: a row for each recipe, each number with its n and 95 % interval."""

import csv
import io
import statistics
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from typing import Any

from airbench_core.errors import UsageError
from airbench_core.study.groups import Record, Runs, accuracies, by_name
from airbench_core.study.keys import one_setting
from airbench_core.study.statistics import difference, mean_interval

COLUMNS = ("recipe", "n", "accuracy", "95 % interval", "difference", "95 % interval of it", "pairs", "seconds")


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


def rows(records: Iterable[Record], baseline: str | None = None, tta: str | None = None) -> list[Row]:
    """A row for each recipe and runtime in `records`, in the order in which they were first run.

    baseline: the name, as in a row's `recipe`, of the one that others are compared with. tta: at this level instead of
    the recipe's own. A seed that was run more than once counts once, the last time. Raises UsageError for runs of
    several scales or data sets, a baseline that is not there, and a level that a run lacks.
    """
    records = list(records)
    one_setting(records, device=False)
    groups = by_name(records)
    if baseline is not None and baseline not in groups:
        raise UsageError(f"baseline={baseline} is not in the log; there is: {'; '.join(groups)}")
    measured = {recipe: accuracies(runs, recipe, tta) for recipe, runs in groups.items()}
    return [_row(recipe, groups[recipe], measured, None if recipe == baseline else baseline) for recipe in groups]


def table(rows: list[Row], form: str = "text") -> str:
    """The rows as "text" for a terminal, as "markdown" or, unrounded, as "csv"."""
    if form == "csv":
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        values = [asdict(row) for row in rows]
        flat = [{k: v for key, value in row.items() for k, v in _flat(key, value)} for row in values]
        writer.writerow(flat[0])
        writer.writerows(row.values() for row in flat)
        return out.getvalue().rstrip("\n")
    cells = [COLUMNS, *map(_cells, rows)]
    if form == "markdown":
        lines = ["| " + " | ".join(row) + " |" for row in cells]
        return "\n".join([lines[0], "|---" * len(COLUMNS) + "|", *lines[1:]])
    widths = [max(len(row[i]) for row in cells) for i in range(len(COLUMNS))]
    lines = [
        "  ".join(
            cell.ljust(w) if i == 0 else cell.rjust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
        )
        for row in cells
    ]
    return "\n".join(lines)


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
            measured = difference(base, {seed: own[seed] for seed in base})
            interval = measured.low, measured.high
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


def _cells(row: Row) -> tuple[str, ...]:
    few = "n below 2"
    blank = row.pairs is None
    change = "" if row.difference is None else f"{100 * row.difference:+.2f}"
    interval = "" if blank else _interval(row.difference_interval, "+.2f") or few
    return (
        row.recipe,
        str(row.n),
        f"{100 * row.accuracy:.2f} %",
        _interval(row.interval, ".2f") or few,
        change,
        interval,
        "" if blank else str(row.pairs),
        f"{row.seconds:,.2f}",
    )


def _interval(interval: tuple[float, float] | None, form: str) -> str:
    return "" if interval is None else " to ".join(format(100 * bound, form) for bound in interval)


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if not key.endswith("interval"):
        return [(key, value)]
    low, high = value or (None, None)
    return [(f"{key}_low", low), (f"{key}_high", high)]
