"""Runs that nobody made, as frames; and what is drawn of a figure, text by text."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import NamedTuple

import pytest
from airbench_lab.figures import Drawing
from airbench_lab.worker import Worker
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text
from matplotlib.transforms import Bbox

from airbench_core import Recipe


class Shown(NamedTuple):
    text: str
    box: Bbox  # in pixels
    points: float


@pytest.fixture(scope="session")
def made(record) -> Callable[..., list[dict]]:
    """Records of `recipe`, one for each accuracy, by seed: at the levels of TTA below 0.01 and 0.02 less."""

    def make(recipe: Recipe, accuracies: Mapping[int, float] | list[float], **kinds) -> list[dict]:
        seeded = accuracies if isinstance(accuracies, Mapping) else dict(enumerate(accuracies))
        versions = {"airbench": "0", "commit": "abc", "torch": "2", "cuda": None}
        runs = []
        for seed, accuracy in seeded.items():
            levels = {"mirror+translate": accuracy, "mirror": accuracy - 0.01, "none": accuracy - 0.02}
            if recipe.tta != "mirror+translate":
                levels = {"mirror": accuracy, "none": accuracy - 0.01}
            one = record(recipe, accuracy=accuracy, seed=seed, **kinds)
            epochs = [
                {
                    "epoch": i + 1,
                    "epochs": float(i + 1),
                    "train_loss": 1.0,
                    "accuracy": accuracy - 0.1 / (i + 1),
                    "seconds": 1.0,
                }
                for i in range(3)
            ]
            about = {"accuracies": levels, "versions": versions, "started": "2026-11-22T12:00:00+00:00"}
            runs.append(one | about | {"epochs": epochs})
        return runs

    return make


SPREAD = (-0.002, 0.0, 0.002)  # of the seeds, so that a mean is just what `measured` says


def accuracy(epochs: float, faster: float = 1.0) -> float:
    """Linear in the logarithm of the epochs, as curves are interpolated; 0.75 at 4 epochs of the laptop scale."""
    return 0.75 + 0.1 * math.log2(faster * epochs / 4)


@pytest.fixture(scope="session")
def trained(made) -> Callable[..., list[dict]]:
    """Records of `recipe` at several lengths, three seeds each, of a recipe that needs `faster` times fewer epochs."""

    def make(recipe: Recipe, faster: float = 1.0, lengths=(5, 10, 20, 40)) -> list[dict]:
        return [
            run
            for epochs in lengths
            for run in made(replace(recipe, epochs=epochs), [accuracy(0.4 * epochs, faster) + luck for luck in SPREAD])
        ]

    return make


@pytest.fixture
def shown(monkeypatch) -> Callable[[Drawing], list[Shown]]:
    """The texts that a drawing shows, as they are drawn: ticks beyond the axes, for one, are not."""

    def texts(drawing: Drawing) -> list[Shown]:
        found: list[Text] = []
        draw = Text.draw

        def noted(text: Text, renderer) -> None:
            if text.get_visible() and text.get_text().strip():
                found.append(text)
            draw(text, renderer)

        monkeypatch.setattr(Text, "draw", noted)
        canvas = FigureCanvasAgg(drawing)
        canvas.draw()
        monkeypatch.setattr(Text, "draw", draw)
        renderer = canvas.get_renderer()
        return [Shown(text.get_text(), text.get_window_extent(renderer), text.get_fontsize()) for text in found]

    return texts


@pytest.fixture
def check_full() -> Callable[[Drawing], None]:
    """Fails for a drawing of which a stripe at the top or the bottom is left empty, or a part of what is there cut off.

    As empty counts what is wider than the 0.08 inches that stand around all axes, and 0.06 more.
    """

    def check(drawing: Drawing) -> None:
        canvas = FigureCanvasAgg(drawing)
        canvas.draw()
        boxes = [axes.get_tightbbox(canvas.get_renderer()) for axes in drawing.axes]
        top, bottom = drawing.bbox.y1 - max(box.y1 for box in boxes), min(box.y0 for box in boxes)
        assert 0 <= top < 0.14 * drawing.dpi
        assert 0 <= bottom < 0.14 * drawing.dpi

    return check


@pytest.fixture
def worker() -> Iterator[Worker]:
    one = Worker()
    yield one
    one.shutdown()
