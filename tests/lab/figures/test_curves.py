import io
import itertools

import matplotlib
import numpy as np
import pytest
from airbench_lab.figures import Drawing, Line, LiveCurves, curves, png
from airbench_lab.figures.curves import EARLIER, RECORDED
from airbench_lab.study.statistics import mean_interval
from matplotlib.lines import Line2D
from PIL import Image

from airbench_core import UsageError

RUN = Line(label="airbench94", epochs=[1, 2, 2.5], accuracies=[0.5, 0.6, 0.65])
MANY = Line(label="baseline", epochs=[1, 2], accuracies=[[0.5, 0.6], [0.52, 0.63], [0.54, 0.6]], recorded="an A100")


def drawn(figure: Drawing, label: str) -> Line2D:
    """The line whose legend entry begins with `label`."""
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    (at,) = [i for i, text in enumerate(texts) if text.startswith(label)]
    handle = legend.legend_handles[at]
    (line,) = [
        line for line in figure.axes[0].lines if line.get_color() == handle.get_color() and len(line.get_xdata())
    ]
    return line


def bands(figure: Drawing) -> int:
    return sum(
        bool(np.isfinite(one.get_paths()[0].vertices).any()) for one in figure.axes[0].collections if one.get_paths()
    )


def pixels(picture: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(picture)).convert("RGB"))


def test_a_single_run_is_drawn_and_tabled_without_interval():
    figure = curves([RUN])
    assert list(figure.table["accuracy, %"]) == [50, 60, 65]
    assert list(figure.table["epochs"]) == [1, 2, 2.5]
    assert figure.table[["low", "high"]].isna().to_numpy().all()
    line = drawn(figure, "airbench94")
    assert line.get_xydata().tolist() == [[1, 50], [2, 60], [2.5, 65]]
    assert bands(figure) == 0
    assert "65.0\xa0% after 2.5 epochs (n=1)" in figure.legends[0].get_texts()[0].get_text()


def test_several_runs_are_their_mean_with_students_interval():
    figure = curves([MANY])
    mean = mean_interval([60, 63, 60])
    row = figure.table.iloc[-1]
    assert [row["accuracy, %"], row["low"], row["high"], row["n"]] == pytest.approx([61, mean.low, mean.high, 3])
    assert drawn(figure, "baseline").get_ydata()[-1] == pytest.approx(61)
    (band,) = figure.axes[0].collections
    assert band.get_alpha() > 0.1
    assert max(band.get_paths()[0].vertices[:, 1]) == pytest.approx(figure.table["high"].max())
    assert "(n=3)" in figure.legends[0].get_texts()[0].get_text()


def test_recorded_runs_say_so_and_are_dashed():
    figure = curves([MANY, RUN])
    recorded = drawn(figure, "baseline, recorded on an A100")
    assert str(tuple(RECORDED[0][1])) == str(tuple(recorded._unscaled_dash_pattern[1]))
    assert str(tuple(EARLIER[0][1])) == str(tuple(drawn(figure, "airbench94, done")._unscaled_dash_pattern[1]))
    assert set(figure.table["state"]) == {"recorded on an A100", "done"}
    assert "baseline, recorded on an A100: 61.0 % after 2 epochs (n=3)" in figure.alt


def test_a_stopped_run_ends_in_a_cross():
    stopped = Line(label="a", epochs=[1, 2], accuracies=[0.5, 0.6], state="stopped")
    for figure, count in (curves([stopped]), 1), (curves([RUN]), 0):
        crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x" and len(line.get_xdata())]
        assert [line.get_xydata().tolist() for line in crosses] == [[[2, 60]]] * count
    assert set(curves([stopped]).table["state"]) == {"stopped"}
    live = LiveCurves(4)
    live.update(stopped)
    crosses = [line for line in live.figure.axes[0].lines if line.get_marker() == "x"]
    assert [line.get_xydata().tolist() for line in crosses] == [[[2, 60]]]
    live.update(RUN)
    assert crosses[0].get_xydata().tolist() == []


def test_two_runs_of_one_name_are_two_curves():
    figure = curves([RUN, RUN])
    assert list(figure.table["curve"]) == [1, 1, 1, 2, 2, 2]
    assert figure.alt.count("airbench94, done: 65.0 %") == 2


def test_of_many_lines_the_newest_are_drawn():
    own = [Line(label=f"run {i}", epochs=[1], accuracies=[0.5]) for i in range(5)]
    recorded = [Line(label=f"old {i}", epochs=[1], accuracies=[0.5], recorded="x") for i in range(2)]
    figure = curves([*recorded, *own])
    assert list(figure.table["run"]) == ["run 2", "run 3", "run 4", "old 0", "old 1"]
    assert figure.legends[0].get_texts()[-1].get_text() == "older ones are not drawn: 2"


def test_a_live_figure_is_kept_and_moves():
    live = LiveCurves(8, [RUN, MANY])
    figure, artists = live.figure, live.figure.axes[0].get_children()
    for epochs in 0, 1, 2, 3:
        accuracies = [0.5, 0.6, 0.99][:epochs]
        live.update(Line(label="now", epochs=list(range(1, epochs + 1)), accuracies=accuracies, state="running"))
        assert live.figure is figure
        assert live.figure.axes[0].get_children() == artists
        mine = figure.table[figure.table["run"] == "now"]
        assert list(mine["accuracy, %"]) == pytest.approx([100 * value for value in accuracies])
        (line,) = [line for line in figure.axes[0].lines if line.get_color() == "#000000" and line.get_marker() == "o"]
        assert list(line.get_ydata()) == list(mine["accuracy, %"])
        low, high = figure.axes[0].get_ylim()
        assert low < figure.table["accuracy, %"].min() <= figure.table["accuracy, %"].max() < high
    assert figure.axes[0].get_xlim()[1] > 8
    assert "now, running: 99.0 % after 3 epochs (n=1)" in figure.alt
    assert list(zip(figure.table["curve"], figure.table["run"], strict=True)) == [
        *[(1, "now")] * 3,
        *[(2, "airbench94")] * 3,
        *[(3, "baseline")] * 2,
    ]


def test_the_quick_picture_is_the_slow_one():
    live = LiveCurves(4, [RUN, MANY])
    seen = [pixels(live.png())]
    for accuracies in [0.5], [0.5, 0.6], [0.5, 0.6, 0.97], [0.3]:  # the axis changes with the third, and back
        live.update(Line(label="now", epochs=range(1, len(accuracies) + 1), accuracies=accuracies, state="running"))
        seen.append(pixels(live.png()))
        np.testing.assert_array_equal(seen[-1], pixels(png(live.figure)))
    live.update(Line(label="now", epochs=[1], accuracies=[0.3], state="stopped"))
    with matplotlib.style.context("dark_background"):
        np.testing.assert_array_equal(pixels(live.png()), pixels(png(live.figure)))
    assert all((one != other).any() for one, other in itertools.pairwise(seen))


def test_what_has_not_changed_is_not_drawn_again(monkeypatch):
    """On one busy core, 4 times a second: to draw all texts and lines anew takes several times as long."""
    live, drawn = LiveCurves(20, [RUN, MANY]), []
    live.png()
    draw = Drawing.draw
    monkeypatch.setattr(Drawing, "draw", lambda figure, renderer: (drawn.append(1), draw(figure, renderer)))
    for epochs in range(1, 10):
        accuracies = np.linspace(0.5, 0.65, epochs)
        live.update(Line(label="now", epochs=range(1, epochs + 1), accuracies=accuracies, state="running"))
        live.png()
    assert not drawn


def test_accuracies_without_their_epochs_are_refused():
    with pytest.raises(UsageError, match=r"odd: accuracies of shape \(3,\) at 2 epochs"):
        Line(label="odd", epochs=[1, 2], accuracies=[0.5, 0.6, 0.7])
