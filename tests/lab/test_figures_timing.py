"""Figures of seconds."""

import pytest
from airbench_lab.figures import break_even, launches, seconds

from airbench_core import UsageError


def test_each_part_has_its_seconds_and_share():
    drawing = seconds({"a": 1, "b": 3, "c": 0})
    (axes,) = drawing.axes
    assert [bar.get_width() for bar in axes.patches] == [1, 3, 0]
    assert drawing.table["share, %"].tolist() == [25, 75, 0]
    assert [text.get_text().strip() for text in axes.texts] == ["1 s, 25.0 %", "3 s, 75.0 %", "0 s, 0.0 %"]
    for wrong in {}, {"a": 0}, {"a": -1, "b": 3}, {"a": float("inf")}, {"a": float("nan")}:
        with pytest.raises(UsageError, match="parts of some seconds"):
            seconds(wrong)


def test_what_is_paid_once_pays_where_the_lines_cross():
    drawing = break_even(plain=3, once=20, quicker=1)
    (axes,) = drawing.axes
    plain, quicker, mark = axes.lines
    assert list(mark.get_xdata()) == [10, 10]
    assert plain.get_xydata()[-1] == pytest.approx((22, 66))
    assert quicker.get_xydata()[0] == pytest.approx((0, 20))
    assert quicker.get_xydata()[-1] == pytest.approx((22, 42))
    assert axes.get_title() == "compiled has paid for itself after 10 runs"
    assert drawing.table["runs"].iloc[-1] == 22
    assert break_even(plain=3, once=19, quicker=1).axes[0].get_title().endswith("after 10 runs")  # not after 9.5
    assert break_even(plain=3, once=2, quicker=1).axes[0].get_title().endswith("after 1 run")


@pytest.mark.parametrize("quicker", [3, 4])
def test_what_is_no_quicker_never_pays(quicker):
    drawing = break_even(plain=3, once=20, quicker=quicker)
    assert len(drawing.axes[0].lines) == 2
    assert "never pays here" in drawing.alt


def test_what_costs_nothing_pays_at_once():
    assert "after 0 runs" in break_even(plain=3, once=0, quicker=1).alt
    for wrong in (0, 1, 1), (1, -1, 1), (1, 1, float("nan")), (float("inf"), 1, 1):
        with pytest.raises(UsageError, match="are not legal: above 0"):
            break_even(*wrong)


def test_a_device_with_little_work_waits_for_its_launches():
    drawing = launches(5, [3, 3, 3])
    single, one = drawing.table.to_dict("records")
    assert (single["launches"], single["all is done after"], single["device waits"]) == (3, 18, 9)
    assert (one["launches"], one["all is done after"], one["device waits"]) == (1, 14, 5)


def test_a_device_with_much_work_waits_for_the_first_launch_alone():
    drawing = launches(5, [20, 20, 20])
    assert drawing.table["all is done after"].tolist() == [65, 65]
    for wrong in (5, []), (5, [1] * 41), (0, [1]), (5, [0]), (5, [float("nan")]):
        with pytest.raises(UsageError, match="1 to 40 pieces"):
            launches(*wrong)
