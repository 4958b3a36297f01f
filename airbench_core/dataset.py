"""A data set: uint8 tensors on one device. `airbench_lab.data.load_dataset` finds CIFAR-10 and the like on disk."""

import hashlib
import math
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airbench_core import pictures
from airbench_core.errors import UsageError, printable
from airbench_core.fields import SEEDS, whole

TENSORS = ("train_images", "train_labels", "test_images", "test_labels")
Channels = tuple[float, float, float]  # one number for red, green, blue


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training and test images with their labels, all on one device. Raises UsageError if they are no data set."""

    name: str
    train_images: Tensor  # (N, 3, H, H) uint8
    train_labels: Tensor  # (N,) int64, from 0 to len(classes) - 1
    test_images: Tensor  # (M, 3, H, H) uint8
    test_labels: Tensor  # (M,) int64
    classes: tuple[str, ...]
    mean: Channels  # of the training pixels in 0..1
    std: Channels
    mirror_changes_class: bool = False  # True where a mirrored picture may show something else: digits, letters

    def __post_init__(self) -> None:
        if fault := next(_faults(self), None):
            raise UsageError(f"data set {self.name}: {fault}")

    @classmethod
    def of(cls, train: Any, test: Any = None, *, size: int = 32, name: str | None = None) -> "Dataset":
        """Pictures of your own, each cut to the square in its middle and resized to `size` x `size`; grey is repeated.

        train, test: each a folder that holds one with pictures for each class, or a map-style data set of (picture,
        label), such as torchvision's, without ToTensor or other transforms. A folder that holds train and test (or val)
        gives both. Where there are no test pictures a fifth of the others is held out. Digits, letters and the like:
        `replace(data, mirror_changes_class=True)`. Raises UsageError or DataError, one line.
        """
        named, size = type(train).__name__, whole("size", size, 1, 4096)
        if isinstance(train, str | os.PathLike):
            named = printable(Path(train).absolute().name)
            if test is None:
                train, test = pictures.parts_of(train)
        images, labels, classes = pictures.labelled(train, size)
        if len(images) < (2 if test is None else 1):
            there = "is one picture, and none to hold out" if len(images) else "are no pictures"
            raise UsageError(f"data set {named}: there {there}")
        both = (images, labels, *(pictures.labelled(test, size, classes)[:2] if test is not None else (images, labels)))
        data = cls(name or named, *both, tuple(map(printable, classes)), (0.5,) * 3, (1.0,) * 3)
        if test is None:
            data = replace(data.holdout(max(1, len(images) // 5)), name=data.name)
        return replace(data, **dict(zip(("mean", "std"), pixel_statistics(data.train_images), strict=True)))

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on `device`; itself, with its digest if that is known, where it lies there already."""
        return self._with([tensor.to(device) for tensor in self._tensors()])

    def head(self, train: int | None, test: int | None) -> "Dataset":
        """The first `train` training and `test` test images; None, or more than there are, means all of them.

        Itself, with its digest if that is known, where nothing is left out.
        """
        train, test = (n if n is None else whole("images", n, 1, sys.maxsize) for n in (train, test))
        kept = zip(self._tensors(), (train, train, test, test), strict=True)
        return self._with([tensor if n is None or n >= len(tensor) else tensor[:n] for tensor, n in kept])

    def holdout(self, n: int, seed: int = 0) -> "Dataset":
        """With `n` of the training images, drawn by `seed`, as test images: to choose on before the real ones are seen.

        The rest are trained on, in their order. The name says so, and the digest is another. Raises UsageError for an
        `n` that leaves no image to either part.
        """
        images = len(self.train_images)
        n, seed = whole("holdout", n, 1, images - 1), whole("seed", seed, 0, SEEDS - 1)
        order = torch.randperm(images, generator=torch.Generator().manual_seed(seed), device="cpu")
        (held, _), (kept, _) = order[:n].sort(), order[n:].sort()
        tensors = [tensor[rows] for rows in (kept, held) for tensor in (self.train_images, self.train_labels)]
        return replace(self, name=f"{self.name}-holdout{n}", **dict(zip(TENSORS, tensors, strict=True)))

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal characters of the sha256 of all shapes, images and labels; same on any device."""
        sha = hashlib.sha256()
        for tensor in self._tensors():
            sha.update(repr(tuple(tensor.shape)).encode())
            sha.update(tensor.cpu().contiguous().numpy())
        return sha.hexdigest()[:16]

    def _tensors(self) -> list[Tensor]:
        return [getattr(self, field) for field in TENSORS]

    def _with(self, tensors: list[Tensor]) -> "Dataset":
        same = all(new is old for new, old in zip(tensors, self._tensors(), strict=True))
        return self if same else replace(self, **dict(zip(TENSORS, tensors, strict=True)))


def pixel_statistics(images: Tensor) -> tuple[Channels, Channels]:
    """Mean and standard deviation of uint8 `images` (N, 3, H, W) on the CPU, pixels in 0..1, rounded to 4 digits.

    Computed, because those that are published for CIFAR-100 differ; in integers, so that they are exact.
    """
    counts = torch.stack([torch.bincount(channel.flatten(), minlength=256) for channel in images.unbind(1)])  # (3, 256)
    levels, n = torch.arange(256, device="cpu"), images[:, 0].numel()
    sums, squares = (counts * levels).sum(1).tolist(), (counts * levels**2).sum(1).tolist()
    variances = [n * q - s * s for s, q in zip(sums, squares, strict=True)]  # times n²
    return tuple(round(s / n / 255, 4) for s in sums), tuple(round(math.sqrt(v) / n / 255, 4) for v in variances)


def _faults(data: Dataset) -> Iterator[str]:
    """What is wrong with the fields; each check relies on those before it."""
    names = data.classes
    if len(names) < 2:
        yield f"{len(names)} class(es), but there must be at least 2"
    for field in ("mean", "std"):
        values = getattr(data, field)
        if len(values) != 3 or not all(map(math.isfinite, values)):
            yield f"{field} must be 3 numbers, for red, green and blue, not {values}"
    if min(data.std) <= 0:
        yield f"std must be above 0 in every channel, not {data.std}"
    for split in ("train", "test"):
        images, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
        shape = tuple(images.shape)
        if images.dtype != torch.uint8 or len(shape) != 4 or shape[1] != 3 or shape[2] != shape[3]:
            yield f"{split}_images must be torch.uint8 of shape (N, 3, H, H), not {images.dtype} of shape {shape}"
        if labels.dtype != torch.int64 or labels.ndim != 1:
            yield f"{split}_labels must be torch.int64 of shape (N,), not {labels.dtype} of shape {tuple(labels.shape)}"
        if len(images) != len(labels):
            yield f"{len(images):,} {split}_images, but {len(labels):,} {split}_labels"
        if not len(images):
            yield f"there are no {split}_images"
        if labels.device.type == "cpu":  # a GPU would have to be waited for, and its labels were checked before
            values, last = labels.numpy(), len(names) - 1
            for i in np.flatnonzero((values < 0) | (values > last)):
                yield f"{split}_labels[{i}] is {values[i]}, but the labels of {len(names)} classes are 0 to {last}"
    train, test = data.train_images.shape[-1], data.test_images.shape[-1]
    if train != test:
        yield f"train_images have {train} x {train} pixels, but test_images {test} x {test}"
