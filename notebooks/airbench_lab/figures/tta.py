"""Test-time augmentation on plain arrays: its views, what each says, pictures whose class changes with the level."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_core.tricks.tta import TTA_WEIGHTS, tta_views
from airbench_lab.figures.drawing import GREY, NORMAL, SMALL, STYLES, Drawing, house_style, show_picture, wrapped
from airbench_lab.figures.pictures import picture_row

COLUMNS, ROWS = 6, 2  # of pictures, at most
MARKS = {True: "✓", False: "✗"}
# As `tta_views` orders them: the first copy shows what lies one pixel up and left of each pixel.
MOVED = "moved 1 px down and right", "moved 1 px up and left"
VIEWS = ("the image", "mirrored", *MOVED, *(f"{moved}, mirrored" for moved in MOVED))


def views(image: ArrayLike, tta: str = "mirror+translate") -> Drawing:
    """The views of one image that a level of test-time augmentation shows the network, with their weights.

    image: (3, H, W), uint8 or in 0..1. Raises UsageError for another shape, or a level that there is not.
    """
    if tta not in TTA_WEIGHTS:
        raise UsageError(f"tta={tta} is not legal: {' or '.join(TTA_WEIGHTS)}")
    pixels = np.asarray(image)
    if pixels.ndim != 3 or len(pixels) != 3:
        raise UsageError(f"an image of shape {pixels.shape} is not legal: (3, height, width)")
    scaled = pixels / 255 if pixels.dtype == np.uint8 else pixels
    pictures, weights = tta_views(torch.tensor(scaled, dtype=torch.float32)[None], tta)
    table = pd.DataFrame({"view": range(1, len(pictures) + 1), "what": VIEWS[: len(pictures)], "weight": weights})
    described = "; ".join(f"{what}, weight {weight:g}" for what, weight in zip(table["what"], weights, strict=True))
    alt = f"The views of an image under test-time augmentation: {described}."
    shown = [view[0].numpy() for view in pictures]
    return picture_row(shown, table["what"], table, alt, [f"weight {weight:g}" for weight in weights])


def changed_predictions(
    images: ArrayLike, labels: ArrayLike, predictions: Mapping[str, ArrayLike], classes: Sequence[str]
) -> Drawing:
    """Pictures with the class that they are given at each level of test-time augmentation; the first twelve are drawn.

    images: (N, 3, H, W), uint8 or in 0..1. labels: (N,). predictions: by level, (N,). Raises UsageError where the
    numbers of images, labels and predictions differ, or there are no images.
    """
    pixels, truth = np.asarray(images), np.asarray(labels)
    given = {level: np.asarray(some) for level, some in predictions.items()}
    if not len(pixels) or any(len(some) != len(pixels) for some in (truth, *given.values())) or pixels.ndim != 4:
        raise UsageError("changed predictions need images (1 or more, 3, H, W), and a label and predictions of each")
    shown = min(len(pixels), COLUMNS * ROWS)
    scaled = pixels / 255 if pixels.dtype == np.uint8 else pixels
    table = pd.DataFrame(
        {"picture": range(1, shown + 1), "label": [classes[i] for i in truth[:shown]]}
        | {level: [classes[i] for i in some[:shown]] for level, some in given.items()}
    )
    rows = -(-shown // COLUMNS)
    right = ", ".join(f"{level} {int((some[:shown] == truth[:shown]).sum())}" for level, some in given.items())
    with house_style():
        drawing = Drawing(
            table,
            f"{shown} pictures whose class changes. Right of them at each level: {right}.",
            height=0.5 + 2.0 * rows,
        )
        grid = drawing.subplots(rows, COLUMNS, squeeze=False).flat
        for i, axes in zip(range(shown), grid, strict=False):
            show_picture(axes, scaled[i])
            axes.set_title(classes[truth[i]], fontsize=SMALL, fontweight="bold")
            lines = [f"{classes[some[i]]} {MARKS[bool(some[i] == truth[i])]}" for some in given.values()]
            axes.set_xlabel("\n".join(lines), fontsize=SMALL)
        for axes in list(grid):
            axes.set_axis_off()
        drawing.suptitle(f"above: what it is; below, line by line: {', '.join(given)}", fontsize=NORMAL)
    return drawing


def votes(views: ArrayLike, logits: ArrayLike, weights: Sequence[float], classes: Sequence[str], label: int) -> Drawing:
    """What the network says of each view of a picture, and what the weighted means of their logits say.

    views: (6, 3, H, W), in 0..1. logits: (6, classes), in the order of `airbench_core.evaluation.tta_views`. weights:
    of the views. Shares are the softmax of logits; the bars are those of the three likeliest classes. Raises UsageError
    for other shapes.
    """
    pixels, scores, parts = np.asarray(views, float), np.asarray(logits, float), np.asarray(weights, float)
    if pixels.ndim != 4 or scores.shape != (len(VIEWS), len(classes)) or not len(pixels) == len(parts) == len(VIEWS):
        raise UsageError(f"votes need {len(VIEWS)} views, with logits of each for {len(classes)} classes, and weights")
    levels = {"none": scores[0], "mirror": scores[:2].mean(0), "mirror+translate": np.einsum("vc,v->c", scores, parts)}
    each = [_softmax(some) for some in scores]
    means = {level: _softmax(some) for level, some in levels.items()}
    rows = [
        {"of": what, "weight": weight, "class": classes[share.argmax()], "share": float(share.max())}
        for what, weight, share in zip(VIEWS, parts, each, strict=True)
    ] + [
        {"of": f"level {level}", "weight": 1.0, "class": classes[share.argmax()], "share": float(share.max())}
        for level, share in means.items()
    ]
    best = np.argsort(-np.max(list(means.values()), axis=0))[:3]
    said = ", ".join(f"{row['of']}: {row['class']} {row['share']:.0%}" for row in rows)
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), f"A {classes[label]}. {said}.", height=4.4)
        top, bottom = drawing.subfigures(2, 1, height_ratios=(1, 1))
        for axes, picture, what, row in zip(top.subplots(1, len(VIEWS)), pixels, VIEWS, rows, strict=False):
            show_picture(axes, picture)
            axes.set_title(wrapped(what, 1.2), fontsize=SMALL)
            axes.set_xlabel(f"{row['class']} {row['share']:.0%}\nweight {row['weight']:g}", fontsize=SMALL)
        axes = bottom.subplots()
        for i, ((level, share), style) in enumerate(zip(means.items(), STYLES[1:], strict=False)):
            at = np.arange(3) + 0.26 * (i - 1)
            axes.barh(at, 100 * share[best], height=0.22, color=style.colour, label=level)
            for y, value in zip(at, share[best], strict=True):
                axes.text(100 * value + 1, y, f"{value:.0%}", va="center", fontsize=SMALL, color=GREY)
        axes.set_yticks(range(3), [f"{classes[i]} {'(right)' if i == label else ''}" for i in best])
        axes.set(xlim=(0, 108), ylim=(2.5, -0.5), xlabel="share of the class at each level, %")
        axes.legend(loc="lower right")
    return drawing


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max())
    return powers / powers.sum()
