import numpy as np
import pytest
from airbench_lab.figures import Drawing, Line, curves
from airbench_lab.figures.curves import EARLIER, RECORDED
from airbench_lab.study.statistics import mean_interval
from matplotlib.lines import Line2D

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


def test_a_single_run_is_drawn_and_tabled_without_interval():
    figure = curves([RUN])
    assert list(figure.table["accuracy, %"]) == [50, 60, 65]
    assert list(figure.table["epochs"]) == [1, 2, 2.5]
    assert figure.table[["low", "high"]].isna().to_numpy().all()
    line = drawn(figure, "airbench94")
    assert line.get_xydata().tolist() == [[1, 50], [2, 60], [2.5, 65]]
    assert bands(figure) == 0
    assert "65.0\xa0% after 2.5 epochs (n=1)" in figure.legends[0].get_texts()[0].get_text()


def test_what_was_held_out_is_no_test():
    for data, what in ("cifar10", "test accuracy"), ("cifar10-holdout5000", "held-out accuracy"):
        figure = curves([RUN], data)
        assert figure.axes[0].get_ylabel() == f"{what} without TTA, %"
        assert figure.alt.startswith(f"{what.capitalize()} without TTA against epochs: airbench94")


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


def test_accuracies_without_their_epochs_are_refused():
    with pytest.raises(UsageError, match=r"odd: accuracies of shape \(3,\) at 2 epochs"):
        Line(label="odd", epochs=[1, 2], accuracies=[0.5, 0.6, 0.7])


def test_where_nothing_is_drawn_a_word_says_so():
    assert [text.get_text() for text in curves([]).axes[0].texts] == ["no run yet"]
    assert not curves([RUN]).axes[0].texts
