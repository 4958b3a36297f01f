"""The built-in data set: 32x32 colour pictures of ten shapes, drawn on the spot, so that everything runs offline.

It stands in for CIFAR-10 in tests and demonstrations; no claim about a training trick is drawn from it.

- One shape a picture, on a cloudy background, among strokes. Mirroring a picture never changes its class.
- The same bytes on every machine: RandomState's stream is frozen, and pixels are computed with operations that
  IEEE 754 rounds exactly (+ - * / sqrt, comparisons), never with sums whose order a library may choose.
"""

import os
import tempfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy import ndarray
from numpy.random import RandomState

VERSION = 1  # of the pictures: raise it when they change, so that no older cache is read
TRAIN, TEST = 20_000, 5_000  # pictures
SIZE = 32  # pixels a side

Field = ndarray  # (n, 1, 32, 32) float32: a number for each pixel of n pictures


def _length(u: Field, v: Field) -> Field:
    return np.sqrt(u * u + v * v)


def _box(u: Field, v: Field, a: float, b: float) -> Field:
    return np.maximum(np.abs(u) - a, np.abs(v) - b)


def _star(u: Field, v: Field) -> Field:
    """Five points; the plane is folded along the axes of symmetry onto half a point."""
    u = np.abs(u)
    for a, b in ((0.80901699, -0.58778525), (-0.80901699, -0.58778525)):
        over = 2 * np.maximum(a * u + b * v, 0)
        u, v = u - a * over, v - b * over
    u, v = np.abs(u), v - 1
    a, b = 0.45 * 0.58778525, 0.45 * 0.80901699 - 1  # from the tip to the inner corner
    along = np.clip((u * a + v * b) / (a * a + b * b), 0, 1)
    return np.copysign(_length(u - a * along, v - b * along), v * a - u * b)


def _heart(u: Field, v: Field) -> Field:
    u, v = 0.65 * np.abs(u), 0.65 * v + 0.55
    lobe = _length(u - 0.25, v - 0.75) - 0.35355339
    along = 0.5 * np.maximum(u + v, 0)
    point = np.minimum(_length(u, v - 1), _length(u - along, v - along))
    return np.where(u + v > 1, lobe, np.copysign(point, u - v)) / np.float32(0.65)


def _patch(u: Field, v: Field) -> Field:
    """A rounded square, the outline of the two patterns."""
    return 0.5 * (_length(u, v) - 0.9 + _box(u, v, 0.8, 0.8))


def _checkers(u: Field, v: Field, period: Field) -> Field:
    a, b = _wave(u, period), _wave(v, period)
    return np.minimum(np.maximum(a, b), np.maximum(-a, -b))


def _wave(u: Field, period: Field) -> Field:
    """Signed distance to the nearest edge of stripes along v."""
    phase = u / period
    return (np.abs(phase - np.floor(phase) - 0.5) - 0.25) * period


Shape = Callable[[Field, Field], Field]  # (u, v) -> signed distance to the edge; all in units of the shape's radius
Pattern = Callable[[Field, Field, Field], Field] | None  # (u, v, period) -> the same, of what is drawn on the shape
SHAPES: dict[str, tuple[Shape, Pattern]] = {
    "disc": (lambda u, v: _length(u, v) - 0.8, None),
    "ring": (lambda u, v: np.abs(_length(u, v) - 0.68) - 0.2, None),
    "square": (lambda u, v: _box(u, v, 0.72, 0.72), None),
    "triangle": (lambda u, v: np.maximum(0.8660254 * np.abs(u) + 0.5 * v, -v) - 0.5, None),
    "star": (_star, None),
    "cross": (lambda u, v: np.minimum(_box(u, v, 0.95, 0.3), _box(u, v, 0.3, 0.95)), None),
    "crescent": (lambda u, v: np.maximum(_length(u, v) - 0.9, 0.75 - _length(u - 0.5, v)), None),
    "heart": (_heart, None),
    "stripes": (_patch, lambda u, v, period: _wave(u, period)),
    "checkers": (_patch, _checkers),
}
CLASSES = tuple(SHAPES)


def draw(n: int, seed: int) -> tuple[ndarray, ndarray]:
    """n pictures (n, 3, 32, 32) uint8 and their labels (n,) int64: classes as equal in number as can be, shuffled."""
    rng = RandomState(seed)
    labels = np.arange(n, dtype=np.int64) % len(CLASSES)
    rng.shuffle(labels)
    images = np.empty((n, 3, SIZE, SIZE), np.uint8)
    for label, (outline, pattern) in enumerate(SHAPES.values()):
        members = np.flatnonzero(labels == label)
        for some in np.array_split(members, max(1, len(members) // 100)):  # small enough for the processor's cache
            images[some] = _pictures(len(some), outline, pattern, rng)
    return images, labels


def _pictures(n: int, outline: Shape, pattern: Pattern, rng: RandomState) -> ndarray:
    def uniform(low: float, high: float, channels: int = 1) -> ndarray:
        return (low + (high - low) * rng.random_sample((n, channels, 1, 1))).astype(np.float32)

    def local(reach: float) -> tuple[Field, Field]:
        """Pixel coordinates about a random point up to `reach` from the centre, turned by a random angle."""
        dx, dy, angle = x - uniform(-reach, reach), y - uniform(-reach, reach), uniform(0, 2 * np.pi)
        cos, sin = (f(angle.astype(np.float64)).astype(np.float32) for f in (np.cos, np.sin))
        return dx * cos + dy * sin, dy * cos - dx * sin

    def stroked(image: ndarray) -> ndarray:
        (u, v), half = local(16), uniform(0, 7)
        distance = _length(u - np.clip(u, -half, half), v) - uniform(0.5, 2)
        return _painted(image, distance, uniform(0, 1) + uniform(-0.3, 0.3, 3))

    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32) - np.float32((SIZE - 1) / 2)  # (32, 32) each
    ground = uniform(0.2, 0.8) + uniform(-0.2, 0.2, 3)
    image = ground + uniform(-0.25, 0.25, 3) * _clouds(n, 3, rng) + uniform(-0.1, 0.1) * _clouds(n, 8, rng)
    image = stroked(stroked(image))

    u, v = local(6)
    radius, stretch = uniform(6.5, 11.5), uniform(0.8, 1.25)
    u, v = u / (radius * stretch), v / radius * stretch
    # Each channel moves to the side on which there is more room, so that the shape stands out of its background.
    step = np.where(ground < 0.5, np.float32(1), np.float32(-1)) * uniform(0.22, 0.7)
    colour = ground + step * uniform(0.4, 1, 3) + uniform(-0.15, 0.15, 3) * u
    if pattern:
        other = ground + step * uniform(-0.5, 0.3, 3)
        colour = _painted(colour, radius * pattern(u, v, uniform(0.5, 0.8)), other)
    image = _painted(image, radius * outline(u, v), colour)
    image = stroked(stroked(image))

    image = image + uniform(0, 1) * (_blurred(image) - image)
    noise = rng.randint(-128, 128, image.shape, np.int8).astype(np.float32) / 128
    image = image + uniform(0, 0.2) * noise
    return (np.clip(image, 0, 1) * 255 + np.float32(0.5)).astype(np.uint8)


def _painted(image: ndarray, distance: Field, colour: ndarray) -> ndarray:
    """`image` (n, 3, 32, 32) with `colour` wherever the signed distance, in pixels, is negative."""
    return image + np.clip(0.5 - distance, 0, 1) * (colour - image)


def _clouds(n: int, cells: int, rng: RandomState) -> Field:
    """Smooth random fields between -1 and 1: interpolated between the corners of cells x cells squares."""
    corners = rng.random_sample((n, 1, cells + 1, cells + 1)).astype(np.float32) * 2 - 1
    place = (np.arange(SIZE) + 0.5) / SIZE * cells
    cell = place.astype(int)
    t = (place - cell).astype(np.float32)
    t = t * t * (3 - 2 * t)
    rows = corners[:, :, cell] * (1 - t)[:, None] + corners[:, :, cell + 1] * t[:, None]
    return rows[..., cell] * (1 - t) + rows[..., cell + 1] * t


def _blurred(image: ndarray) -> ndarray:
    """A binomial blur (1 2 1) along both sides; edges are repeated."""
    for axis in (2, 3):
        before = np.take(image, [0, *range(SIZE - 1)], axis)
        after = np.take(image, [*range(1, SIZE), SIZE - 1], axis)
        image = 0.25 * (before + after) + 0.5 * image
    return image


def load_pictures(folder: Path) -> tuple[ndarray, ndarray, ndarray, ndarray]:
    """Training images (20000, 3, 32, 32) uint8, labels (20000,) int64, and the same of 5,000 test pictures.

    They are kept in `folder`, and drawn anew where the file there is missing or broken.
    """
    path = folder / f"builtin-{VERSION}.npz"
    try:
        with open(path, "rb") as file, np.load(file) as arrays:  # zip: reading an array verifies its checksum
            return tuple(arrays[f"arr_{i}"] for i in range(4))
    except Exception:  # a damaged file can raise almost anything, and the remedy is always the same
        drawn = (*draw(TRAIN, seed=1), *draw(TEST, seed=2))
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".builtin-", dir=folder) as part:
            np.savez(Path(part) / path.name, *drawn)
            os.replace(Path(part) / path.name, path)
    return drawn
