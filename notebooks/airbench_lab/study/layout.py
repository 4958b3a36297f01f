"""Rows laid out as a table: for a terminal, as Markdown, as CSV; numbers and intervals as people read them."""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import pandas as pd
from tabulate import tabulate

from airbench_core.errors import printable

FEW = "n below 2"  # instead of an interval that nothing is known of


class Column(NamedTuple):
    """A column for people: what heads it, and what it says of a row."""

    heading: str
    cell: Callable[[Any], str]
    words: bool = False  # rather than a number: set to the left


def table(rows: Iterable[Any], columns: Sequence[Column], form: str = "text") -> str:
    """The rows as "text", as "markdown" or, unrounded and whole, as "csv"; without an end of line at the end."""
    if form == "csv":
        return csv(rows)
    bar = "|" if form == "text" else "\\|"
    cells = [[printable(column.cell(row)).replace("|", bar) for column in columns] for row in rows]
    headings, align = zip(*((c.heading, "left" if c.words else "right") for c in columns), strict=True)
    kind = "plain" if form == "text" else "pipe"
    return tabulate(cells, headings, kind, disable_numparse=True, colalign=align)


def csv(rows: Iterable[Mapping[str, Any]]) -> str:
    """The rows for programs: every value unrounded, one line a row, without an end of line at the end.

    An interval has two columns, _low and _high; what is None is empty; several numbers are apart by spaces.
    """
    flat = [{k: v for name, value in row.items() for k, v in _flat(name, value)} for row in rows]
    return pd.DataFrame(flat, dtype=object).to_csv(index=False, lineterminator="\n").removesuffix("\n")


def _flat(name: str, value: Any) -> list[tuple[str, Any]]:
    if name.endswith("interval"):
        low, high = value or (None, None)
        return [(f"{name}_low", low), (f"{name}_high", high)]
    return [(name, " ".join(map(str, value)) if isinstance(value, tuple) else value)]


def percent(value: float | None, form: str = ".2f") -> str:
    """A share, or a difference of two, in hundredths; nothing for None."""
    return number(None if value is None else 100 * value, form)


def percents(interval: tuple[float, float] | None, form: str = ".2f") -> str:
    """An interval of shares, or FEW."""
    return FEW if interval is None else " to ".join(percent(bound, form) for bound in interval)


def number(value: float | None, form: str = "#.3g") -> str:
    """A number to three digits, or as `form` says; nothing for None."""
    return "" if value is None else format(value, form)


def bounds(interval: tuple[float, float] | None, form: str = "#.3g") -> str:
    """An interval that may be open: from 0, to infinity, or both; nothing for None."""
    if interval is None or interval == (0, math.inf):
        return "not bounded" * (interval is not None)
    low, high = interval
    if math.isinf(high):
        return f"above {low:{form}}"
    return f"{low:{form}} to {high:{form}}" if low else f"below {high:{form}}"
