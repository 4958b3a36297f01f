"""The table under the plot, for a page and for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from airbench_lab.figures.drawing import html_table
from airbench_lab.study import layout
from airbench_lab.study.layout import Column, bounds, number

FEW = "needs 2 runs"  # instead of an interval


def rows_text(rows: Sequence[Mapping[str, Any]]) -> str:
    return layout.table(rows, _columns(rows)) if rows else "no runs yet"


def rows_html(rows: Sequence[Mapping[str, Any]]) -> str:
    columns = _columns(rows)
    cells = [[column.cell(row) for column in columns] for row in rows]
    headings = [column.heading for column in columns]
    return html_table(pd.DataFrame(cells, columns=headings), "The runs made here, and recorded ones") if rows else ""


def _columns(rows: Sequence[Mapping[str, Any]]) -> list[Column]:
    """Those in which there is anything."""
    columns = [
        Column("recipe", lambda row: row["recipe"], words=True),
        Column("n", lambda row: str(row["n"])),
        Column("accuracy", lambda row: f"{row['accuracy']:.2f} %"),
        Column("95 % interval", lambda row: _interval(row, "", ".2f")),
        Column("seconds", lambda row: "" if row["seconds"] is None else f"{row['seconds']:,.1f} ({row['timed']})"),
        Column("worth epochs of the baseline", lambda row: _open(row, "worth")),
        Column("effective speedup", lambda row: _open(row, "speedup")),
        Column("where", lambda row: row["where"], words=True),
        Column("note", lambda row: row["note"], words=True),
    ]
    return [column for column in columns if any(column.cell(row) for row in rows)]


def _interval(row: Mapping[str, Any], name: str, form: str = "#.3g") -> str:
    low, high = row[f"{name}low"], row[f"{name}high"]
    return FEW if low is None else bounds((low, high), form)


def _open(row: Mapping[str, Any], name: str) -> str:
    """Blank where it is not known; the note says why."""
    return "" if row[name] is None else f"{number(row[name])} ({_interval(row, f'{name}_')})"
