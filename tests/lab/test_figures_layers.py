"""Figures of what becomes of something from layer to layer."""

import numpy as np
import pytest
from airbench_lab.figures import by_layer, depths

from airbench_core import UsageError

RNG = np.random.default_rng(0)


def test_maps_are_drawn_in_the_order_of_the_layers_with_their_correlation():
    first, other = RNG.random((2, 9, 8))
    rows = {"kept": [first, 3 * first + 1, -first], "lost": [first, other, np.ones((9, 8))]}
    drawing = depths(rows)
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.axes]
    for picture, wanted in zip(shown, [*rows["kept"], *rows["lost"]], strict=True):
        np.testing.assert_array_equal(picture, wanted)
    wanted = [1, 1, -1, 1, np.corrcoef(first.ravel(), other.ravel())[0, 1], 0]
    assert drawing.table["correlation with the first"].tolist() == pytest.approx(wanted)
    assert [axes.get_xlabel() for axes in drawing.axes] == [f"{value:.2f}".replace("-", "−") for value in wanted]
    assert [axes.get_title() for axes in drawing.axes[:3]] == ["before", "layer 1", "layer 2"]
    assert [drawing.axes[i].get_ylabel() for i in (0, 3)] == ["kept", "lost"]
    assert drawing.table["passed"].tolist() == [0, 1, 2] * 2
    assert "kept −1.00, lost 0.00" in drawing.alt


@pytest.mark.parametrize(
    "rows",
    [
        {},
        {"a": [np.ones((4, 4))]},
        {"a": [np.ones((4, 4))] * 9},
        {"a": [np.ones((4, 4))] * 3, "b": [np.ones((4, 4))] * 2},
        {"a": [np.ones((4, 4)), np.ones((5, 4))]},
        {"a": [np.ones((3, 4, 4))] * 2},
    ],
)
def test_what_makes_no_rows_of_pictures_is_refused(rows):
    with pytest.raises(UsageError, match="rows of 2 to 8 maps"):
        depths(rows)


def test_numbers_by_layer_have_a_line_for_each_network_in_each_panel():
    panels = {
        "norm": {"random": [3, 2, 1], "identity": [0.5, 1, 1]},
        "agreement": {"random": [0, -0.1, 0], "identity": [1, 1, 1]},
    }
    drawing = by_layer(panels, layers="convolution")
    for axes, (what, lines) in zip(drawing.axes, panels.items(), strict=True):
        assert axes.get_title("left") == what
        assert {line.get_label(): line.get_ydata().tolist() for line in axes.lines} == lines
        assert all(line.get_xdata().tolist() == [1, 2, 3] for line in axes.lines)
        low, high = axes.get_ylim()
        assert low <= min(0, *np.ravel(list(lines.values())))
        assert high >= np.max(list(lines.values()))
    assert drawing.table.columns.tolist() == ["of", "convolution", "norm", "agreement"]
    assert drawing.table.iloc[3].tolist() == ["identity", 1, 0.5, 1]
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["random", "identity"]


@pytest.mark.parametrize(
    "panels",
    [
        {},
        {str(i): {"a": [1, 2]} for i in range(4)},
        {"x": {"a": [1, 2], "b": [1]}},
        {"x": {"a": [1, 2]}, "y": {"b": [1, 2]}},
        {"x": {str(i): [1, 2] for i in range(8)}},
    ],
)
def test_what_makes_no_panels_is_refused(panels):
    with pytest.raises(UsageError, match="1 to 3 quantities"):
        by_layer(panels)
