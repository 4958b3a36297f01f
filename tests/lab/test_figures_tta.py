"""The figures of test-time augmentation: pictures whose class changes, and what each view says."""

import numpy as np
import pytest
from airbench_lab.figures import changed_predictions, votes

from airbench_core import UsageError
from airbench_core.tricks.tta import TTA_WEIGHTS

RNG = np.random.default_rng(0)
CLASSES = ("automobile", "bird", "cat", "dog")
LEVELS = tuple(TTA_WEIGHTS)
WEIGHTS = TTA_WEIGHTS["mirror+translate"]


def _some(n: int):
    predictions = {level: RNG.integers(0, 4, n) for level in LEVELS}
    return RNG.integers(0, 256, (n, 3, 8, 8), dtype=np.uint8), RNG.integers(0, 4, n), predictions


@pytest.mark.parametrize(("n", "drawn", "rows"), [(1, 1, 1), (8, 8, 2), (20, 12, 2)])
def test_each_picture_stands_with_its_classes(n, drawn, rows):
    images, labels, predictions = _some(n)
    drawing = changed_predictions(images, labels, predictions, CLASSES)
    shown = [axes for axes in drawing.axes if axes.get_images()]
    assert len(shown) == len(drawing.table) == drawn
    assert len(drawing.axes) == 6 * rows
    for i, axes in enumerate(shown):
        np.testing.assert_allclose(axes.get_images()[0].get_array(), images[i].transpose(1, 2, 0) / 255)
        assert axes.get_title() == CLASSES[labels[i]] == drawing.table["label"][i]
        for level, line in zip(LEVELS, axes.get_xlabel().splitlines(), strict=True):
            given = predictions[level][i]
            assert line == f"{CLASSES[given]} {'✓' if given == labels[i] else '✗'}"
            assert drawing.table[level][i] == CLASSES[given]


def test_what_does_not_belong_together_is_refused():
    images, labels, predictions = _some(4)
    for wrong in (
        (images[:0], labels[:0], {level: some[:0] for level, some in predictions.items()}),
        (images[0], labels, predictions),
        (images, labels[:3], predictions),
        (images, labels, predictions | {"mirror": labels[:3]}),
    ):
        with pytest.raises(UsageError, match="changed predictions need images"):
            changed_predictions(*wrong, CLASSES)


def test_votes_are_the_softmax_of_each_view_and_of_the_weighted_means():
    logits = RNG.normal(0, 2, (6, 4))
    views = RNG.random((6, 3, 8, 8))
    drawing = votes(views, logits, WEIGHTS, CLASSES, 2)
    powers = np.exp(logits)
    shares = powers / powers.sum(1, keepdims=True)
    pictures = [axes for axes in drawing.axes if axes.get_images()]
    assert len(pictures) == 6
    for i, axes in enumerate(pictures):
        np.testing.assert_allclose(axes.get_images()[0].get_array(), views[i].transpose(1, 2, 0))
        assert f"{CLASSES[shares[i].argmax()]} {shares[i].max():.0%}" in axes.get_xlabel()
        assert axes.get_xlabel().endswith(f"weight {WEIGHTS[i]:g}")
        assert drawing.table["share"][i] == pytest.approx(shares[i].max())
    bars = drawing.axes[6]
    named = [text.get_text().removesuffix("(right)").strip() for text in bars.get_yticklabels()]
    for container, level in zip(bars.containers, LEVELS, strict=True):
        weights = TTA_WEIGHTS[level]
        mean = np.exp(np.average(logits[: len(weights)], axis=0, weights=weights))
        wanted = [100 * mean[CLASSES.index(name)] / mean.sum() for name in named]
        np.testing.assert_allclose([bar.get_width() for bar in container], wanted)
        assert container.get_label() == level
    assert drawing.table["of"].tolist()[6:] == [f"level {level}" for level in LEVELS]


def test_votes_of_other_shapes_are_refused():
    views, logits = np.zeros((6, 3, 8, 8)), np.zeros((6, 4))
    for wrong in (views[:2], logits, WEIGHTS), (views, logits[:, :3], WEIGHTS), (views, logits, WEIGHTS[:2]):
        with pytest.raises(UsageError, match="votes need 6 views"):
            votes(*wrong, CLASSES, 0)


def test_texts_lie_inside_and_apart(check_texts):
    labels = np.zeros(12, int)  # the longest name
    longest = dict.fromkeys(LEVELS, labels)
    for drawing in (
        changed_predictions(np.zeros((12, 3, 32, 32)), labels, longest, CLASSES),
        votes(np.zeros((6, 3, 32, 32)), np.eye(6, 4) * 9, WEIGHTS, CLASSES, 0),
    ):
        check_texts(drawing)
