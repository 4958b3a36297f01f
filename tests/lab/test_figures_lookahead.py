"""Lookahead's figures, of plain arrays: one round, the schedule, descents."""

import numpy as np
import pytest
from airbench_lab.figures import descents, lookahead_round

from airbench_core import UsageError
from airbench_core.tricks.lookahead import lookahead_decays

PATH = np.array([[0, 0], [1, 2], [2, 1], [3, 1], [3, 3], [4, 2]])
A_WAY = np.linspace([-3, 3], [0.1, 0.2], 41)


def _line(axes, label: str) -> np.ndarray:
    (line,) = [line for line in axes.lines if line.get_label() == label]
    return line.get_xydata()


def test_a_round_goes_from_the_slow_weights_over_the_fast_ones_to_a_place_between():
    decays = lookahead_decays(100)
    drawing = lookahead_round(PATH, [2, 1], decays)
    left, right = drawing.axes
    np.testing.assert_array_equal(_line(left, "fast: its steps"), PATH)
    np.testing.assert_array_equal(_line(left, "slow, before"), [[0, 0]])
    np.testing.assert_array_equal(_line(left, "slow and fast, after"), [[2, 1]])
    np.testing.assert_allclose(_line(right, "d: kept of the slow weights"), np.stack([range(101), decays]).T)
    np.testing.assert_allclose(_line(right, "1 − d: taken over")[:, 1], 1 - np.array(decays))
    np.testing.assert_allclose(drawing.table["training done, %"], range(0, 101, 10))
    np.testing.assert_allclose(drawing.table["d, kept"], decays[::10])
    np.testing.assert_allclose(drawing.table["1 - d, taken over"], 1 - drawing.table["d, kept"])
    assert "5 steps" in drawing.alt
    assert "0 over 0.097 half way to 0.77" in drawing.alt


def test_what_makes_no_round_is_refused():
    with pytest.raises(UsageError, match="a path of shape"):
        lookahead_round(PATH[:, :1], [2, 1], [0, 1])
    with pytest.raises(UsageError, match="a path of shape"):
        lookahead_round(PATH, [2, 1, 0], [0, 1])
    with pytest.raises(UsageError, match="decays of shape"):
        lookahead_round(PATH, [2, 1], [0])


def test_descents_show_the_last_quarter_of_a_run_and_the_mean_loss_of_all():
    losses = {"SGD": np.geomspace(5, 0.3, 41), "with Lookahead": np.geomspace(5, 0.1, 41)}
    drawing = descents({"SGD": A_WAY, "with Lookahead": A_WAY / 2}, losses, [1, 0.2])
    left, right = drawing.axes
    ways = [line.get_xydata() for line in left.lines if len(line.get_xydata()) > 1]
    np.testing.assert_allclose(ways, [A_WAY[30:], A_WAY[30:] / 2])
    ends = {line.get_marker(): line.get_xydata()[0] for line in left.lines if len(line.get_xydata()) == 1}
    np.testing.assert_allclose(ends.pop("+"), [0, 0])
    np.testing.assert_allclose(list(ends.values()), [A_WAY[-1], A_WAY[-1] / 2])
    for name, loss in losses.items():
        np.testing.assert_allclose(_line(right, name)[:, 1], loss)
        assert drawing.table[f"mean loss, {name}"].iloc[-1] == pytest.approx(loss[-1])
    assert right.get_yscale() == "log"
    assert drawing.table["step"].tolist() == list(range(0, 41, 2))
    assert drawing.table["y, with Lookahead"].iloc[0] == 1.5
    assert "after 40 steps: SGD 0.3, with Lookahead 0.1" in drawing.alt


def test_what_makes_no_descents_is_refused():
    loss = np.ones(41)
    for paths, losses in (
        ({}, {}),
        ({"a": A_WAY}, {"b": loss}),
        ({"a": A_WAY}, {"a": loss[1:]}),
        (dict.fromkeys("abcd", A_WAY), dict.fromkeys("abcd", loss)),
    ):
        with pytest.raises(UsageError, match="one to three ways"):
            descents(paths, losses, [1, 0.2])
    with pytest.raises(UsageError, match="a path is of shape"):
        descents({"a": A_WAY[:, :1]}, {"a": loss}, [1, 0.2])


def test_texts_lie_inside_and_apart(check_texts):
    losses = {"SGD": np.geomspace(5, 0.3, 41), "with Lookahead": np.geomspace(5, 0.1, 41)}
    for drawing in (
        lookahead_round(PATH, [2, 1], lookahead_decays(100)),
        descents({"SGD": A_WAY, "with Lookahead": A_WAY / 2}, losses, [1, 0.2]),
    ):
        check_texts(drawing)
