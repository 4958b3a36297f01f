"""Scales shrink a recipe and its data by a stated rule, for machines on which the published one takes too long."""

from dataclasses import dataclass, replace

from airbench_core.datasets import Dataset
from airbench_core.errors import UsageError
from airbench_core.recipes import Recipe


@dataclass(frozen=True, kw_only=True)
class Scale:
    """What is multiplied (widths, batch size, epochs, learning rate) and how many images are kept (None: all)."""

    name: str
    width: float = 1
    batch_size: float = 1
    epochs: float = 1
    lr: float = 1
    train_images: int | None = None
    test_images: int | None = None

    def recipe(self, recipe: Recipe) -> Recipe:
        """`recipe` at this scale. The epochs after which the whitening bias is frozen shrink with the epochs."""
        freeze = recipe.whiten_bias_epochs
        try:
            return replace(
                recipe,
                widths=tuple(max(1, round(width * self.width)) for width in recipe.widths),
                batch_size=max(1, round(recipe.batch_size * self.batch_size)),
                epochs=recipe.epochs * self.epochs,
                lr=recipe.lr * self.lr,
                whiten_bias_epochs=None if freeze is None else freeze * self.epochs,
            )
        except UsageError as error:
            raise UsageError(f"at scale {self.name} {error}") from error

    def data(self, data: Dataset) -> Dataset:
        """The first `train_images` and `test_images` of `data`."""
        return data.head(self.train_images, self.test_images)


SCALES = {
    scale.name: scale
    for scale in (
        Scale(name="full"),
        Scale(
            name="laptop",
            width=1 / 4,
            batch_size=3 / 16,
            epochs=0.4,
            lr=1.4,
            train_images=10_000,
            test_images=5_000,
        ),
        Scale(name="smoke", width=1 / 8, batch_size=1 / 32, epochs=0.3, lr=4, train_images=1_000, test_images=500),
    )
}


def scale_named(name: str) -> Scale:
    """The scale called `name`. Raises UsageError with the known ones."""
    if name not in SCALES:
        raise UsageError(f"scale={name} is not legal: {', '.join(SCALES)}")
    return SCALES[name]
