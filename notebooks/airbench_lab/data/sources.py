"""Where data sets come from: found on disk, verified by md5, read.

A data set is looked for in the folder given as `root`, then in that named by AIRBENCH_DATA, then in the user's cache
folder. (Of a data set's own folder, such as cifar-10-batches-py, the one around it is taken.) The first folder that
holds anything of it is the one that is read: if what it holds is incomplete or altered, that is an error. Only when
none of the folders holds it is it fetched, if that is asked for: into the first of them (downloads.py).
"""

import gzip
import hashlib
import io
import os
import pickle
import shlex
import tarfile
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from airbench_core.cache import cache_folder
from airbench_core.errors import DataError
from airbench_lab.data import downloads

# Training images (N, 3, H, H) uint8 and labels (N,) int64, test images and labels, and the names of the classes.
Contents = tuple[Tensor, Tensor, Tensor, Tensor, tuple[str, ...]]


def _read_cifar(*files: bytes) -> Contents:
    """Pickles: batches of training images, one of test images, and what the classes are called."""
    *batches, meta = (pickle.loads(file, encoding="latin1") for file in files)
    tensors: list[Tensor] = []
    for some in (batches[:-1], batches[-1:]):
        images = np.concatenate([batch["data"] for batch in some]).reshape(-1, 3, 32, 32)
        labels = [label for batch in some for label in batch.get("fine_labels", batch.get("labels"))]
        tensors += [torch.from_numpy(images), torch.tensor(labels)]
    return *tensors, tuple(meta.get("fine_label_names", meta.get("label_names")))


def _read_svhn(*files: bytes) -> Contents:
    """MATLAB's arrays (32, 32, 3, N) and labels (N, 1) from 1 to 10, where 10 stands for the digit 0."""
    from scipy.io import loadmat

    tensors: list[Tensor] = []
    for content in map(loadmat, map(io.BytesIO, files)):
        images = np.ascontiguousarray(content["X"].transpose(3, 2, 0, 1))
        tensors += [torch.from_numpy(images), torch.from_numpy(content["y"][:, 0].astype(np.int64) % 10)]
    return *tensors, tuple("0123456789")


def _read_fashion(*files: bytes) -> Contents:
    """IDX: a number of sides, the length of each, then the bytes. Grey is repeated for red, green and blue."""
    tensors: list[Tensor] = []
    for file in files:
        content = gzip.decompress(file)
        sides = np.frombuffer(content, ">i4", content[3], offset=4)
        array = torch.from_numpy(np.frombuffer(content, np.uint8, offset=4 + 4 * len(sides)).reshape(sides).copy())
        tensors.append(array.long() if array.ndim == 1 else array[:, None].repeat(1, 3, 1, 1))
    return *tensors, FASHION


@dataclass(frozen=True, kw_only=True)
class Source:
    """One data set: files, which may come in an archive. Files and archive are given as {name: md5}."""

    name: str
    title: str
    archive: dict[str, str] = field(default_factory=dict)
    folder: str = ""  # in the archive, with the files; "" where there is no archive
    files: dict[str, str]  # in the order in which `read` takes them
    read: Callable[..., Contents]  # of their bytes

    @property
    def landmarks(self) -> list[str]:
        """The names of which any one in a folder tells that the data set, or a part of it, is there."""
        return [self.folder, *self.archive] if self.archive else [*self.files]

    def find(self, root: Path | None) -> Path | None:
        """The first landmark in the first place that has one."""
        there = (place / name for place in places(root) for name in self.landmarks)
        return next(filter(os.path.exists, there), None)  # unlike Path.exists, False where a folder may not be read

    def load(self, root: Path | None, download: bool = False) -> Contents:
        """Find or fetch, verify and read; arguments and errors are those of `load_dataset`."""
        found = self.find(root)
        if found is None and not download:
            raise DataError(
                f"{self.title} ({' or '.join(self.landmarks)}) is in none of {', '.join(map(str, places(root)))}: "
                f"run {self.command(root)}, or name the folder that holds it in AIRBENCH_DATA"
            )
        depth = self.landmarks[0].count("/")
        return self.read(*self.obtain(found.parents[depth] if found else places(root)[0], download))

    def obtain(self, place: Path, download: bool) -> Iterator[bytes]:
        """Each of `files`, verified; what is missing in `place` is fetched.

        Others may write where data lie, so that a file is read once: what is hashed is what is used.
        """
        folder = place / self.folder
        if not (self.folder and os.path.exists(folder)):
            for name, md5 in (self.archive or self.files).items():
                if os.path.exists(place / name):  # one of two files may be: a download was interrupted
                    continue
                if not download:
                    raise DataError(f"{place / name} is missing: run {self.command(place)}")
                downloads.fetch(self.name, place / name, md5)
            for name, md5 in self.archive.items():
                _extract(self._verified(place / name, md5, place, "it"), folder)
        for name, md5 in self.files.items():
            yield self._verified(folder / name, md5, place, folder if self.folder else "it")

    def command(self, root: Path | None) -> str:
        """What downloads the data set into `root`."""
        return f"`airbench data {self.name}{f' --root {shlex.quote(str(root))}' if root else ''}`"

    def _verified(self, path: Path, md5: str, place: Path, delete: str | Path) -> bytes:
        """The file, if it has this md5; else DataError. delete: what stands in the way of another one in `place`."""
        try:
            content = path.read_bytes()
            if hashlib.md5(content, usedforsecurity=False).hexdigest() == md5:
                return content
            fault = "is truncated or altered (md5)"
        except FileNotFoundError:
            fault = "is missing"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        raise DataError(f"{path} {fault}: delete {delete} and run {self.command(place)}")


def _extract(archive: bytes, folder: Path) -> None:
    """Puts the folder of that name out of the archive, whole or not at all."""
    with (
        downloads.disk_errors(folder.parent),
        tempfile.TemporaryDirectory(prefix=".extracting-", dir=folder.parent) as part,
        tarfile.open(fileobj=io.BytesIO(archive)) as tar,
    ):
        tar.extractall(part, filter="data")
        try:
            os.replace(Path(part) / folder.name, folder)
        except OSError:
            if not folder.exists():  # else another process was faster
                raise


CIFAR10 = Source(
    name="cifar10", title="CIFAR-10", read=_read_cifar,
    folder="cifar-10-batches-py", archive={"cifar-10-python.tar.gz": "c58f30108f718f92721af3b95e74349a"},
    files={
        "data_batch_1": "c99cafc152244af753f735de768cd75f", "data_batch_2": "d4bba439e000b95fd0a9bffe97cbabec",
        "data_batch_3": "54ebc095f3ab1f0389bbae665268c751", "data_batch_4": "634d18415352ddfa80567beed471001a",
        "data_batch_5": "482c414d41f54cd18b22e5b47cb7c3cb", "test_batch": "40351d587109b95175f43aff81a1287e",
        "batches.meta": "5ff9c542aee3614f3951f8cda6e48888",
    },
)  # fmt: skip
CIFAR100 = Source(
    name="cifar100", title="CIFAR-100", read=_read_cifar,
    folder="cifar-100-python", archive={"cifar-100-python.tar.gz": "eb9058c3a382ffc7106e4002c42a8d85"},
    files={
        "train": "16019d7e3df5f24257cddd939b257f8d", "test": "f0ef6b0ae62326f3e7ffdfab6717acfc",
        "meta": "7973b15100ade9c7d40fb424638fde48",
    },
)  # fmt: skip
SVHN = Source(
    name="svhn", title="SVHN", read=_read_svhn,
    files={
        "train_32x32.mat": "e26dedcc434d2e4c54c9b2d4a06d8373", "test_32x32.mat": "eb5a983be6a315427106f1b164d9cef3",
    },
)  # fmt: skip
FASHION = ("T-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle boot")
FASHION_MNIST = Source(
    name="fashionmnist", title="FashionMNIST", read=_read_fashion,
    files={  # where torchvision puts them; MNIST's have the same names
        "FashionMNIST/raw/train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
        "FashionMNIST/raw/train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
        "FashionMNIST/raw/t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
        "FashionMNIST/raw/t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
    },
)  # fmt: skip
SOURCES: dict[str, Source] = {source.name: source for source in (CIFAR10, CIFAR100, SVHN, FASHION_MNIST)}


def places(root: Path | None) -> list[Path]:
    """The folders in which a data set is looked for, in their order."""
    named = (root, os.environ.get("AIRBENCH_DATA") or None)
    folders = [_around(Path(os.path.expanduser(place)).absolute()) for place in named if place is not None]
    return list(dict.fromkeys([*folders, cache_folder()]))


def _around(place: Path) -> Path:
    """The folder around `place` where that is a data set's own folder or file, else `place`."""
    inside = {Path(name).parts[0] for source in SOURCES.values() for name in source.landmarks}
    return place.parent if place.name in inside and not any(os.path.exists(place / name) for name in inside) else place
