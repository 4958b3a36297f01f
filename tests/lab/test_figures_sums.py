"""Sums of single effects against effects together."""

import math

import pytest
from airbench_lab.figures import sums
from airbench_lab.figures.additivity import APART, JOINT, SUM

from airbench_core import UsageError
from airbench_core.study.statistics import difference, mean_interval

ONE = {0: -3.0, 1: -3.5, 2: -2.5}, {2: -1.0, 1: -2.0, 0: -1.6}
OTHER = {0: -1.0, 1: 0.5, 2: 0.2}, {0: -1.1, 1: 0.4, 2: 0.1}


def drawn(drawing, axes, name):
    (line,) = [line for line in drawing.axes[axes].lines if line.get_label() == name]
    return list(line.get_xdata()), list(line.get_ydata())


def test_means_and_intervals_are_those_of_the_seeds():
    drawing = sums({"a + b": ONE, "c + d": OTHER}, where="here")
    first, second = drawing.table.to_dict("records")
    mean = mean_interval(list(ONE[1].values()))
    assert [first[JOINT + end] for end in ("", ", low", ", high")] == pytest.approx([mean.mean, mean.low, mean.high])
    apart = difference(*ONE)  # by seed: the two list them in other orders
    assert [first[APART + end] for end in ("", ", low", ", high")] == pytest.approx(
        [apart.difference, apart.low, apart.high]
    )
    assert second[SUM] == pytest.approx(-0.1)
    assert second[APART] == pytest.approx(-0.1)


def test_what_is_drawn_is_what_the_table_says():
    drawing = sums({"a + b": ONE, "c + d": OTHER}, where="here")
    for axes, names in (0, (SUM, JOINT)), (1, (APART,)):
        for name in names:
            values, rows = drawn(drawing, axes, name)
            assert values == pytest.approx(list(drawing.table[name]))
            assert [round(row) for row in rows] == [0, 1]
        lines = [line for line in drawing.axes[axes].lines if line.get_gid() == "interval"]
        ends = sorted((round(line.get_ydata()[0]), *line.get_xdata()) for line in lines)
        low, high = (list(drawing.table[f"{names[-1]}, {end}"]) for end in ("low", "high"))
        for row in (0, 1):
            assert (row, pytest.approx(low[row]), pytest.approx(high[row])) in ends
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["a + b", "c + d"]
    note = drawing.get_supxlabel().replace("\n", " ")
    assert note.startswith("here, n=3 seeds")


def test_a_single_seed_has_no_interval():
    drawing = sums({"a + b": ({0: -3.0}, {0: -1.0}), "c + d": OTHER}, where="here")
    row = drawing.table.iloc[0]
    assert row[APART] == pytest.approx(2)
    assert math.isnan(row[f"{APART}, low"])
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["a + b (n=1)", "c + d (n=3)"]
    assert "n=1 seed: no interval" in sums({"a": ({0: 1.0}, {0: 1.0})}, where="here").get_supxlabel()


def test_what_cannot_be_drawn_is_refused():
    with pytest.raises(UsageError, match="no effects"):
        sums({}, where="here")
    with pytest.raises(UsageError, match="only on one side 2"):
        sums({"a": ({0: 1.0, 1: 1.0, 2: 1.0}, {0: 1.0, 1: 1.0})}, where="here")
