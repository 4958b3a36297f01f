"""Alternating flip: the other side of every image, every other epoch. For images in memory, and for any DataLoader.

data = AlternatingFlip(ImageFolder("train", transform))  # transform: without a flip of its own
loader = DataLoader(data, batch_size=256, shuffle=True, num_workers=8, persistent_workers=True)
for epoch in range(16):
    data.set_epoch(epoch)
    for images, labels in loader: ...

Source: Jordan, arXiv:2404.00498, section 3.6.
"""

from collections.abc import Callable, Sequence
from functools import cache
from hashlib import sha256
from mmap import mmap
from multiprocessing.context import get_spawning_popen
from numbers import Integral
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset, IterableDataset

from airbench_core.errors import DataError, UsageError


def flip_mask(flip: str, epoch: int, first: Tensor, generator: torch.Generator) -> Tensor:
    """Which images are mirrored in `epoch` (counted from 0): bool (N,).

    `first` (N,) is a fair coin tossed for each image before training. "random" tosses anew from
    `generator` in every epoch; "alternating" takes `first` and then its opposite in turn, so
    that any two epochs in a row show both sides of every image.
    """
    if flip == "none":
        return torch.zeros_like(first)
    if flip == "random":
        return coin(len(first), generator)
    return first if epoch % 2 == 0 else ~first


def coin(n: int, generator: torch.Generator) -> Tensor:
    """n fair tosses: bool (n,) on the generator's device."""
    return torch.rand(n, generator=generator, device=generator.device, dtype=torch.float32) < 0.5


class AlternatingFlip(Dataset):
    """A map-style data set whose pictures are mirrored left to right in every other epoch.

    A fair coin for each image says whether it is mirrored in the even epochs; in the odd ones it is the other way
    round. The coin is a hash of (seed, index), so it depends on no random state, number of workers or of images.

    dataset: has `__len__` and `__getitem__`. Its own transforms come first; leave a random flip out of them. A sample
        is a picture, or a tuple, list or dict with one, nested or not. Mirrored is what torchvision.transforms.v2 would
        mirror: PIL images and tv_tensors (images, videos, masks, boxes, key points), all of them together; or, where
        there is none of PIL.Image, tv_tensors.Image and Video, the first plain tensor, (..., C, H, W). A sample with
        none of these may hold its picture as a numpy array (H, W, C), C at most 4. The rest of the sample stays as it
        is: wrap a mask that is to turn with its image in tv_tensors.Mask. The data set's attributes, such
        as classes and targets, can be read here.
    seed: any integer; the same in all processes of a distributed training.

    `set_epoch` must be called before each epoch. To read a sample before its first call is an error: who forgets the
    call would otherwise train on still pictures and never know.

    Validation images are not to be mirrored: split first, and wrap the training part. Pickles and deep copies have an
    epoch of their own; a DataLoader's workers share their parent's.

    Raises UsageError if `dataset` is not map-style, `seed` no integer or, when read, no epoch is set; DataError if
    there is no picture in a sample.
    """

    def __init__(self, dataset: Any, seed: int = 0):
        needed = hasattr(dataset, "__getitem__") and hasattr(dataset, "__len__")
        if not needed or isinstance(dataset, IterableDataset):  # which inherits a __getitem__ that only raises
            none = f"{type(dataset).__name__} is none: without an index it cannot tell which image was seen before"
            raise UsageError(f"AlternatingFlip needs a data set with __getitem__ and __len__, and {none}")
        if not isinstance(seed, Integral):
            raise UsageError(f"AlternatingFlip: seed={seed!r} is not legal: an integer")
        self.dataset, self.seed = dataset, int(seed)
        # A worker that is already running must see the epoch change: persistent workers keep the copy of this object
        # that they got when they started, by fork or by pickle. -1: not set yet. A second number comes with the first
        # worker that is spawned, which needs memory with a name.
        self._epochs = [_forkable(-1)]

    def set_epoch(self, epoch: int) -> None:
        """Turn to `epoch`, 0 or more. Call it before the loader's iterator of each epoch is made, in every process."""
        if not isinstance(epoch, Integral) or epoch < 0:
            raise UsageError(f"AlternatingFlip: epoch={epoch!r} is not legal: an integer, 0 or more")
        for shared in self._epochs:
            shared.fill_(epoch)

    @property
    def epoch(self) -> int:
        """What `set_epoch` was given last; UsageError if it was never called."""
        if (epoch := int(self._epochs[0])) < 0:
            raise UsageError("AlternatingFlip: no epoch is set: call set_epoch(epoch) before each epoch, from 0 on")
        return epoch

    def mirrored(self, indices: int | Sequence[int] | Tensor) -> Tensor:
        """Which images are mirrored in the current epoch: bool, in the shape and on the device of `indices`.

        For batches that are mirrored elsewhere, on a GPU say, AlternatingFlip(range(number_of_images)) will do.
        Raises IndexError for an index outside the data set.
        """
        indices = torch.as_tensor(indices)
        mirrored = [self._is_mirrored(index) for index in indices.flatten().tolist()]
        return torch.tensor(mirrored, dtype=torch.bool, device=indices.device).reshape(indices.shape)

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, index: int) -> Any:
        mirrored = self._is_mirrored(index)
        sample = self.dataset[range(len(self))[index]]
        return _mirror()(sample) if mirrored else sample

    def __getattr__(self, name: str) -> Any:
        # Not `__getitems__`, by which a DataLoader would get past the flip, nor what a half-made copy is asked for.
        if name.startswith("_") or name == "dataset":
            raise AttributeError(f"AlternatingFlip has no attribute {name!r}")
        return getattr(self.dataset, name)

    def __getstate__(self) -> dict[str, Any]:
        if get_spawning_popen() is None:  # a copy, with an epoch of its own
            return self.__dict__ | {"_epochs": int(self._epochs[0])}
        if len(self._epochs) == 1:
            self._epochs.append(self._epochs[0].clone().share_memory_())
        return self.__dict__ | {"_epochs": self._epochs[1:]}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if isinstance(self._epochs, int):
            self._epochs = [_forkable(self._epochs)]

    def _is_mirrored(self, index: int) -> bool:
        """One bit of a cryptographic hash: of seed + index, say, one seed's coins would be another's, moved along."""
        position = range(len(self))[index]  # counted from the front: an image has one coin, however it is asked for
        coin = sha256(f"{self.seed} {position}".encode()).digest()[0] & 1
        return coin != self.epoch % 2


def _forkable(value: int) -> Tensor:
    """A number in memory that forked processes share; without a name, so it needs no file, descriptor or /dev/shm."""
    return torch.frombuffer(mmap(-1, 8), dtype=torch.int64).fill_(value)


@cache
def _mirror() -> Callable[[Any], Any]:
    """v2.RandomHorizontalFlip(p=1), but without its toss, which would shift the random numbers of all that follows.

    Made when it is first needed: torchvision's transforms take almost as long to import as torch.
    """
    import numpy as np
    import PIL.Image
    from torch.utils._pytree import tree_flatten, tree_unflatten
    from torchvision import tv_tensors
    from torchvision.transforms import v2

    def is_picture(part: Any) -> bool:
        if isinstance(part, PIL.Image.Image | tv_tensors.Image | tv_tensors.Video):
            return True
        return isinstance(part, Tensor) and not isinstance(part, tv_tensors.TVTensor) and part.ndim >= 3

    class Mirror(v2.Transform):
        def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
            """`flat_inputs` is what will be mirrored: with no picture in it nothing would be, silently."""
            if any(map(is_picture, flat_inputs)):
                return {}
            found = ", ".join(f"{type(part).__name__} {tuple(part.shape)}" for part in flat_inputs) or "no tensor"
            raise DataError(
                f"AlternatingFlip: a sample without a picture to mirror (found: {found}): give it as a PIL image, as "
                "tv_tensors.Image, as a numpy array (H, W, C), or as the sample's first plain tensor, (C, H, W)"
            )

        def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
            return v2.functional.horizontal_flip(inpt)

    mirror = Mirror()

    def mirrored(sample: Any) -> Any:
        parts, spec = tree_flatten(sample)
        arrays = [i for i, part in enumerate(parts) if isinstance(part, np.ndarray) and part.ndim == 3]
        arrays = [i for i in arrays if parts[i].shape[2] <= 4]
        if not arrays or any(map(is_picture, parts)):
            return mirror(sample)
        i, picture = arrays[0], parts[arrays[0]]
        parts[i] = tv_tensors.Image(torch.empty(1, 1, 1))  # v2 knows no numpy: in its place, so that the rest turns too
        parts, _ = tree_flatten(mirror(tree_unflatten(parts, spec)))
        parts[i] = np.ascontiguousarray(picture[:, ::-1])  # torch takes no negative strides
        return tree_unflatten(parts, spec)

    return mirrored
