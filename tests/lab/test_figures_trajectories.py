"""The figure of parameters that move during a training."""

import numpy as np
import pytest
from airbench_lab.figures import trajectories

from airbench_core import UsageError

VALUES = np.cumsum(np.random.default_rng(0).normal(size=(30, 5)), axis=0)


def test_each_parameter_has_its_line_beside_mean_and_spread():
    drawing = trajectories({"slow": VALUES / 8, "fast": VALUES}, value="bias", mark=20, marked="frozen")
    for axes, values in zip(drawing.axes, (VALUES / 8, VALUES), strict=True):
        lines = [line.get_ydata() for line in axes.lines]
        np.testing.assert_allclose(lines[:5], values.T)
        np.testing.assert_allclose(lines[5], values.mean(1))
        np.testing.assert_allclose(lines[6:8], [values.mean(1) - values.std(1), values.mean(1) + values.std(1)])
        assert list(lines[0]) == pytest.approx(values[:, 0])
        assert axes.lines[0].get_xdata().tolist() == list(range(1, 31))
        assert axes.lines[8].get_xdata() == [20, 20]
        assert "frozen" in axes.get_xlabel()
    assert drawing.axes[0].get_ylim() == drawing.axes[1].get_ylim()
    assert [axes.get_title("left") for axes in drawing.axes] == ["slow", "fast"]
    last = drawing.table[drawing.table["training"] == "fast"].iloc[-1]
    assert (last["step"], last["parameters"]) == (30, 5)
    assert last["standard deviation"] == pytest.approx(VALUES[-1].std())
    assert [last["smallest"], last["largest"]] == [VALUES[-1].min(), VALUES[-1].max()]
    assert drawing.table["step"].iloc[0] == 1
    assert f"standard deviation {VALUES[-1].std():.2g}" in drawing.alt


def test_of_many_parameters_some_are_drawn_and_all_count():
    values = np.cumsum(np.random.default_rng(1).normal(size=(20, 256)), axis=0)
    drawing = trajectories({"many": values})
    lines = [line.get_ydata() for line in drawing.axes[0].lines]
    assert len(lines) == 24 + 3
    np.testing.assert_allclose(lines[0], values[:, 0])
    np.testing.assert_allclose(lines[23], values[:, 255])
    np.testing.assert_allclose(lines[24], values.mean(1))
    assert drawing.table["parameters"].unique().tolist() == [256]
    assert drawing.table["largest"].iloc[-1] == values[-1].max()


def test_one_step_and_one_parameter_will_do():
    assert trajectories({"a": [[0.5]]}).table["mean"].tolist() == [0.5]


@pytest.mark.parametrize(
    "panels", [{}, {str(i): VALUES for i in range(4)}, {"a": VALUES[0]}, {"a": VALUES, "b": VALUES[:9]}, {"a": [[]]}]
)
def test_what_are_no_trajectories_is_refused(panels):
    with pytest.raises(UsageError, match="trajectories"):
        trajectories(panels)
