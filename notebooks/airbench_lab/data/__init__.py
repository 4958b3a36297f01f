"""Data sets: found, fetched, verified or drawn. A training needs none of it: it takes a `Dataset`."""

import os
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from airbench_core import Dataset

DATASETS = ("cifar10", "cifar100", "svhn", "fashionmnist", "builtin")  # their names


def load_dataset(
    name: "str | Dataset" = "auto", root: str | Path | None = None, *, download: bool = False
) -> "Dataset":
    """Finds, verifies and reads a data set; the images stay on the CPU.

    name: "cifar10"; "cifar100", with its 100 fine classes; "svhn", the digits of house numbers, without the extra
        ones; "fashionmnist", 28 x 28 pixels; "builtin", procedurally drawn pictures that need no download (see
        builtin.py); or "auto", which takes CIFAR-10 if it is on disk, else the built-in pictures, and says which on
        stderr: as a warning where `root` or AIRBENCH_DATA is set and holds none. Or a folder of
        pictures, as for `Dataset.of`. A `Dataset` is itself.
    root: the first folder to look in (see the top of sources.py).
    download: whether what is in none of the folders is fetched into the first of them.

    Raises UsageError for an unknown name, and DataError, one line with the file and the remedy, when the data set
    is missing, incomplete or altered.
    """
    import torch  # not above: `airbench --help` has no seconds for it

    from airbench_core.cache import cache_folder
    from airbench_core.dataset import Dataset, pixel_statistics
    from airbench_core.errors import AirbenchWarning, UsageError
    from airbench_lab.data import builtin
    from airbench_lab.data.sources import CIFAR10, SOURCES, places

    if isinstance(name, Dataset):
        return name
    root = None if root is None else Path(root)
    if name == "auto":
        found = CIFAR10.find(root)
        missing = f"no CIFAR-10 in {', '.join(map(str, places(root)))} (to get it: {CIFAR10.command(root)})"
        drawn = f"the built-in pictures, from which nothing about a trick follows; {missing}"
        data = load_dataset("cifar10" if found else "builtin", root)
        if not found and (root or os.environ.get("AIRBENCH_DATA")):  # somebody said where it is
            warnings.warn(f"data: {drawn}", AirbenchWarning, stacklevel=2)
        else:
            print("data:", f"CIFAR-10 from {found}" if found else drawn, file=sys.stderr)
        return data
    if name not in DATASETS:
        if os.path.isdir(name):
            return Dataset.of(name)
        raise UsageError(f"unknown data set {name!r}: it is one of {', '.join(['auto', *DATASETS])}, or a folder")
    if name == "builtin":
        drawn = builtin.load_pictures(cache_folder())
        tensors, classes = [torch.from_numpy(array) for array in drawn], builtin.CLASSES
    else:
        *tensors, classes = SOURCES[name].load(root, download)
    return Dataset(name, *tensors, classes, *pixel_statistics(tensors[0]), mirror_changes_class=name == "svhn")
