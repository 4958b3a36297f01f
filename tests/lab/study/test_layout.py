import csv
import io
import math
import re

import pytest
from airbench_lab.study import layout
from airbench_lab.study.layout import Column

ROWS = [
    {"name": "a, b", "share": 1 / 3, "share_interval": (0.1, 0.7), "note": 'it is "well" measured', "counts": (5, 2)},
    {"name": "c", "share": -0.5, "share_interval": None, "note": "", "counts": None},
]
COLUMNS = [
    Column("name", lambda row: row["name"], words=True),
    Column("share", lambda row: layout.percent(row["share"])),
    Column("95 % interval", lambda row: layout.percents(row["share_interval"])),
    Column("note", lambda row: row["note"], words=True),
]


def test_text_is_in_columns_numbers_to_the_right():
    assert layout.table(ROWS, COLUMNS).splitlines() == [
        "name      share    95 % interval  note",
        'a, b      33.33   10.00 to 70.00  it is "well" measured',
        "c        -50.00        n below 2",
    ]


def test_markdown_is_a_table_of_as_many_columns_in_each_line():
    lines = layout.table(ROWS, COLUMNS, "markdown").splitlines()
    assert [[cell.strip() for cell in line.split("|")[1:-1]] for line in (lines[0], *lines[2:])] == [
        ["name", "share", "95 % interval", "note"],
        ["a, b", "33.33", "10.00 to 70.00", 'it is "well" measured'],
        ["c", "-50.00", "n below 2", ""],
    ]
    assert re.fullmatch(r"\|:-+\|-+:\|-+:\|:-+\|", lines[1])


def test_csv_has_every_field_unrounded():
    text = layout.csv(ROWS)
    first, second = csv.DictReader(io.StringIO(text))
    assert list(first) == ["name", "share", "share_interval_low", "share_interval_high", "note", "counts"]
    assert (first["name"], float(first["share"]), float(first["share_interval_high"])) == ("a, b", 1 / 3, 0.7)
    assert first["counts"] == "5 2"
    assert first["note"] == 'it is "well" measured'
    assert (second["share_interval_low"], second["share_interval_high"]) == ("", "")
    assert text.count("\n") == 2


@pytest.mark.parametrize(
    ("interval", "shown"),
    [
        (None, ""),
        ((7, 8.0049), "7.00 to 8.00"),
        ((7.124, math.inf), "above 7.12"),
        ((0, 13.96), "below 14.0"),
        ((0, math.inf), "not bounded"),
    ],
)
def test_intervals_may_be_open(interval, shown):
    assert layout.bounds(interval) == shown
