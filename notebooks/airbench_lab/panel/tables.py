"""The table under the plot, for a page and for a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from airbench_lab.figures.drawing import html_table
from airbench_lab.study import layout
from airbench_lab.study.layout import Column, bounds, number

FEW = "needs 2 runs"  # instead of an interval


def rows_text(rows: Sequence[Mapping[str, Any]], reference: str) -> str:
    return layout.table(rows, _columns(reference)) if rows else "no runs yet, and none recorded"


def rows_html(rows: Sequence[Mapping[str, Any]], reference: str) -> str:
    columns = _columns(reference)
    cells = [[column.cell(row) for column in columns] for row in rows]
    headings = [column.heading for column in columns]
    return html_table(pd.DataFrame(cells, columns=headings), "The runs made here, and recorded ones") if rows else ""


def _columns(reference: str) -> list[Column]:
    return [
        Column("recipe", lambda row: row["recipe"], words=True),
        Column("n", lambda row: str(row["n"])),
        Column("accuracy", lambda row: f"{row['accuracy']:.2f} %"),
        Column("95 % interval", _interval),
        Column("seconds", lambda row: "" if row["seconds"] is None else f"{row['seconds']:,.1f} ({row['timed']})"),
        Column(f"worth epochs of {reference}, as scaled", _worth),
        Column("effective speedup", lambda row: number(row["speedup"])),
        Column("where", lambda row: row["where"], words=True),
        Column("note", lambda row: row["note"], words=True),
    ]


def _interval(row: Mapping[str, Any]) -> str:
    return FEW if row["low"] is None else f"{row['low']:.2f} to {row['high']:.2f}"


def _worth(row: Mapping[str, Any]) -> str:
    """Blank where it is not known; the note says why."""
    if row["worth"] is None:
        return ""
    interval = FEW if row["worth_low"] is None else bounds((row["worth_low"], row["worth_high"]))
    return f"{number(row['worth'])} ({interval})"
