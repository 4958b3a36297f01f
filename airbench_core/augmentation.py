"""Translations and cutout of whole batches; `Augmentation`, which applies them and the flip; the plan of batches.

What is random is drawn once an epoch for all images (`Augmentation.draw`); flip and crop of a batch are one gather.
"""

import itertools
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.devices import LAYOUTS
from airbench_core.errors import UsageError
from airbench_core.recipes import Recipe
from airbench_core.tricks.flip import coin, flip_mask


def normalize(images: Tensor, mean: tuple[float, ...], std: tuple[float, ...], dtype: torch.dtype) -> Tensor:
    """uint8 images (N, C, H, W) -> `dtype`, as the device wants them, each channel minus `mean` over `std`."""
    mean_, std_ = torch.tensor([mean, std], dtype=torch.float32, device=images.device)[..., None, None]
    normalized = torch.empty(images.shape, dtype=dtype, device=images.device, memory_format=LAYOUTS[images.device.type])
    for some, out in zip(images.split(4096), normalized.split(4096), strict=True):  # in parts: float32 is large
        out.copy_((some.float() / 255 - mean_) / std_)
    return normalized


def crop(padded: Tensor, which: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """The windows (B, C, size, size) of images `which` whose top left corners are at (rows, columns); all (B,).

    `padded`: (N, C, S, S) in channels-last memory, as is the result. One gather: every window that could be
    asked for exists already as a view of the same memory.
    """
    windows = padded.permute(0, 2, 3, 1).unfold(1, size, 1).unfold(2, size, 1)  # (N, rows, columns, C, H, W)
    return windows.permute(0, 1, 2, 4, 5, 3)[which, rows, columns].permute(0, 3, 1, 2)


def cutout(images: Tensor, rows: Tensor, columns: Tensor, size: int) -> Tensor:
    """Images (N, C, H, W) with a square of `size` pixels set to 0 in each.

    rows, columns: (N,), the top left corner of each square.
    """
    y = torch.arange(images.shape[2], device=images.device)
    x = torch.arange(images.shape[3], device=images.device)
    inside_y = (y >= rows[:, None]) & (y < rows[:, None] + size)  # (N, H)
    inside_x = (x >= columns[:, None]) & (x < columns[:, None] + size)  # (N, W)
    return images.masked_fill((inside_y[:, :, None] & inside_x[:, None, :])[:, None], 0)


class Augmentation:
    """The training images of one run as the network sees them.

    images: normalized (N, 3, H, W) in channels-last memory. generator: on the images' device; all that is random
    comes from it, but for the order where that has a generator of its own, `order`. flip: a function like `flip_mask`.
    own: `Parts.augment`. Raises UsageError for shifts or squares larger than the images.
    """

    def __init__(
        self, images: Tensor, recipe: Recipe, generator: torch.Generator, flip=flip_mask, own=None, order=None
    ):
        self.recipe, self.generator, self.of_order = recipe, generator, order or generator
        self.flip, self.own, self.size = flip, own, images.shape[-1]
        for name, largest in ("cutout", self.size), ("translate", self.size - 1):  # a reflection has no more to show
            if (n := getattr(recipe, name)) > largest:
                side = f"images of {self.size} x {self.size} pixels"
                raise UsageError(f"{name}={n} is too much for {side}: {largest} at most")
        self.n = n = len(images)
        side, both = self.size + 2 * recipe.translate, recipe.flip != "none"
        # The mirrored images follow the others: a mirrored crop is a crop of one of them.
        shape, like = (n * (1 + both), images.shape[1], side, side), {"dtype": images.dtype, "device": images.device}
        self.padded = torch.empty(shape, **like, memory_format=LAYOUTS[images.device.type])
        for i in range(0, n, 4096):  # in parts: all at once would take as much memory again
            some = images[i : i + 4096]
            if recipe.translate:
                some = F.pad(some, (recipe.translate,) * 4, mode="reflect")
            self.padded[i : i + len(some)] = some
            if both:
                self.padded[n + i : n + i + len(some)] = some.flip(-1)
        self.first_flip = coin(len(images), generator)
        self.order: Tensor | None = None

    def draw(self, epoch: int) -> Tensor:
        """What is random in `epoch`: int64 (N, 6), a row for each image in the order in which they are trained on.

        A row holds the image's number; whether it is mirrored; the row and column of its crop's corner in the padded
        image; the row and column of the corner of the square that is cut out.
        """
        recipe, n = self.recipe, self.n
        if self.order is None or recipe.reshuffle:
            self.order = torch.randperm(n, generator=self.of_order, device=self.of_order.device)
        mirrored = self.flip(recipe.flip, epoch, self.first_flip, self.generator).long()
        corners = self._integers(2 * recipe.translate + 1)
        squares = self._integers(self.size - recipe.cutout + 1) if recipe.cutout else torch.zeros_like(corners)
        rows = torch.stack([torch.arange(n, device=mirrored.device), mirrored, *corners, *squares], dim=1)
        return rows[self.order]

    def batch(self, rows: Tensor) -> Tensor:
        """The images (B, 3, H, W) that `rows` (B, 6), some of those drawn, describe."""
        which, mirrored, top, left, square_top, square_left = rows.unbind(1)
        if self.recipe.flip != "none":
            which = which + mirrored * self.n
            left = torch.where(mirrored.bool(), 2 * self.recipe.translate - left, left)
        images = crop(self.padded, which, top, left, self.size)
        if self.recipe.cutout:
            images = cutout(images, square_top, square_left, self.recipe.cutout)
        return images if self.own is None else self.own(images, self.generator)

    def _integers(self, below: int) -> Tensor:
        return torch.randint(below, (2, self.n), generator=self.generator, device=self.generator.device)


def plan(augmentation: Augmentation) -> Iterator[Tensor]:
    """The rows (batch_size, 6) of one batch after the other, without end.

    What an epoch leaves that fills no batch is dropped or, with `cross_epochs`, begins the next epoch's first batch.
    """
    recipe, left = augmentation.recipe, None
    for epoch in itertools.count():
        rows = augmentation.draw(epoch)
        if left is not None:
            rows = torch.cat([left, rows])
        whole = len(rows) - len(rows) % recipe.batch_size
        yield from rows[:whole].split(recipe.batch_size)
        left = rows[whole:] if recipe.cross_epochs else None
