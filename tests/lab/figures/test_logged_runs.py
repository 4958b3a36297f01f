"""The figure of logged runs beside published numbers: FLOPs against error."""

import math
from dataclasses import replace

import numpy as np
import pytest
from airbench_lab import published
from airbench_lab.figures import flops_against_error
from airbench_lab.flops import training_flops
from airbench_lab.study.frames import frame
from airbench_lab.study.ladder import LADDER
from airbench_lab.study.statistics import mean_interval
from airbench_lab.study.studies import WHITENED, ablation
from matplotlib.axes import Axes

from airbench_core import AIRBENCH94, SCALES, UsageError
from airbench_core.published import RECIPES

RUNGS = {rung.label: rung for rung in LADDER}


def intervals(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if line.get_gid() == "interval"]


def test_the_published_numbers_are_those_of_the_recipes():
    """Each rung's recipe is trained for the epochs that are published for it."""
    assert published.LADDER.keys() == RUNGS.keys()
    for label, epochs in published.LADDER.items():
        assert epochs in (RUNGS[label].recipe.epochs, None)
    assert AIRBENCH94.epochs == published.AIRBENCH94_EPOCHS
    assert WHITENED.epochs == published.WHITENED_EPOCHS
    labels = {variant.label for variant in ablation()}
    assert {f"whitened baseline + {trick}" for trick in published.INTERACTIONS} <= labels
    for name, method in published.METHODS.items():
        if name != "airbench96":  # the paper's was another recipe
            assert 1000 * method.pflops == pytest.approx(training_flops(RECIPES[name]) / 1e12, rel=0.04)


def test_runs_of_several_settings_are_refused(made):
    one = made(AIRBENCH94, [0.7, 0.71])
    for other, what in (
        (made(AIRBENCH94, [0.9], scale="full"), "mix scales"),
        (made(AIRBENCH94, [0.9], data="cifar100"), "mix data sets"),
        (made(AIRBENCH94, [0.9], threads=2), "of several kinds: a processor, bfloat16, 1 thread"),
        (made(AIRBENCH94, [0.9], name="another"), "mix devices"),
    ):
        with pytest.raises(UsageError, match=what):
            flops_against_error(frame([*one, *other]))
    with pytest.raises(UsageError, match="no runs"):
        flops_against_error(frame([]))


def test_runs_with_parts_of_somebody_s_own_are_a_point_of_their_own(made):
    runs = made(AIRBENCH94, [0.7, 0.72])
    table = flops_against_error(frame([*runs, *(run | {"parts": ["whiten"]} for run in runs)])).table
    rows = table[table["source"] == "own"]
    assert list(zip(rows["recipe"], rows["n"], strict=True)) == [("airbench94", 2), ("airbench94 with own whiten", 2)]


def test_errors_over_counted_flops(made):
    runs = [*made(AIRBENCH94, [0.70, 0.72, 0.71]), *made(RECIPES["airbench95"], [0.8]), *made(AIRBENCH94, {2: 0.73})]
    drawing = flops_against_error(frame(runs))
    own = drawing.table[drawing.table["source"] == "own"].to_dict("records")
    first, second = own
    mean, laptop = mean_interval([70, 72, 73]), SCALES["laptop"]  # of seed 2 the later run
    images = laptop.train_images, laptop.test_images
    assert first["recipe"] == "airbench94"
    assert first["TFLOPs of a run"] == pytest.approx(training_flops(laptop.recipe(AIRBENCH94), *images) / 1e12)
    assert [first["test error, %"], first["low"], first["high"]] == pytest.approx(
        [100 - mean.mean, 100 - mean.high, 100 - mean.low]
    )
    assert (first["n"], second["n"]) == (3, 1)
    assert math.isnan(second["low"])
    axes = drawing.axes[1]
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    ((_, y),) = intervals(axes)
    assert y == [first["low"], first["high"]]
    points = {line.get_label(): line.get_xydata()[0].tolist() for line in axes.lines}
    assert points["airbench94 (n=3)"] == [first["TFLOPs of a run"], first["test error, %"]]
    assert "airbench95 (n=1: no interval)" in points


def test_recipes_that_differ_in_epochs_alone_are_one_line(made):
    lengths = {20: [0.7, 0.72], 5: [0.6, 0.61], 9.9: [0.65, 0.66, 0.67]}
    runs = [run for epochs, of in lengths.items() for run in made(replace(AIRBENCH94, epochs=epochs), of)]
    axes = flops_against_error(frame([*runs, *made(replace(AIRBENCH94, cutout=12), [0.6, 0.62])])).axes[1]
    lines = {line.get_label(): line.get_xydata() for line in axes.lines if line.get_gid() is None}
    longer = lines["airbench94 (n=2 to 3)"]
    assert np.all(np.diff(longer[:, 0]) > 0)
    assert longer[:, 1] == pytest.approx([39.5, 34, 29])
    assert len(lines["airbench94 cutout=12 (n=2)"]) == 1
    compiled = [run | {"runtime": run["runtime"] | {"compile": True}} for run in runs]
    labels = [text.get_text() for text in flops_against_error(frame(compiled)).legends[0].get_texts()]
    assert "airbench94, compiled (n=2 to 3)" in labels


def test_the_papers_three_points_and_their_line_are_drawn_apart_from_own_runs(made):
    drawing = flops_against_error(frame(made(AIRBENCH94, [0.7, 0.71])))
    left, right = drawing.axes
    (points,) = [line for line in left.lines if line.get_label() == "[P]"]
    assert points.get_xydata().tolist() == [[360, 5.99], [1390, 4.99], [7200, 3.95]]
    assert list(drawing.table["n"][:2]) == [1000, 200]
    (line,) = [line for line in left.lines if line.get_linestyle() == "--"]
    assert line.get_xdata().tolist() == [360, 7200]
    slopes = np.diff(np.log(line.get_ydata())) / np.diff(np.log(line.get_xdata()))
    assert slopes == pytest.approx(math.log(3.95 / 5.99) / math.log(7200 / 360), rel=0.02)
    assert not [line for line in right.lines if len(line.get_xdata()) > 1 and line.get_gid() != "interval"]
    for ends in (Axes.get_xlim, Axes.get_ylim):  # as many powers of ten: slopes can be compared
        assert np.ptp(np.log(ends(left))) == pytest.approx(np.ptp(np.log(ends(right))))


def test_full_scale_is_counted_with_all_images(made):
    drawing = flops_against_error(frame(made(AIRBENCH94, [0.94, 0.941], scale="full")))
    assert drawing.table["TFLOPs of a run"].iloc[-1] == pytest.approx(training_flops(AIRBENCH94) / 1e12)


def test_what_cannot_be_drawn_is_refused(made):
    many = [run for cutout in range(7) for run in made(replace(AIRBENCH94, cutout=cutout), [0.7])]
    with pytest.raises(UsageError, match="7 recipes are too many"):
        flops_against_error(frame(many))
    with pytest.raises(UsageError, match="these runs are of svhn"):
        flops_against_error(frame(made(AIRBENCH94, [0.7], data="svhn")))
