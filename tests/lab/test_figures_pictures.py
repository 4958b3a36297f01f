"""Rows of pictures."""

import numpy as np
import pytest
from airbench_lab.figures import pictures

from airbench_core import UsageError

RNG = np.random.default_rng(0)
SOME = RNG.random((4, 3, 8, 8))


def test_each_picture_is_shown_as_it_is_in_its_row():
    drawing = pictures({"before": SOME, "after": SOME * 3 - 1}, {"after": ["a", "b", "c", "d"]})
    shown = [np.asarray(axes.get_images()[0].get_array()) for axes in drawing.axes]
    assert len(shown) == 8
    for number in range(4):
        np.testing.assert_allclose(shown[number], SOME[number].transpose(1, 2, 0))
        np.testing.assert_allclose(shown[4 + number], (SOME[number] * 3 - 1).clip(0, 1).transpose(1, 2, 0))
    assert [axes.get_title() for axes in drawing.axes] == ["", "", "", "", "a", "b", "c", "d"]
    assert drawing.axes[4].get_ylabel() == "after"
    assert drawing.table["row"].tolist() == ["before"] * 4 + ["after"] * 4
    assert drawing.table["mean brightness"].iloc[1] == pytest.approx(SOME[1].mean())


@pytest.mark.parametrize("titles", [{}, {"b": ["frog", "two\nlines", "cat", "dog"]}])
@pytest.mark.parametrize("names", ["b", "ab", "abc"])
def test_nothing_is_left_empty_about_the_rows(names, titles, check_full):
    check_full(pictures(dict.fromkeys(names, SOME), titles))
    many = np.concatenate([SOME, SOME])
    check_full(pictures({"a name of two lines": many}, {name: title * 2 for name, title in titles.items()}))


@pytest.mark.parametrize("rows", [{}, {"a": SOME[0]}, {"a": SOME[:, :1]}, {"a": SOME, "b": SOME[:2]}])
def test_other_shapes_are_refused(rows):
    with pytest.raises(UsageError, match=r"arrays \(N, 3, height, width\) with one N"):
        pictures(rows)


def test_too_many_pictures_are_refused():
    with pytest.raises(UsageError, match="9 pictures in a row are not legal: 1 to 8"):
        pictures({"a": np.zeros((9, 3, 4, 4))})
