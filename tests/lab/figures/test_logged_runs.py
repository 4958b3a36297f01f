"""Figures of logged runs beside published numbers: the ladder, additivity, FLOPs against error."""

import math
from dataclasses import replace

import numpy as np
import pytest
from airbench_lab import published
from airbench_lab.figures import Drawing, add_remove, flops_against_error, ladder
from airbench_lab.flops import training_flops
from airbench_lab.replay import FOLDER
from airbench_lab.study import report_epochs
from airbench_lab.study.frames import frame
from airbench_lab.study.ladder import LADDER
from airbench_lab.study.names import named
from airbench_lab.study.statistics import mean_interval
from airbench_lab.study.studies import STUDIES, WHITENED, ablation
from matplotlib.axes import Axes

from airbench_core import AIRBENCH94, SCALES, UsageError
from airbench_core.published import BASELINE, RECIPES

RUNGS = {rung.label: rung for rung in LADDER}
WHITEN, TTA, FLIP = (RUNGS[f"+ {name}"] for name in ("whitening", "multi-crop TTA", "alternating flip"))
EPOCHS = "own epochs to 75 %"


def rung(drawing: Drawing, label: str) -> dict:
    table = drawing.table
    (row,) = table[table["rung"] == label].to_dict("records")
    return row


def intervals(axes: Axes) -> list[tuple[list[float], list[float]]]:
    return [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.lines if line.get_gid() == "interval"]


def words(axes: Axes) -> str:
    return "\n".join(text.get_text() for text in axes.texts)


def test_the_published_numbers_are_those_of_the_recipes():
    """Each rung's recipe is trained for the epochs that are published for it."""
    assert published.LADDER.keys() == RUNGS.keys()
    for label, row in published.LADDER.items():
        assert RUNGS[label].recipe.epochs == (row.zoo if row.paper is None else row.paper)
    assert AIRBENCH94.epochs == published.AIRBENCH94_EPOCHS
    assert WHITENED.epochs == published.WHITENED_EPOCHS
    labels = {variant.label for variant in ablation()}
    assert {f"whitened baseline + {trick}" for trick in published.INTERACTIONS} <= labels
    for name, method in published.METHODS.items():
        if name != "airbench96":  # the paper's was another recipe
            assert 1000 * method.pflops == pytest.approx(training_flops(RECIPES[name]) / 1e12, rel=0.04)


def test_the_published_bars_are_as_long_as_their_numbers(made):
    drawing = ladder(frame(made(FLIP.recipe, [0.7])), 0.75)
    left = drawing.axes[0]
    paper, zoo = ([bar.get_width() for bar in bars] for bars in left.containers)
    assert paper == [45, 21, 18, 13.5, 0, 12, 10.8, 9.9, 9.9]
    assert zoo == [35, 21, 18, 13.5, 13.5, 12, 10.8, 9.9, 9.9]
    assert list(drawing.table["[Z], epochs to 94 %"]) == zoo
    assert math.isnan(drawing.table["[P], epochs to 94 %"][4])
    assert words(left).split("\n")[:6] == ["45", "21", "18", "13.5", "not published", "12"]
    assert "13.5 (n=500)" in words(left)
    note = drawing.get_supxlabel().replace("\n", " ")
    assert "a processor, bfloat16, 1 thread" in note
    assert "arXiv:2404.00498" in note


def test_which_runs_are_of_a_rung(trained):
    """Those at a higher level of TTA too; compiled ones and those with parts of somebody's own are of none."""

    def said(runs) -> dict:
        return rung(ladder(frame(runs), 0.75), FLIP.label)

    lower = rung(ladder(frame(trained(replace(WHITEN.recipe, tta="mirror+translate"))), 0.75), WHITEN.label)
    assert lower[EPOCHS] == pytest.approx(4 * 2**0.1)  # 0.01 below, which 0.1 a doubling makes up for
    plain = trained(FLIP.recipe)
    own = [run | {"parts": ["whiten"]} for run in trained(FLIP.recipe, 2)]
    compiled = [run | {"runtime": run["runtime"] | {"compile": True}} for run in trained(FLIP.recipe, 3)]
    assert said([*plain, *own, *compiled])[EPOCHS] == pytest.approx(4)
    assert said(own)["note"].startswith("not measured")
    assert said(compiled)["note"].startswith("not measured")


def test_epochs_to_a_target(trained):
    """FLIP needs 4 epochs for 75 %, the whitened rung twice as many."""
    runs = [*trained(FLIP.recipe), *trained(WHITEN.recipe, 0.5), *trained(BASELINE, 0.1), *trained(TTA.recipe)[:3]]
    drawing = ladder(frame(runs), 0.75)
    flip, whiten, baseline = (rung(drawing, label) for label in (FLIP.label, WHITEN.label, "baseline"))
    assert flip[EPOCHS] == pytest.approx(4)
    assert whiten[EPOCHS] == pytest.approx(8)
    assert flip["low"] < 4 < flip["high"]
    assert flip["n"] == 3
    right = drawing.axes[1]
    bars = {round(bar.get_y() + bar.get_height() / 2): bar.get_width() for bar in right.patches}
    assert bars == {7: pytest.approx(4), 1: pytest.approx(8)}
    assert right.get_xlim()[0] == 0
    assert ([flip["low"], flip["high"]], [7, 7]) in intervals(right)
    assert math.isnan(baseline[EPOCHS])
    assert baseline["high"] == math.inf
    assert baseline["note"].startswith("more than 16 epochs")
    assert "more than 16 epochs" in words(right).split("\n")
    assert "not measured: 1 length(s)" in rung(drawing, TTA.label)["note"]
    assert "as the rung above" in words(right)
    assert "Intervals of n below 5 are too narrow" in drawing.get_supxlabel().replace("\n", " ")


def test_the_ladder_says_of_the_recorded_runs_what_their_report_does():
    epochs = FOLDER / "laptop-rungs.jsonl"
    table = ladder(frame(epochs), 0.75).table.set_index("rung")
    for row in report_epochs.rows(named(frame(epochs), STUDIES["ladder"]), 0.75):
        own = table.loc[row["recipe"]]
        assert [own[EPOCHS], own["low"], own["high"]] == pytest.approx([row["epochs"], *row["interval"]])
        assert own["n"] == row["n"] == 3


def test_an_open_interval_ends_in_an_arrow(trained):
    drawing = ladder(frame(trained(FLIP.recipe, 0.251)), 0.75)  # just within the longest length
    row, right = rung(drawing, FLIP.label), drawing.axes[1]
    assert row[EPOCHS] < 16
    assert row["high"] == math.inf
    arrows = [line.get_xdata()[0] for line in right.lines if line.get_marker() == ">"]
    assert arrows == [right.get_xlim()[1]]
    assert not [line for line in right.lines if line.get_marker() == "<"]


@pytest.mark.parametrize("draw", [ladder, add_remove, lambda runs, _: flops_against_error(runs)])
def test_runs_of_several_settings_are_refused(made, draw):
    one = made(AIRBENCH94, [0.7, 0.71])
    for other, what in (
        (made(AIRBENCH94, [0.9], scale="full"), "mix scales"),
        (made(AIRBENCH94, [0.9], data="cifar100"), "mix data sets"),
        (made(AIRBENCH94, [0.9], threads=2), "of several kinds: a processor, bfloat16, 1 thread"),
        (made(AIRBENCH94, [0.9], name="another"), "mix devices"),
    ):
        with pytest.raises(UsageError, match=what):
            draw(frame([*one, *other]), 0.75)
    with pytest.raises(UsageError, match="no runs"):
        draw(frame([]), 0.75)


PAPER = {  # epochs saved, lost; [Z]'s figure data
    "identity initialization": (3.0, 2.8),
    "BatchNorm-bias learning rate x 64": (4.5, 4.3),
    "Lookahead": (0.8, 0.8),
    "multi-crop TTA": (2.9, 1.3),
    "alternating flip": (1.0, 0.9),
}
SAVED, LOST = "epochs saved when added", "epochs lost when removed"


@pytest.fixture(scope="module")
def own(trained):
    """The whitened baseline needs 8 epochs for 80 %; a trick added makes that 8 / faster. airbench94 needs 4."""
    recipes = {variant.label: variant.recipe for variant in ablation()}
    faster = dict(zip(PAPER, (2.0, 1.6, 1.25, 1.0, 0.8), strict=True))
    lengths = (5, 10, 20, 40, 80)
    runs = trained(WHITENED, 0.5 * 2**0.5, lengths)
    for trick, by in faster.items():
        if trick != "multi-crop TTA":
            runs += trained(recipes[f"whitened baseline + {trick}"], by * 0.5 * 2**0.5, lengths)
            runs += trained(recipes[f"airbench94 - {trick}"], 2**0.5 / by, lengths)
    runs += trained(AIRBENCH94, 2**0.5, lengths)
    return add_remove(frame(runs), 0.8)


def test_the_published_points(own):
    table = own.table[own.table["source"] == "[P], [Z]"]
    assert {row["trick"]: (row[SAVED], row[LOST]) for row in table.to_dict("records")} == PAPER
    left = own.axes[0]
    points = {line.get_label(): line.get_xydata()[0].tolist() for line in left.lines if line.get_label() in PAPER}
    assert points == {trick: list(point) for trick, point in PAPER.items()}
    assert intervals(left) == []
    assert [text.get_text() for text in own.legends[0].get_texts()] == list(PAPER)


def test_own_points_are_what_adding_saves_and_removing_costs(own):
    rows = {row["trick"]: row for row in own.table[own.table["source"] == "own"].to_dict("records")}
    for trick, by in (("identity initialization", 2.0), ("Lookahead", 1.25), ("alternating flip", 0.8)):
        row = rows[trick]
        assert row[SAVED] == pytest.approx(8 - 8 / by)
        assert row[LOST] == pytest.approx(4 * by - 4)
        assert row[f"{SAVED}, low"] < row[SAVED] < row[f"{SAVED}, high"]
        assert (row["n"], row["note"]) == (3, "")
    right = own.axes[1]
    points = {line.get_label(): line.get_xydata()[0].tolist() for line in right.lines if line.get_label() in PAPER}
    assert points.keys() == PAPER.keys() - {"multi-crop TTA"}
    assert points["Lookahead"] == pytest.approx([1.6, 1.0])
    row = rows["Lookahead"]
    assert ([row[f"{SAVED}, low"], row[f"{SAVED}, high"]], [row[LOST]] * 2) in intervals(right)
    assert ([row[SAVED]] * 2, [row[f"{LOST}, low"], row[f"{LOST}, high"]]) in intervals(right)
    for axes in own.axes:
        assert axes.get_xlim() == axes.get_ylim()
        assert [line.get_slope() for line in axes.lines if hasattr(line, "get_slope") and line.get_slope()] == [1]


def test_a_trick_that_was_not_measured_has_no_point_and_a_reason(own):
    row = own.table[(own.table["source"] == "own") & (own.table["trick"] == "multi-crop TTA")].iloc[0]
    assert math.isnan(row[SAVED])
    assert row["note"].startswith("added: no two lengths")
    assert "Not known: multi-crop TTA." in own.get_supxlabel().replace("\n", " ")


def test_removing_tta_is_its_lower_level(trained):
    runs = [*trained(AIRBENCH94), *trained(replace(WHITENED, tta="mirror+translate"))]
    table = add_remove(frame(runs), 0.75).table
    row = table[(table["source"] == "own") & (table["trick"] == "multi-crop TTA")].iloc[0]
    epochs = 4 * 2 ** (0.01 / 0.1)  # mirrors alone are 0.01 lower, which 0.1 a doubling makes up for
    assert row[SAVED] == row[LOST] == pytest.approx(epochs - 4)


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
