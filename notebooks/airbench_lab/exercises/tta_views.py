"""Lesson 06: the views of test-time augmentation, and their weights."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.tricks.tta import tta_views
from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.exercises.differences import difference, kind, values

Views = tuple[list[Tensor], Sequence[float]]
NAMES = (  # in the order of `tta_views`
    "the image itself",
    "its mirror",
    "the copy moved down and right",
    "the copy moved up and left",
    "the mirror of the copy moved down and right",
    "the mirror of the copy moved up and left",
)
VIEWS, WEIGHTS = "a list of tensors of one shape", "a tuple of numbers"
USUAL = (0.25, 0.25, 0.125, 0.125, 0.125, 0.125)


def images() -> Tensor:
    """Random pictures (3, 3, 8, 8), in which no pixel is like another."""
    return torch.randn(3, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def _crops(images: Tensor, mode: str = "reflect", by: int = 1) -> list[Tensor]:
    size, padded = images.shape[-1], F.pad(images, (by,) * 4, mode=mode)
    return [padded[:, :, :size, :size], padded[:, :, 2 * by :, 2 * by :]]


def _wrong(
    *,
    moved: Callable[[Tensor], list[Tensor]] = _crops,
    mirror: Callable[[Tensor], Tensor] = lambda view: view.flip(-1),
    both: Sequence[float] = (0.5, 0.5),
    six: Sequence[float] = USUAL,
    order: Sequence[int] = range(6),
    level: Callable[[str], str] = lambda tta: tta,
) -> Callable[[Tensor, str], Views]:
    """`tta_views` with something done otherwise. order: of the views, and how many; the weights keep theirs."""

    def wrong(images: Tensor, tta: str) -> Views:
        tta = level(tta)
        if tta == "none":
            return [images], (1.0,)
        if tta == "mirror":
            return [images, mirror(images)], both
        some = moved(images)
        views = [images, mirror(images), *some, *map(mirror, some)]
        return [views[i] for i in order], six

    return wrong


def _mirror_first(images: Tensor, tta: str) -> Views:
    """The mirrored image is moved; not the moved one mirrored."""
    views, weights = tta_views(images, tta)
    return (views if tta != "mirror+translate" else [*views[:4], *_crops(images.flip(-1))]), weights


def _both_moved_alike(images: Tensor) -> list[Tensor]:
    return [_crops(images)[0]] * 2


def _other_diagonal(images: Tensor) -> list[Tensor]:
    size, padded = images.shape[-1], F.pad(images, (1,) * 4, mode="reflect")
    return [padded[:, :, :size, 2:], padded[:, :, 2:, :size]]


def _sideways(images: Tensor) -> list[Tensor]:
    size, padded = images.shape[-1], F.pad(images, (1,) * 4, mode="reflect")
    return [padded[:, :, 1:-1, :size], padded[:, :, 1:-1, 2:]]


def moved_copies(images: Tensor) -> list[Tensor]:
    """The images moved by a pixel down and right, and up and left; the gap is filled by reflection."""
    return tta_views(images, "mirror+translate")[0][2:4]


def _by_view(function: Callable, images: Tensor, tta: str) -> dict[str, Any]:
    """The weight of each view, whatever the order, which does not matter to a mean."""
    answer = function(images, tta)
    found = values(answer, "views", "weights")
    try:
        views, weights = list(found["views"]), [float(weight) for weight in found["weights"]]
        pixels = _sorted(views)
    except (KeyError, TypeError, ValueError, RuntimeError, AttributeError):
        if found["the answer"] != "2 values":
            return {"the answer": found["the answer"]}
        return {"the answer": found["the answer"], **_kinds(found["weights"])}
    known = zip(NAMES, tta_views(images, tta)[0], strict=False)
    return {
        "the answer": found["the answer"],
        "the weights": WEIGHTS,
        "the views": VIEWS,
        "the number of views": str(len(views)),
        "the number of weights": str(len(weights)),
        "the sum of the weights": sum(weights),
        "the shape of a view": str(tuple(views[0].shape)),
        **{name: _weight(view, views, weights) for name, view in known},
        "all views together": pixels,
        "the images that were given, after the call": images,
    }


def _kinds(weights: Any) -> dict[str, str]:
    """What is wrong with the kind of the weights, or else of the views."""
    try:
        [float(weight) for weight in weights]
    except (TypeError, ValueError):
        return {"the weights": kind(weights), "the views": VIEWS}
    return {"the weights": WEIGHTS, "the views": "something else"}


def _weight(view: Tensor, views: list[Tensor], weights: list[float]) -> str:
    own = [weight for one, weight in zip(views, weights, strict=False) if not difference({"": one}, {"": view})]
    return " and ".join(f"weight {weight:.4g}" for weight in own) or "missing"


def _sorted(views: list[Tensor]) -> Tensor:
    """The views, ordered by what is in them."""
    key = torch.randn(views[0].numel(), generator=torch.Generator().manual_seed(1), dtype=torch.double)
    return torch.stack(sorted(views, key=lambda view: float(key @ view.double().flatten())))


SWAPPED = Mistake(  # in a mean of all views the order does not matter
    lambda images: _crops(images)[::-1],
    "the two copies are in the other order. The window in the upper left corner of the padded picture shows all of it "
    "one pixel further down and right.",
)
MOVED = (
    Mistake(
        lambda images: [images.roll((1, 1), (-2, -1)), images.roll((-1, -1), (-2, -1))],
        "what leaves the picture on one side comes in on the other, as with roll. The gap is filled by reflection: "
        "F.pad(images, (1, 1, 1, 1), mode='reflect').",
    ),
    Mistake(
        lambda images: _crops(images, "constant"),
        "the gap is filled with zeros. Pad with mode='reflect'.",
    ),
    Mistake(
        lambda images: _crops(images, "replicate"),
        "the gap is filled with the outermost pixels. mode='reflect' leaves these out and takes those inside.",
    ),
    Mistake(
        _both_moved_alike,
        "both copies are moved the same way. One goes up and left, the other down and right.",
    ),
    Mistake(
        _sideways,
        "the copies are moved along one side only. They go by one pixel in both directions.",
    ),
    Mistake(
        _other_diagonal,
        "the copies are moved along the other diagonal. Both directions have the same sign, up and left, "
        "or down and right.",
    ),
    Mistake(
        lambda images: _crops(images, by=2),
        "the copies are moved by 2 pixels. One is meant: pad by 1.",
    ),
)
TTA_VIEWS = Exercise(
    name="tta_views",
    part="tta_views",
    reference=tta_views,
    observe=_by_view,
    steps=(
        Exercise(
            name="moved",
            reference=moved_copies,
            observe=lambda function, images: values(function(images), "down and right", "up and left"),
            cases=(Case("two copies: moved down and right, moved up and left", lambda: (images(),)),),
            mistakes=(SWAPPED, *MOVED),
        ),
    ),
    cases=(
        Case("none: the image alone, with weight 1", lambda: (images(), "none"), "none"),
        Case("mirror: the image and its mirror, half and half", lambda: (images(), "mirror"), "mirror"),
        Case(
            "mirror+translate: six views with their weights",
            lambda: (images(), "mirror+translate"),
            "mirror+translate",
        ),
    ),
    mistakes=(
        Mistake(
            _wrong(level=lambda tta: "mirror+translate"),
            "there are six views whatever the level. With tta == 'none' there is one, with 'mirror' there are two.",
        ),
        Mistake(
            _wrong(mirror=lambda view: view.flip(-2)),
            "the mirror turns the picture upside down. Left and right are the last dimension, flip(-1).",
        ),
        Mistake(
            _wrong(mirror=lambda view: view.flip(-1, -2)),
            "the mirror turns the picture by half a turn. Flip the last dimension alone.",
        ),
        Mistake(
            _wrong(both=(1.0, 1.0)),
            "the weights of the two views add up to 2. For a mean they add up to 1, a half each.",
        ),
        Mistake(
            _wrong(six=(1 / 6,) * 6),
            "all six have the same weight. The image and its mirror that were not moved count twice as much, 1/4 each.",
        ),
        Mistake(
            _wrong(six=(0.5, 0.5, 0.25, 0.25, 0.25, 0.25)),
            "the weights of the six views add up to 2. Halve them, so that they add up to 1.",
        ),
        Mistake(
            _wrong(order=(0, 2, 3, 1, 4, 5)),
            "views and weights do not belong together. Image and mirror have 1/4 each, the four moved ones 1/8.",
        ),
        Mistake(
            _wrong(order=(0, 1, 2, 3), six=(0.25,) * 4),
            "the mirrors of the moved copies are missing. There are six views.",
        ),
        *(Mistake(_wrong(moved=mistake.wrong), mistake.hint) for mistake in MOVED),
        Mistake(
            _mirror_first,
            "you move the mirrored image, and this is the other diagonal. Mirror the two moved copies.",
        ),
    ),
)
