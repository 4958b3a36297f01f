"""The leaderboard, and the chance to pass."""

import numpy as np
import pytest
from airbench_lab.figures import board, passing

from airbench_core import UsageError

FIRST = {
    "rank": "1",
    "entry": "mine",
    "seconds": 10.0,
    "seconds, low": 9.0,
    "seconds, high": 12.0,
    "sure": 0.9375,
    "accuracy, %": 71.0,
    "accuracy, low": 70.0,
    "accuracy, high": 72.0,
    "n": 5,
}
LAST = FIRST | {"rank": "fails", "entry": "low", "seconds": 5.0, "accuracy, %": 60.0}


def points(axes):
    return [line for line in axes.lines if line.get_marker() in "sD" and len(line.get_xdata()) == 1]


def test_the_board_shows_seconds_accuracies_and_the_target():
    drawing = board([FIRST, LAST], target=70.5, where="here")
    for axes, name in zip(drawing.axes, ("seconds", "accuracy, %"), strict=True):
        shown = points(axes)
        assert [(line.get_xdata()[0], line.get_ydata()[0]) for line in shown] == [(FIRST[name], 0), (LAST[name], 1)]
        assert [line.get_markerfacecolor() == "white" for line in shown] == [False, True]
        ends = [list(line.get_xdata()) for line in axes.lines if line.get_gid() == "interval"]
        start = name.removesuffix(", %")
        assert ends == [[FIRST[f"{start}, low"], FIRST[f"{start}, high"]]] * 2
    assert [line.get_xdata()[0] for line in drawing.axes[1].lines if line.get_linestyle() == "--"] == [70.5]
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["1: mine", "fails: low"]
    assert "94\N{NO-BREAK SPACE}%" in drawing.get_supxlabel()
    assert drawing.table["rank"].tolist() == ["1", "fails"]


def test_the_board_says_what_hollow_means_and_that_seconds_of_two_machines_do_not_compare():
    def note(*rows):
        return board(rows, target=70.5, where="here").get_supxlabel().replace("\n", " ")

    here, there = FIRST | {"machine": "one"}, FIRST | {"machine": "another"}
    assert note(here, here).endswith("dashed: the target.")
    assert note(here, LAST | {"machine": "one"}).endswith("Hollow: does not pass.")
    assert note(here, there).endswith("Not all on one machine: compare no seconds.")


def test_an_empty_board_says_so():
    drawing = board([], target=70.5, where="here")
    assert "No entries yet" in drawing.alt


def test_the_chance_is_drawn_for_each_number_of_runs():
    drawing = passing(lambda above, std, n: min(1.0, 0.5 + above / std / 10 + n / 1000), 0.5, (5, 25))
    lines = {line.get_label(): line for line in drawing.axes[0].lines}
    assert lines["5 runs"].get_xydata()[30] == pytest.approx([0, 50.5])
    assert lines["25 runs"].get_xydata()[60] == pytest.approx([1.5, 82.5])
    np.testing.assert_allclose(drawing.table["chance to pass, %, n=5"].iloc[0], 20.5)
    with pytest.raises(UsageError, match="0 lines"):
        passing(lambda *_: 0.5, 0.5, ())
