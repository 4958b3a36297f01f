"""Scales shrink a recipe and its data by a stated rule, for machines on which the published one takes too long."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from airbench_core.errors import UsageError
from airbench_core.recipes import Recipe

if TYPE_CHECKING:  # they import torch
    from airbench_core.dataset import Dataset


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What is multiplied (widths, batch size, epochs, learning rate) and how many images are kept (None: all)."""

    name: str
    about: str = ""
    width: float = 1
    batch_size: float = 1
    epochs: float = 1
    lr: float = 1
    train_images: int | None = None
    test_images: int | None = None

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` at this scale. The epochs after which the whitening bias is frozen shrink with the epochs.

        `lr` multiplies what an image moves the weights: of torch-sgd, whose loss is a mean, the rate therefore shrinks
        with the batch; Muon's steps do not depend on how many images they come from, so its own rate stays.
        """
        lr = {"sgd": self.lr, "torch-sgd": self.lr * self.batch_size, "muon": 1}[recipe.optimizer]
        try:
            return replace(
                recipe,
                widths=_channels(recipe.widths, self.width),
                proxy_widths=_channels(recipe.proxy_widths, self.width if recipe.proxy_keep else 1),
                batch_size=_times(recipe.batch_size, self.batch_size),
                proxy_keep=recipe.proxy_keep and _times(recipe.proxy_keep, self.batch_size),
                epochs=recipe.epochs * self.epochs,
                whiten_bias_epochs=recipe.whiten_bias_epochs and recipe.whiten_bias_epochs * self.epochs,
                lr=recipe.lr * lr,
                bias_lr=recipe.bias_lr and recipe.bias_lr * self.lr,
                head_lr=recipe.head_lr and recipe.head_lr * self.lr,
            )
        except UsageError as error:
            raise UsageError(f"at scale {self.name} {error}") from error

    def data(self, data: "Dataset") -> "Dataset":
        """The first `train_images` and `test_images` of `data`."""
        return data.head(self.train_images, self.test_images)


def _times(n: int, factor: float) -> int:
    return max(1, round(n * factor))


def _channels(widths: tuple[int, ...], factor: float) -> tuple[int, ...]:
    return tuple(_times(width, factor) for width in widths)


_ALL = (
    Scale(name="full", about="as published"),
    Scale(name="quarter", about="a quarter of the width, all else as published", width=1 / 4),
    Scale(
        name="laptop", about="narrower, fewer images, fewer epochs",
        width=1 / 4, batch_size=3 / 16, epochs=0.4, lr=1.4, train_images=10_000, test_images=5_000,
    ),
    # Few pictures, seen often: what a trick is worth shows against the scatter of seeds (benchmarks/README.md).
    Scale(
        name="few", about="narrow, 2,000 images, seen often: single tricks show in seconds",
        width=1 / 8, batch_size=25 / 256, epochs=1.6, lr=1.4, train_images=2_000, test_images=5_000,
    ),
    Scale(
        name="smoke", about="only to see that it runs",
        width=1 / 8, batch_size=1 / 32, epochs=0.3, lr=4, train_images=1_000, test_images=500,
    ),
)  # fmt: skip
SCALES = {scale.name: scale for scale in _ALL}


def scale_named(name: str) -> Scale:
    """The scale called `name`. Raises UsageError with the known ones."""
    if not isinstance(name, str) or name not in SCALES:
        raise UsageError(f"scale={name} is not legal: {', '.join(SCALES)}")
    return SCALES[name]
