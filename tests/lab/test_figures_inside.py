"""Figures of plain arrays: filters, covariances, views, singular values, the flip calendar."""

import numpy as np
import pytest
import torch
from airbench_lab.figures import covariances, filters, flip_calendar, sides, singular_values, titled, views

from airbench_core import UsageError
from airbench_core.tricks.flip import flip_mask
from airbench_core.tricks.tta import TTA_WEIGHTS, tta_views
from airbench_core.tricks.whitening import whitening_filters

RNG = np.random.default_rng(0)


def test_each_filter_is_a_picture_about_grey():
    weights = whitening_filters(torch.rand(20, 3, 8, 8, generator=torch.Generator().manual_seed(0)), 5e-4)
    drawing = filters(weights)
    assert len(drawing.axes) == len(drawing.table) == 24
    for i, axes in enumerate(drawing.axes):
        (picture,) = (np.asarray(image.get_array()) for image in axes.get_images())
        own = weights[i].numpy().transpose(1, 2, 0)
        np.testing.assert_allclose(picture, 0.5 + 0.5 * own / np.abs(own).max(), atol=1e-6)
        row = drawing.table.iloc[i]
        assert row["length"] == pytest.approx(np.linalg.norm(own), rel=1e-5)
        assert axes.get_title().startswith(str(i + 1))
        assert row["blue bottom left"] == pytest.approx(own[1, 0, 2])
    assert drawing.axes[0].get_title() == f"1\n{np.linalg.norm(weights[0]):.2g}"
    flat = filters(torch.zeros(24, 3, 2, 2)).axes[0].get_images()[0].get_array()
    assert (np.asarray(flat) == 0.5).all()
    with pytest.raises(UsageError, match=r"weights of shape \(12, 3, 2, 2\) are not legal"):
        filters(weights[:12])


def test_covariances_are_drawn_about_zero_with_their_condition():
    before = np.diag(np.geomspace(400, 2, 12))
    before[0, 1] = before[1, 0] = -3.0
    drawing = covariances(before, np.eye(12))
    pictures = [axes.get_images()[0] for axes in drawing.axes if axes.get_images()]
    np.testing.assert_array_equal(pictures[0].get_array(), before)
    np.testing.assert_array_equal(pictures[1].get_array(), np.eye(12))
    assert [picture.get_clim() for picture in pictures] == [(-400, 400), (-1, 1)]
    table = drawing.table[drawing.table["second moment"] == "before"].drop(columns=["second moment", "of"])
    np.testing.assert_array_equal(table.to_numpy(float), before)
    assert "condition number 200" in drawing.axes[0].get_title()
    assert "condition number 1" in drawing.axes[1].get_title()
    assert [axes.get_ylabel() for axes in drawing.axes[2:]] == ["second moment"] * 2  # no mean was taken away
    with pytest.raises(UsageError, match="after of shape"):
        covariances(before, np.eye(24))


def test_pictures_are_drawn_as_they_are_below_their_titles():
    images = RNG.random((3, 3, 8, 8))
    drawing = titled(images, ["one", "two", "three"])
    for axes, image, title in zip(drawing.axes, images, drawing.table["title"], strict=True):
        np.testing.assert_allclose(axes.get_images()[0].get_array(), image.transpose(1, 2, 0))
        assert axes.get_title() == title
    assert drawing.table["mean green"].tolist() == pytest.approx(images[:, 1].mean((1, 2)).tolist())
    for wrong in (images, ["one"]), (images[0], ["one"]), (images[:0], []):
        with pytest.raises(UsageError, match="titles: 1 to 10"):
            titled(*wrong)


@pytest.mark.parametrize("title", ["one", "one of these pictures, as it was stored"])
@pytest.mark.parametrize("count", [1, 3, 5, 8, 10])
def test_nothing_is_left_empty_below_a_row_of_pictures(count, title, check_full):
    check_full(titled(RNG.random((count, 3, 8, 8)), [title] * count))


@pytest.mark.parametrize("tta", TTA_WEIGHTS)
def test_the_views_are_those_of_the_evaluation(tta, check_full):
    image = RNG.integers(0, 256, (3, 8, 8), dtype=np.uint8)
    drawing = views(image, tta)
    theirs, weights = tta_views(torch.tensor(image)[None] / 255, tta)
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.axes if axes.get_images()]
    assert len(shown) == len(weights)
    for picture, view in zip(shown, theirs, strict=True):
        np.testing.assert_allclose(picture, view[0].numpy().transpose(1, 2, 0), atol=1e-6)
    assert tuple(drawing.table["weight"]) == weights
    assert len(drawing.axes) == len(weights)  # and no empty ones
    check_full(drawing)
    titles = [axes.get_title() for axes in drawing.axes]
    assert [float(title.split("weight ")[1]) for title in titles] == list(weights)


def test_a_view_is_moved_where_its_name_says():
    """A bright pixel at row 3, column 2 of 8."""
    image = np.zeros((3, 8, 8))
    image[:, 3, 2] = 1
    drawing = views(image)
    at = {}
    for axes, what in zip(drawing.axes, drawing.table["what"], strict=True):
        picture = np.asarray(axes.get_images()[0].get_array())[..., 0]
        at[what] = tuple(map(int, np.argwhere(picture)[0]))
        assert axes.get_title().replace("\n", " ").startswith(what)
    assert at == {
        "the image": (3, 2),
        "mirrored": (3, 5),
        "moved 1 px down and right": (4, 3),
        "moved 1 px up and left": (2, 1),
        "moved 1 px down and right, mirrored": (4, 4),
        "moved 1 px up and left, mirrored": (2, 6),
    }


def test_what_is_no_image_or_level_is_refused():
    with pytest.raises(UsageError, match=r"an image of shape \(8, 8\)"):
        views(np.zeros((8, 8)))
    with pytest.raises(UsageError, match="tta=flips is not legal: none or mirror"):
        views(np.zeros((3, 8, 8)), "flips")


def test_singular_values_by_rank():
    drawing = singular_values({"before": [0.1, 0.5, 0.02], "after": torch.tensor([0.9, 0.7, 1.1])})
    assert drawing.table.columns.tolist() == ["rank", "before", "after"]
    assert drawing.table["rank"].tolist() == [1, 2, 3]
    assert drawing.table["before"].tolist() == [0.5, 0.1, 0.02]
    (axes,) = drawing.axes
    assert axes.get_yscale() == "log"
    lines = {line.get_label(): line.get_ydata() for line in axes.lines}
    np.testing.assert_allclose(lines["after"], [1.1, 0.9, 0.7])
    for wrong in {}, {"a": [1, 2], "b": [1]}, {"a": [[1, 2]]}, {str(i): [1, 2] for i in range(8)}:
        with pytest.raises(UsageError, match="1 to 7 arrays"):
            singular_values(wrong)


def _masks(images: int, epochs: int) -> dict[str, np.ndarray]:
    generator = torch.Generator().manual_seed(1)
    first = torch.rand(images, generator=generator) < 0.5
    return {
        way: torch.stack([flip_mask(way, epoch, first, generator) for epoch in range(epochs)]).numpy()
        for way in ("random", "alternating")
    }


def test_a_calendar_shows_every_flip_and_counts_the_sides():
    masks = _masks(40, 6)
    drawing = flip_calendar(masks)
    for axes, mask in zip(drawing.axes, masks.values(), strict=False):
        marks = {line.get_marker(): {tuple(xy) for xy in line.get_xydata().astype(int)} for line in axes.lines}
        cells = {(epoch + 1, image + 1): mask[epoch, image] for epoch in range(6) for image in range(12)}
        assert marks["<"] == {cell for cell, mirrored in cells.items() if mirrored}
        assert marks[">"] == {cell for cell, mirrored in cells.items() if not mirrored}
    for name, mask in masks.items():
        table = drawing.table[drawing.table["flip"] == name]
        seen = [len({(i, bool(mask[e, i])) for e in range(last + 1) for i in range(40)}) for last in range(6)]
        assert table["sides seen so far, of 80"].tolist() == seen
        assert table["mirrored"].tolist() == mask.sum(1).tolist()
        (line,) = [line for line in drawing.axes[2].lines if line.get_label() == name]
        np.testing.assert_allclose(line.get_ydata(), np.array(seen) / 0.8)
        first = [image + 1 for image in range(12) if mask[0, image]]
        assert table["mirrored among the first 12"].iloc[0] == ", ".join(map(str, first))
    alternating = drawing.table[drawing.table["flip"] == "alternating"]
    assert alternating["sides seen so far, of 80"].tolist() == [40, 80, 80, 80, 80, 80]
    assert "alternating 80" in drawing.alt


def test_what_makes_no_calendar_is_refused():
    masks = _masks(4, 3)
    for wrong in (
        {"random": masks["random"]},
        masks | {"none": masks["random"]},
        masks | {"random": masks["random"][1:]},
    ):
        with pytest.raises(UsageError, match="two masks"):
            flip_calendar(wrong)
    for epochs in 1, 17:
        with pytest.raises(UsageError, match="2 to 16"):
            flip_calendar(_masks(4, epochs))


def test_the_sides_are_those_of_the_masks_and_framed_where_they_come_again():
    images = RNG.integers(0, 255, (4, 3, 8, 8), dtype=np.uint8)  # white is left to the gaps
    masks = _masks(4, 3)
    drawing = sides(torch.tensor(images), masks)
    for axes, (name, mask) in zip(drawing.axes, masks.items(), strict=True):
        (canvas,) = (np.asarray(image.get_array()) for image in axes.get_images())
        for epoch, image in np.ndindex(3, 4):
            own = images[image].transpose(1, 2, 0)
            shown = canvas[10 * epoch + 1 : 10 * epoch + 9, 10 * image + 1 : 10 * image + 9]
            np.testing.assert_array_equal(shown, own[:, ::-1] if mask[epoch, image] else own)
        again = [
            (epoch, image) for epoch in (1, 2) for image in range(4) if mask[epoch, image] == mask[epoch - 1, image]
        ]
        framed = [tuple(round((at + 0.0) / 10) for at in frame.get_xy()[::-1]) for frame in axes.patches]
        assert framed == again
        assert axes.get_title() == f"{name}: {len(again)} shown twice in a row"
        rows = drawing.table[drawing.table["flip"] == name].set_index("epoch")
        told = rows["same side as in the epoch before"]
        assert told[1] == "none"
        assert told[2] == (", ".join(str(image + 1) for epoch, image in again if epoch == 1) or "none")
    assert "alternating 0." in drawing.alt
    for wrong in (
        (images[0], masks),
        (images[:3], masks),
        (images, {"random": masks["random"]}),
        (images, _masks(4, 5)),
    ):
        with pytest.raises(UsageError, match=r"legal|needed"):
            sides(*wrong)
