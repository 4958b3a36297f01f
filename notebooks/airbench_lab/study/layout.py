"""Rows of numbers laid out as a table: for a terminal, as Markdown, as CSV."""

import csv
import io
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, NamedTuple

FORMS = ("text", "markdown", "csv")
FEW = "n below 2"  # instead of an interval that nothing is known of


class Column(NamedTuple):
    """A column for people: what heads it, and what it says of a row."""

    heading: str
    cell: Callable[[Any], str]
    words: bool = False  # rather than a number: set to the left


def table(rows: Sequence[Any], columns: Sequence[Column], form: str = "text") -> str:
    """The rows, dataclasses of one kind, in one of FORMS, without an end of line at the end.

    "csv" is for programs: every field of the rows, unrounded, one line a row whatever the columns. An interval has two
    columns, _low and _high; what is None is empty; several numbers are apart by spaces.
    """
    if form == "csv":
        return _csv(rows)
    cells = [[column.heading for column in columns], *([column.cell(row) for column in columns] for row in rows)]
    return (_markdown if form == "markdown" else _text)(cells, [column.words for column in columns])


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


def _text(cells: list[list[str]], words: list[bool]) -> str:
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = (
        "  ".join(cell.ljust(w) if left else cell.rjust(w) for cell, w, left in zip(row, widths, words, strict=True))
        for row in cells
    )
    return "\n".join(line.rstrip() for line in lines)


def _markdown(cells: list[list[str]], words: list[bool]) -> str:
    head, *lines = ["| " + " | ".join(cell.replace("|", "\\|") for cell in row) + " |" for row in cells]
    return "\n".join([head, "|" + "|".join("---" if left else "---:" for left in words) + "|", *lines])


def _csv(rows: Sequence[Any]) -> str:
    out = io.StringIO()
    flat = [{k: v for key, value in asdict(row).items() for k, v in _flat(key, value)} for row in rows]
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(flat[0])
    writer.writerows(row.values() for row in flat)
    return out.getvalue().removesuffix("\n")


def _flat(key: str, value: Any) -> list[tuple[str, Any]]:
    if key.endswith("interval"):
        low, high = value or (None, None)
        return [(f"{key}_low", low), (f"{key}_high", high)]
    return [(key, " ".join(map(str, value)) if isinstance(value, tuple) else value)]
