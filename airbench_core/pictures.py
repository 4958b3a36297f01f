"""Pictures of one's own, of any kind and size, as uint8 tensors of one size."""

import os
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airbench_core.errors import DataError, UsageError

# What Pillow reads everywhere. Telephones' HEIC is not among it.
SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".pgm", ".png", ".ppm", ".tif", ".tiff", ".webp")
MODES = {"1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV"}  # of 8 bits a colour at most
TESTS = ("test", "val", "valid", "validation")  # what the folder of the test pictures beside train is called


def squares(pictures: Iterable[Any], n: int, size: int) -> Tensor:
    """`n` pictures as uint8 (n, 3, size, size): of each the square in its middle, resized; grey is repeated.

    A picture: the path of a file, a PIL image, or uint8: a numpy array (H, W) or (H, W, C), a tensor (C, H, W).
    That they were resized is said in one line on stderr. Raises DataError for a file, UsageError for another thing that
    is no such picture.
    """
    from PIL import Image, ImageOps

    result, sizes = torch.empty((n, 3, size, size), dtype=torch.uint8), Counter()
    for row, picture in zip(result, pictures, strict=True):
        image, found = _opened(picture, size)
        sizes[found] += 1
        if image.mode not in MODES:  # more bits, which would be clipped, or what Pillow cannot convert
            what = picture if isinstance(picture, str | os.PathLike) else "a picture"
            raise DataError(f"{what} is of Pillow's mode {image.mode}: save it as JPEG or PNG with 8 bits a colour")
        image = ImageOps.fit(image.convert("RGB"), (size, size), Image.Resampling.BICUBIC)
        row.copy_(torch.from_numpy(np.array(image)).permute(2, 0, 1))
    if sizes.keys() - {(size, size)}:
        (width, height), _ = sizes.most_common(1)[0]
        others = " and other sizes" * (len(sizes) > 1)
        which = f"{n:,} picture(s) of {width} x {height} pixels{others}"
        print(f"data: {which}: the square in the middle, resized to {size} x {size}", file=sys.stderr)
    return result


def _opened(picture: Any, size: int) -> tuple[Any, tuple[int, int]]:
    """As a PIL image, the right way up; and its width and height as it was found."""
    from PIL import Image, ImageOps

    if isinstance(picture, str | os.PathLike):
        if os.path.exists(picture) and not os.path.isfile(picture):  # to read a pipe or a device may take for ever
            raise DataError(f"{picture} is not a file, so no picture")
        try:
            with Image.open(picture) as image:
                found = image.size
                image.draft("RGB", (4 * size, 4 * size))  # a JPEG need not be decoded at its full size
                upright = ImageOps.exif_transpose(image)
        except Exception as error:  # a damaged file can raise almost anything
            reason = getattr(error, "strerror", None) or "damaged, huge or of another kind: save it as JPEG or PNG"
            raise DataError(f"{picture} cannot be read as a picture: {reason}") from error
        return upright, found
    if isinstance(picture, Image.Image):
        return ImageOps.exif_transpose(picture), picture.size
    if isinstance(picture, Tensor) and picture.ndim == 3:
        picture = picture.permute(1, 2, 0).cpu()
    array = np.asarray(picture)
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    grey_or_colour = array.ndim == 2 or (array.ndim == 3 and array.shape[2] == 3)
    if array.dtype != np.uint8 or not array.size or not grey_or_colour:
        wanted = "a file, a PIL image or uint8 of 1 or 3 channels, (H, W, C) in numpy and (C, H, W) in torch"
        found = f"{type(picture).__name__} of {array.dtype}, shape {array.shape}"
        raise UsageError(f"a picture is {wanted}, not {found}: leave out ToTensor and the like")
    image = Image.fromarray(array)
    return image, image.size


Labelled = tuple[Tensor, Tensor, tuple[str, ...]]  # images (N, 3, size, size) uint8, labels (N,) int64, the classes


def labelled(data: Any, size: int, classes: Sequence[str] | None = None) -> Labelled:
    """Of a folder that holds one with pictures for each class, or of a map-style data set of (picture, label).

    classes: those of the training part, so that a class has one number in both. Raises DataError where a folder has no
    classes, no pictures or others, UsageError where labels are no numbers.
    """
    if not isinstance(data, str | os.PathLike):
        if not (hasattr(data, "__len__") and hasattr(data, "__getitem__")):
            kind = type(data).__name__
            raise UsageError(f"{kind} is neither a folder nor a data set of (picture, number of its class)")
        labels: list[int] = []

        def each() -> Iterator[Any]:
            for i in range(len(data)):
                try:
                    picture, label = data[i]
                    labels.append(int(label))
                except (TypeError, ValueError, OSError) as error:
                    raise UsageError(f"sample {i} is no (picture, number of its class): {error}") from error
                yield picture

        images = squares(each(), len(data), size)
        own = getattr(data, "classes", None)
        names = own if own is not None and len(own) else classes or range(max(labels, default=-1) + 1)
        names = tuple(map(str, names))
        if classes and names != classes:  # a number would not mean the same class in both
            raise UsageError(f"test pictures of {', '.join(names)}, but training pictures of {', '.join(classes)}")
        return _mixed(images, torch.tensor(labels, dtype=torch.int64), names)
    from torchvision.datasets.folder import make_dataset  # here, since it is slow to import

    folder = Path(data)
    try:
        names = [name for name in sorted(os.listdir(folder)) if (folder / name).is_dir() and name[0] != "."]
    except OSError as error:
        raise DataError(f"cannot read {folder}: {error.strerror}") from error
    if not names:
        raise DataError(f"{folder} has no folders: one with pictures for each class is needed")
    if classes is not None and (strangers := sorted({*names} - {*classes})):
        raise DataError(f"{folder}: there are no training pictures of {', '.join(strangers)}")
    known = {name: i for i, name in enumerate(classes or names)}
    pairs = make_dataset(folder, known, SUFFIXES, allow_empty=True)
    pairs = [(path, label) for path, label in pairs if "/." not in Path(path).relative_to(folder).as_posix()]
    if classes is None and (empty := [name for name in names if known[name] not in {label for _, label in pairs}]):
        raise DataError(f"{folder}: no pictures ({', '.join(SUFFIXES)}) of {', '.join(empty)}")
    labels = torch.tensor([label for _, label in pairs], dtype=torch.int64)
    return _mixed(squares((path for path, _ in pairs), len(pairs), size), labels, tuple(known))


def _mixed(images: Tensor, labels: Tensor, classes: tuple[str, ...]) -> Labelled:
    """In an order drawn by seed 0 where classes come in rows, as in folders: scales keep the first pictures."""
    alike, shares = (labels.diff() == 0).double().mean(), labels.unique(return_counts=True)[1] / len(labels)
    if (labels.diff() >= 0).all() or alike > (1 + shares.square().sum()) / 2:  # far more neighbours than by chance
        order = torch.randperm(len(labels), generator=torch.Generator().manual_seed(0), device="cpu")
        images, labels = images[order], labels[order]
    return images, labels, classes


def parts_of(folder: str | os.PathLike) -> tuple[Path, Path | None]:
    """The folders of the training pictures and, if there is one, of the test pictures."""
    whole = Path(folder)
    if not (whole / "train").is_dir():
        return whole, None
    return whole / "train", next((whole / name for name in TESTS if (whole / name).is_dir()), None)
