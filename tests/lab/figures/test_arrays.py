"""Figures of plain arrays: what is drawn, and what the table says, are the numbers that were given."""

import math

import numpy as np
import pytest
import torch
from airbench_lab import figures
from airbench_lab.study.speedup import epochs_to_target
from airbench_lab.study.statistics import difference, mean_interval

from airbench_core import AIRBENCH96, BASELINE, SCALES, UsageError
from airbench_core.network import Network
from airbench_core.tricks.flip import flip_mask
from airbench_core.tricks.lookahead import lookahead_decays
from airbench_core.tricks.schedule import lr_factors
from airbench_core.tricks.tta import TTA_WEIGHTS, tta_views
from airbench_core.tricks.whitening import whitening_filters

RNG = np.random.default_rng(0)
SOME = RNG.random((4, 3, 8, 8))
CLASSES, LEVELS = ("automobile", "bird", "cat", "dog"), tuple(TTA_WEIGHTS)
WALK = np.cumsum(RNG.normal(size=(30, 40)), axis=0)
PATH = np.array([[0, 0], [1, 2], [2, 1], [3, 1], [3, 3], [4, 2]])
NONE = np.zeros((3, 4), bool)
EIGHT = {key: [1] for key in "abcdefgh"}
VIEWS, LOGITS, WEIGHTS = RNG.random((6, 3, 8, 8)), RNG.normal(0, 2, (6, 4)), TTA_WEIGHTS["mirror+translate"]


@pytest.mark.parametrize(
    ("name", "wrong", "said"),
    [
        ("network", [(AIRBENCH96,)], "groups of 3 convolutions"),
        ("schedules", [({},), ({"a": []},), ({"a": [[1.0]]},), (EIGHT,)], "1 to 7 arrays"),
        ("epochs_to", [({}, 0.6, "a machine")], "1 to 7 curves"),
        ("passing", [(lambda *_: 0.5, 0.5, ())], "0 lines"),
        ("filters", [(torch.zeros(12, 3, 2, 2),)], r"weights of shape \(12, 3, 2, 2\) are not legal"),
        ("covariances", [(np.eye(12), np.eye(24))], "after of shape"),
        ("titled", [(SOME, ["one"]), (SOME[0], ["one"]), (SOME[:0], [])], "titles: 1 to 10"),
        ("pictures", [({},), ({"a": SOME[0]},), ({"a": SOME[:, :1]},), ({"a": SOME, "b": SOME[:2]},)], "with one N"),
        ("pictures", [({"a": np.zeros((9, 3, 4, 4))},)], "9 pictures in a row are not legal: 1 to 8"),
        ("views", [(np.zeros((8, 8)),)], r"an image of shape \(8, 8\)"),
        ("views", [(SOME[0], "flips")], "tta=flips is not legal: none or mirror"),
        ("losses", [({},), ({"a": [1, 2], "b": [1]},), ({"a": [[1, 2]]},)], "1 to 7 arrays"),
        ("singular_values", [({},), ({"a": [1, 2], "b": [1]},), ({"a": [[1, 2]]},)], "1 to 7 arrays"),
        ("sides", [(SOME[0], {}), (SOME[:3], dict.fromkeys("ab", NONE)), (SOME, {"a": NONE})], "legal|needed"),
        ("sides", [(SOME, dict.fromkeys("ab", np.zeros((5, 4))))], "5 epochs are not legal"),
        ("depths", [({},), ({"a": NONE[:1]},), ({"a": [NONE] * 9},), ({"a": [NONE] * 3, "b": [NONE] * 2},)], "2 to 8"),
        ("depths", [({"a": [np.ones((4, 4)), np.ones((5, 4))]},), ({"a": np.ones((2, 3, 4, 4))},)], "2 to 8 maps"),
        ("trajectories", [({},), (dict.fromkeys("abcd", WALK),), ({"a": WALK[0]},), ({"a": [[]]},)], "trajectories"),
        ("trajectories", [({"a": WALK, "b": WALK[:9]},)], "as many steps"),
        ("lookahead_round", [(PATH[:, :1], [2, 1], [0, 1]), (PATH, [2, 1, 0], [0, 1])], "a path of shape"),
        ("lookahead_round", [(PATH, [2, 1], [0])], "decays of shape"),
        ("by_end", [({}, "x"), ({"a": {}}, "x"), ({"a": {"b": {}}, "c": {"d": {}}}, "x")], "1 to 3 panels"),
        ("changed_predictions", [(SOME[:0], [], {}, CLASSES), (SOME[0], [0] * 4, {}, CLASSES)], "need images"),
        ("changed_predictions", [(SOME, [0] * 4, {"none": [0] * 3}, CLASSES)], "need images"),
        ("votes", [(VIEWS[:2], LOGITS, WEIGHTS, CLASSES, 0), (VIEWS, LOGITS[:, :3], WEIGHTS, CLASSES, 0)], "6 views"),
        ("votes", [(VIEWS, LOGITS, WEIGHTS[:2], CLASSES, 0)], "6 views"),
        ("break_even", [([0, 1], 1, [1, 1]), ([1, 1], 1, [1, math.nan]), ([1], 1, [1]), ([1, 1], 1, [1])], "two"),
        ("pays_after", [([1, 1], -1, [1, 1]), ([1, 1], math.inf, [1, 1])], "a price of"),
        ("launches", [(5, []), (5, [1] * 41), (0, [1]), (5, [0]), (5, [math.nan])], "1 to 40 pieces"),
    ],
)  # fmt: skip
def test_what_cannot_be_drawn_is_refused(name, wrong, said):
    for arguments in wrong:
        with pytest.raises(UsageError, match=said):
            getattr(figures, name)(*arguments)


def shown(drawing) -> list[np.ndarray]:
    """The pictures of a drawing, as they are drawn."""
    return [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.axes if axes.get_images()]


def line(axes, label: str):
    (found,) = [line for line in axes.lines if line.get_label() == label]
    return found


def test_the_network_has_the_shapes_and_parameters_of_the_one_that_is_trained():
    narrow = SCALES["smoke"].recipe(BASELINE)
    drawing = figures.network(narrow)
    shapes = ["3 × 32 × 32", "24 × 31 × 31", "8 × 15 × 15", "32 × 7 × 7", "32 × 3 × 3", "10"]
    assert drawing.table["shape for one image"].tolist() == shapes
    trained = sum(one.numel() for one in Network(narrow).parameters() if one.requires_grad)
    assert drawing.table["parameters"].sum() == trained
    assert f"{trained:,} parameters" in drawing.alt
    sheets = {round(patch.get_width(), 4) for patch in drawing.axes[0].patches}
    assert {round(0.9 * side / 32, 4) for side in (32, 31, 15, 7, 3)} <= sheets


def test_a_schedule_is_drawn_over_the_share_of_steps():
    factors = lr_factors(BASELINE, 50)
    drawing = figures.schedules({"triangle": factors, "constant": [1.0] * 20})
    triangle, constant = drawing.axes[0].lines
    np.testing.assert_allclose(triangle.get_xydata(), np.stack([2 * np.arange(50), factors]).T)
    assert len(constant.get_xdata()) == 20
    assert triangle.get_label() == f"triangle (mean {np.mean(factors):.2f})"
    table = drawing.table[drawing.table["schedule"] == "triangle"]
    assert table["step"].iloc[[0, -1]].tolist() == [0, 49]
    assert table["factor"].tolist() == [factors[step] for step in table["step"]]
    assert "triangle from 0.2 over 1 at step 10 to" in drawing.alt


def test_epochs_to_a_target_are_those_of_the_study():
    curve = {epochs: {seed: 0.5 + epochs / 50 + seed / 500 for seed in range(5)} for epochs in (2, 4, 8)}
    late = {epochs: {seed: value - 0.5 for seed, value in of.items()} for epochs, of in curve.items()}
    drawing = figures.epochs_to({"quick": curve, "late": late}, 0.6, "a machine")
    quick, late_line = (line for line in drawing.axes[0].lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(quick.get_ydata(), [100 * np.mean(list(of.values())) for of in curve.values()])
    found = epochs_to_target(curve, 0.6)
    assert str(found) in drawing.alt
    assert str(found) in " ".join(quick.get_label().split())
    assert len([line for line in drawing.axes[0].lines if list(line.get_xdata()) == [found.epochs] * 2]) == 1
    assert "more than 8 epochs" in " ".join(late_line.get_label().split())
    assert drawing.table["n"].tolist() == [5] * 6
    assert [label.get_text() for label in drawing.axes[0].get_xticklabels()] == ["2", "4", "8"]  # what was trained
    assert "log scale" in drawing.axes[0].get_xlabel()


FIRST = {"rank": "1", "entry": "mine", "sure": 0.9375, "n": 5}
FIRST |= {"seconds": 10.0, "seconds, low": 9.0, "seconds, high": 12.0}
FIRST |= {"accuracy, %": 71.0, "accuracy, low": 70.0, "accuracy, high": 72.0}
LAST = FIRST | {"rank": "fails", "entry": "low", "seconds": 5.0, "accuracy, %": 60.0}


def test_the_board_shows_seconds_accuracies_and_the_target():
    drawing = figures.board([FIRST, LAST], target=70.5, where="here")
    for axes, name in zip(drawing.axes, ("seconds", "accuracy, %"), strict=True):
        points = [line for line in axes.lines if line.get_marker() in "sD" and len(line.get_xdata()) == 1]
        assert [line.get_xydata()[0].tolist() for line in points] == [[FIRST[name], 0], [LAST[name], 1]]
        assert [line.get_markerfacecolor() == "white" for line in points] == [False, True]
        ends = [list(line.get_xdata()) for line in axes.lines if line.get_gid() == "interval"]
        start = name.removesuffix(", %")
        assert ends == [[FIRST[f"{start}, low"], FIRST[f"{start}, high"]]] * 2
    assert [line.get_xdata()[0] for line in drawing.axes[1].lines if line.get_linestyle() == "--"] == [70.5]
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["1: mine", "fails: low"]
    assert drawing.table["rank"].tolist() == ["1", "fails"]
    for rows, said in (
        ((FIRST, FIRST), "94 % interval; accuracy: mean, 95 % interval; dashed: the target."),
        ((FIRST, LAST), "Hollow: does not pass."),
    ):
        note = figures.board(rows, target=70.5, where="here").get_supxlabel()
        assert note.replace("\n", " ").replace("\N{NO-BREAK SPACE}", " ").endswith(said)


def test_the_chance_is_drawn_for_each_number_of_runs():
    drawing = figures.passing(lambda above, std, n: min(1.0, 0.5 + above / std / 10 + n / 1000), 0.5, (5, 25))
    assert line(drawing.axes[0], "5 runs").get_xydata()[30] == pytest.approx([0, 50.5])
    assert line(drawing.axes[0], "25 runs").get_xydata()[60] == pytest.approx([1.5, 82.5])
    np.testing.assert_allclose(drawing.table["chance to pass, %, n=5"].iloc[0], 20.5)


def test_each_filter_is_a_picture_about_grey():
    weights = whitening_filters(torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 5e-4)
    drawing = figures.filters(weights)
    for i, (picture, axes) in enumerate(zip(shown(drawing), drawing.axes, strict=True)):
        own = weights[i].numpy().transpose(1, 2, 0)
        np.testing.assert_allclose(picture, 0.5 + 0.5 * own / np.abs(own).max(), atol=1e-6)
        row = drawing.table.iloc[i]
        assert row["length"] == pytest.approx(np.linalg.norm(own), rel=1e-5)
        assert axes.get_title() == f"{i + 1}" + f"\n{np.linalg.norm(own):.2g}" * (i < 12)
        assert row["blue bottom left"] == pytest.approx(own[1, 0, 2])
    assert (shown(figures.filters(torch.zeros(24, 3, 2, 2)))[0] == 0.5).all()


def test_covariances_are_drawn_about_zero_with_their_condition():
    before = np.diag(np.geomspace(400, 2, 12))
    before[0, 1] = before[1, 0] = -3.0
    drawing = figures.covariances(before, np.eye(12))
    pictures = [axes.get_images()[0] for axes in drawing.axes if axes.get_images()]
    np.testing.assert_array_equal([picture.get_array() for picture in pictures], [before, np.eye(12)])
    assert [picture.get_clim() for picture in pictures] == [(-400, 400), (-1, 1)]
    table = drawing.table[drawing.table["second moment"] == "before"].drop(columns=["second moment", "of"])
    np.testing.assert_array_equal(table.to_numpy(float), before)
    assert "condition number 200" in drawing.axes[0].get_title()
    assert "condition number 1" in drawing.axes[1].get_title()
    assert [axes.get_ylabel() for axes in drawing.axes[2:]] == ["second moment"] * 2  # no mean was taken away


def test_pictures_are_drawn_as_they_are_in_their_rows_below_their_titles():
    drawing = figures.titled(SOME, list("abcd"))
    np.testing.assert_allclose(shown(drawing), SOME.transpose(0, 2, 3, 1))
    assert [axes.get_title() for axes in drawing.axes] == drawing.table["title"].tolist() == list("abcd")
    assert drawing.table["mean green"].tolist() == pytest.approx(SOME[:, 1].mean((1, 2)).tolist())
    drawing = figures.pictures({"before": SOME, "after": SOME * 3 - 1}, {"after": list("abcd")})
    rows = np.concatenate([SOME, (SOME * 3 - 1).clip(0, 1)]).transpose(0, 2, 3, 1)
    np.testing.assert_allclose(shown(drawing), rows)
    assert [axes.get_title() for axes in drawing.axes] == [*[""] * 4, *"abcd"]
    assert drawing.axes[4].get_ylabel() == "after"
    assert drawing.table["row"].tolist() == ["before"] * 4 + ["after"] * 4
    assert drawing.table["mean brightness"].iloc[1] == pytest.approx(SOME[1].mean())


LONG = "one of these pictures, as it was stored"


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        *(("titled", (RNG.random((n, 3, 8, 8)), [title] * n)) for n in (1, 5, 10) for title in ("one", LONG)),
        *(("views", (SOME[0], tta)) for tta in LEVELS),
        *(("pictures", (dict.fromkeys(of, SOME), {"b": ["a", "b\nc", "d", "e"]})) for of in ("a", "b", "abc")),
        ("pictures", ({"a name of two lines": np.concatenate([SOME, SOME])},)),
    ],
)  # fmt: skip
def test_nothing_is_left_empty_or_cut_off_about_rows_of_pictures(name, arguments, check_full):
    check_full(getattr(figures, name)(*arguments))


@pytest.mark.parametrize("tta", LEVELS)
def test_the_views_are_those_of_the_evaluation(tta):
    image = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    drawing = figures.views(image, tta)
    theirs, weights = tta_views(torch.tensor(image)[None] / 255, tta)
    for picture, view in zip(shown(drawing), theirs, strict=True):
        np.testing.assert_allclose(picture, view[0].numpy().transpose(1, 2, 0), atol=1e-6)
    assert len(drawing.axes) == len(weights)  # and no empty ones
    assert [float(axes.get_title().split("weight ")[1]) for axes in drawing.axes] == list(weights)
    assert tuple(drawing.table["weight"]) == weights


def test_a_view_is_moved_where_its_name_says():
    """A bright pixel at row 3, column 2 of 8."""
    image = np.zeros((3, 8, 8))
    image[:, 3, 2] = 1
    drawing = figures.views(image)
    at = [tuple(map(int, np.argwhere(picture[..., 0])[0])) for picture in shown(drawing)]
    assert dict(zip(drawing.table["what"], at, strict=True)) == {
        "the image": (3, 2),
        "mirrored": (3, 5),
        "moved 1 px down and right": (4, 3),
        "moved 1 px up and left": (2, 1),
        "moved 1 px down and right, mirrored": (4, 4),
        "moved 1 px up and left, mirrored": (2, 6),
    }
    for axes, what in zip(drawing.axes, drawing.table["what"], strict=True):
        assert axes.get_title().replace("\n", " ").startswith(what)


def test_singular_values_by_rank():
    drawing = figures.singular_values({"before": [0.1, 0.5, 0.02], "after": torch.tensor([0.9, 0.7, 1.1])})
    assert drawing.table.columns.tolist() == ["rank", "before", "after"]
    assert drawing.table["rank"].tolist() == [1, 2, 3]
    assert drawing.table["before"].tolist() == [0.5, 0.1, 0.02]
    (axes,) = drawing.axes
    assert axes.get_yscale() == "log"
    np.testing.assert_allclose(line(axes, "after").get_ydata(), [1.1, 0.9, 0.7])


def test_losses_stand_at_their_steps():
    drawing = figures.losses({"raw": np.linspace(1, 0.4, 7), "whitened": torch.tensor([1] + [0.1] * 6)})
    assert drawing.table["step"].tolist() == [0, 1, 2, 5, 6]
    assert drawing.table["raw"].tolist() == pytest.approx([1, 0.9, 0.8, 0.5, 0.4])
    np.testing.assert_allclose(line(drawing.axes[0], "whitened").get_xydata()[:2], [[0, 1], [1, 0.1]])
    assert "raw from 1 to 0.4; whitened from 1 to 0.1" in drawing.alt
    assert drawing.axes[0].get_ylim()[0] == 0


def test_losses_of_epochs_begin_with_the_first():
    drawing = figures.losses({"SGD": [2.3, 1.9, 1.6]}, step="epoch", loss="training loss", first=1)
    assert (drawing.table["step"].tolist(), drawing.table["SGD"].tolist()) == ([1, 2, 3], [2.3, 1.9, 1.6])
    (axes,) = drawing.axes
    np.testing.assert_allclose(line(axes, "SGD").get_xdata(), [1, 2, 3])
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("epoch", "training loss")
    assert axes.get_ylim()[0] > 1  # far from 0: the axis is where the losses are
    assert "The training loss against the epoch, up to 3: SGD from 2.3 to 1.6." in drawing.alt


def _masks(images: int, epochs: int) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(images, generator=generator) < 0.5
    return {
        way: torch.stack([flip_mask(way, epoch, first, generator) for epoch in range(epochs)]).numpy()
        for way in ("random", "alternating")
    }


def test_the_sides_are_those_of_the_masks_and_framed_where_they_come_again():
    images = RNG.integers(0, 255, (4, 3, 8, 8), dtype=np.uint8)  # white is left to the gaps
    masks = _masks(4, 3)
    drawing = figures.sides(torch.tensor(images), masks)
    for axes, canvas, (name, mask) in zip(drawing.axes, shown(drawing), masks.items(), strict=True):
        for epoch, image in np.ndindex(3, 4):
            own = images[image].transpose(1, 2, 0)
            part = canvas[10 * epoch + 1 : 10 * epoch + 9, 10 * image + 1 : 10 * image + 9]
            np.testing.assert_array_equal(part, own[:, ::-1] if mask[epoch, image] else own)
        again = [
            (epoch, image) for epoch in (1, 2) for image in range(4) if mask[epoch, image] == mask[epoch - 1, image]
        ]
        assert [tuple(round(at / 10) for at in frame.get_xy()[::-1]) for frame in axes.patches] == again
        assert axes.get_title() == f"{name}: {len(again)} shown twice in a row"
        told = drawing.table[drawing.table["flip"] == name].set_index("epoch")["same side as in the epoch before"]
        assert told[1] == "none"
        assert told[2] == (", ".join(str(image + 1) for epoch, image in again if epoch == 1) or "none")
    assert "alternating 0." in drawing.alt


def test_maps_are_drawn_in_the_order_of_the_layers_with_their_correlation():
    first, other = RNG.random((2, 9, 8))
    rows = {"kept": [first, 3 * first + 1, -first], "lost": [first, other, np.ones((9, 8))]}
    drawing = figures.depths(rows)
    np.testing.assert_array_equal(shown(drawing), [*rows["kept"], *rows["lost"]])
    wanted = [1, 1, -1, 1, np.corrcoef(first.ravel(), other.ravel())[0, 1], 0]
    assert drawing.table["correlation with the first"].tolist() == pytest.approx(wanted)
    assert [axes.get_xlabel() for axes in drawing.axes] == [f"{value:.2f}".replace("-", "−") for value in wanted]
    assert [axes.get_title() for axes in drawing.axes[:3]] == ["before", "layer 1", "layer 2"]
    assert [drawing.axes[i].get_ylabel() for i in (0, 3)] == ["kept", "lost"]
    assert drawing.table["passed"].tolist() == [0, 1, 2] * 2
    assert "kept −1.00, lost 0.00" in drawing.alt
    picture = RNG.integers(0, 256, (3, 9, 8), np.uint8)
    beside = figures.depths(rows, picture=picture)
    corner, *others = shown(beside)
    np.testing.assert_array_equal(corner, np.moveaxis(picture, 0, 2))
    np.testing.assert_array_equal(others, shown(drawing))
    assert [axes.get_title() for axes in beside.axes[:4]] == ["picture", "before", "layer 1", "layer 2"]
    assert beside.axes[1].get_ylabel() == "kept"


def test_each_parameter_has_its_line_beside_mean_and_spread_and_of_many_some_are_drawn():
    panels = {"slow": WALK[:, :5] / 8, "fast": WALK[:, :5], "many": WALK}
    drawing = figures.trajectories(panels, value="bias")
    for axes, (name, values) in zip(drawing.axes, panels.items(), strict=True):
        lines = [line.get_ydata() for line in axes.lines]
        drawn = values.T[[0, -1]] if name == "many" else values.T
        np.testing.assert_allclose([lines[0], lines[23]] if name == "many" else lines[:5], drawn)
        mean, spread = values.mean(1), torch.tensor(values).std(1).numpy()  # as a lesson prints it
        np.testing.assert_allclose(lines[-3:], [mean, mean - spread, mean + spread])
        assert len(lines) == min(values.shape[1], 24) + 3
        assert axes.lines[0].get_xdata().tolist() == list(range(1, 31))
        assert axes.get_xlabel() == "step"
        assert axes.get_title("left") == name
        assert axes.get_ylim() == drawing.axes[0].get_ylim()
        last = drawing.table[drawing.table["training"] == name].iloc[-1]
        assert (last["step"], last["parameters"]) == (30, values.shape[1])
        assert [last["smallest"], last["largest"]] == [values[-1].min(), values[-1].max()]
        assert last["standard deviation"] == pytest.approx(spread[-1])
        assert f"standard deviation {spread[-1]:.2g}" in drawing.alt
    assert drawing.table["step"].iloc[0] == 1
    assert figures.trajectories({"a": [[0.5]]}).table["mean"].tolist() == [0.5]  # one step and parameter will do


def test_a_round_goes_from_the_slow_weights_over_the_fast_ones_to_a_place_between():
    decays = lookahead_decays(100)
    drawing = figures.lookahead_round(PATH, [2, 1], decays)
    left, right = drawing.axes
    np.testing.assert_array_equal(line(left, "fast: its steps").get_xydata(), PATH)
    np.testing.assert_array_equal(line(left, "slow, before").get_xydata(), [[0, 0]])
    np.testing.assert_array_equal(line(left, "slow and fast, after").get_xydata(), [[2, 1]])
    kept = np.stack([range(101), decays]).T
    np.testing.assert_allclose(line(right, "d: kept of the slow weights").get_xydata(), kept)
    np.testing.assert_allclose(line(right, "1 − d: taken over").get_ydata(), 1 - np.array(decays))
    np.testing.assert_allclose(drawing.table["training done, %"], range(0, 101, 10))
    np.testing.assert_allclose(drawing.table["d, kept"], decays[::10])
    np.testing.assert_allclose(drawing.table["1 - d, taken over"], 1 - drawing.table["d, kept"])
    assert "5 steps" in drawing.alt
    assert "0 over 0.097 half way to 0.77" in drawing.alt


def test_means_stand_where_the_learning_rate_ends_with_their_intervals():
    ways = {"SGD": {0.5: [3, 3], 0: [1, 2, 3]}, "with Lookahead": {0: [5, 6], 1: [5, 5]}}
    drawing = figures.by_end({"few": ways, "many": {way: {1: [0, 0]} for way in ways}}, "loss")
    left, right = drawing.axes
    np.testing.assert_allclose(line(left, "SGD").get_xydata(), [[-0.01, 2], [0.49, 3]])
    np.testing.assert_allclose(line(left, "with Lookahead").get_xydata(), [[0.01, 5.5], [1.01, 5]])
    np.testing.assert_allclose(line(right, "SGD").get_xydata(), [[0.99, 0]])
    row = drawing.table.iloc[0]
    assert (row["panel"], row["way"], row["lr_end"], row["n"]) == ("few", "SGD", 0, 3)
    assert (row["low"], row["high"]) == pytest.approx((2 - 2.484, 2 + 2.484), abs=0.001)  # t is 4.303 for three
    assert left.get_ylabel() == "loss"
    assert left.get_ylim()[1] > drawing.table["high"].max()
    assert "few, with Lookahead, lr_end 0: 5.5" in drawing.alt


@pytest.mark.parametrize(("n", "drawn", "rows"), [(1, 1, 1), (8, 8, 2), (20, 12, 2)])
def test_each_picture_stands_with_its_classes(n, drawn, rows):
    images, labels = RNG.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8), RNG.integers(0, 4, n)
    predictions = {level: RNG.integers(0, 4, n) for level in LEVELS}
    drawing = figures.changed_predictions(images, labels, predictions, CLASSES)
    assert len(shown(drawing)) == len(drawing.table) == drawn
    assert len(drawing.axes) == 6 * rows
    for i, (axes, picture) in enumerate(zip(drawing.axes, shown(drawing), strict=False)):
        np.testing.assert_allclose(picture, images[i].transpose(1, 2, 0) / 255)
        assert axes.get_title() == CLASSES[labels[i]] == drawing.table["label"][i]
        for level, text in zip(LEVELS, axes.get_xlabel().splitlines(), strict=True):
            given = predictions[level][i]
            assert text == f"{CLASSES[given]} {'✓' if given == labels[i] else '✗'}"
            assert drawing.table[level][i] == CLASSES[given]


def test_votes_are_the_softmax_of_each_view_and_of_the_weighted_means():
    drawing = figures.votes(VIEWS, LOGITS, WEIGHTS, CLASSES, 2)
    shares = np.exp(LOGITS) / np.exp(LOGITS).sum(1, keepdims=True)
    np.testing.assert_allclose(shown(drawing), VIEWS.transpose(0, 2, 3, 1))
    *pictures, bars = drawing.axes
    for i, axes in enumerate(pictures):
        assert f"{CLASSES[shares[i].argmax()]} {shares[i].max():.0%}" in axes.get_xlabel()
        assert axes.get_xlabel().endswith(f"weight {WEIGHTS[i]:g}")
        assert drawing.table["share"][i] == pytest.approx(shares[i].max())
    named = [text.get_text().removesuffix("(right)").strip() for text in bars.get_yticklabels()]
    for container, (level, of) in zip(bars.containers, TTA_WEIGHTS.items(), strict=True):
        mean = np.exp(np.average(LOGITS[: len(of)], axis=0, weights=of))
        wanted = [100 * mean[CLASSES.index(name)] / mean.sum() for name in named]
        np.testing.assert_allclose([bar.get_width() for bar in container], wanted)
        assert container.get_label() == level
    assert drawing.table["of"].tolist()[6:] == [f"level {level}" for level in LEVELS]


SLOW, QUICK = [3, 3.2, 2.8, 3], [1, 1, 1, 1]


def test_what_is_paid_once_pays_where_the_lines_cross():
    drawing = figures.break_even(SLOW, 20, QUICK)
    plain, quicker = drawing.axes[0].lines
    assert plain.get_xydata()[-1] == pytest.approx((22, 66))
    assert quicker.get_xydata()[0] == pytest.approx((0, 20))
    assert quicker.get_xydata()[-1] == pytest.approx((22, 42))
    assert drawing.table["runs"].iloc[-1] == pytest.approx(22)
    said = "compiled has paid for itself: after 10 runs (95 % interval 9 to 12); 4 rounds"
    assert drawing.axes[0].get_title() == said
    assert said in drawing.alt


def test_the_interval_is_that_of_what_a_round_saves():
    saved = mean_interval([2, 2.2, 1.8, 2])
    assert figures.pays_after(SLOW, 20, QUICK) == pytest.approx((10, 20 / saved.high, 20 / saved.low))
    together = figures.pays_after([3, 30, 3000], 20, [1, 28, 2998])  # in turns: only the difference counts
    assert together == pytest.approx((10, 10, 10))


@pytest.mark.parametrize(
    ("quicker", "said"),
    [
        ([2, 3.2, 1.8, 2.9], "after 39 runs (95 % interval 15 or more)"),
        ([3.4, 2.9, 3.3, 2.9], "perhaps never (95 % interval 41 or more)"),
        ([4, 4, 4, 4], "never"),
    ],
)
def test_a_price_may_never_be_paid_back(quicker, said):
    assert str(figures.pays_after(SLOW, 20, quicker)) == said
    assert said in figures.break_even(SLOW, 20, quicker).alt


@pytest.mark.parametrize(("work", "rows"), [(3, [(3, 18, 9), (1, 14, 5)]), (20, [(3, 65, 5), (1, 65, 5)])])
def test_a_device_with_little_work_waits_for_its_launches_and_with_much_for_the_first_alone(work, rows):
    table = figures.launches(5, [work] * 3).table
    assert [tuple(row) for row in table[["launches", "all is done after", "device waits"]].values] == rows


def test_effects_have_the_means_and_intervals_of_their_pairs():
    alone = {0: 60.0, 1: 61.0, 2: 62.0}, {2: 66.0, 1: 63.0, 0: 63.5}  # in another order
    on_top = {0: 70.0, 1: 70.5}, {0: 70.4, 1: 70.3}
    drawing = figures.effects(
        {"a": {"alone": alone, "on top": on_top}, "b": {"on top": on_top, "alone": alone}}, where="here"
    )
    assert list(drawing.table["trick"]) == ["a", "a", "b", "b"]
    first, second = drawing.table.to_dict("records")[:2]
    for row, pair in ((first, alone), (second, on_top)):
        found = difference(*pair)
        assert [row["n"], row["points"], row["low"], row["high"]] == [
            found.n_a,
            found.difference,
            found.low,
            found.high,
        ]
    (axes,) = drawing.axes
    intervals = [(round(line.get_ydata()[0]), *line.get_xdata()) for line in axes.lines if line.get_gid() == "interval"]
    assert (1, first["low"], first["high"]) in intervals
    assert list(line(axes, "on top").get_xdata()) == pytest.approx([0.1, 0.1])
    assert line(axes, "alone").get_ydata()[0] < 0 < line(axes, "on top").get_ydata()[0]
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a", "b"]
    assert drawing.get_supxlabel().startswith("here, n=2 to 3 pairs.")
    with pytest.raises(UsageError, match="no effects"):
        figures.effects({}, where="here")


def test_the_ladder_shows_published_epochs_and_the_mean_of_each_rung_s_own_runs():
    drawing = figures.ladder({"baseline": (45, [0.88, 0.9]), "+ whitening": (21, [0.885])}, where="here")
    left, right = drawing.axes
    assert [bar.get_width() for bar in left.patches] == [45, 21]
    assert right.lines[1].get_xdata().tolist() == pytest.approx([89, 88.5])
    assert right.lines[0].get_xdata() == pytest.approx([88.5, 88.5])  # straight below which the others stand
    assert drawing.table["n"].tolist() == [2, 1]
    assert drawing.table["high"].iloc[0] - drawing.table["low"].iloc[0] == pytest.approx(2 * 12.706, rel=1e-3)
    runs = [line.get_xdata().tolist() for line in right.lines if line.get_gid() == "runs"]
    assert runs == [pytest.approx([88, 90]), [88.5]]
    assert right.get_xlim()[0] < 88 < 90 < right.get_xlim()[1]  # no run is cut off
    assert "n=1 to 2." in drawing.get_supxlabel()
    with pytest.raises(UsageError, match="whitening"):
        figures.ladder({"+ whitening": (21, [])}, where="here")
