"""What a lower error costs: FLOPs against error."""

from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes

from airbench_core import UsageError
from airbench_core.scales import scale_named
from airbench_lab import published
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.figures.measured import Measured, percent
from airbench_lab.flops import CIFAR10_TEST, CIFAR10_TRAIN, training_flops

LIKE_CIFAR10 = ("cifar10", "cifar100")  # data sets with as many images
FLOPS, ERROR = "TFLOPs of a run", "test error, %"
TICKS = [1, 2, 3, 4, 5, 7, 10, 15, 20, 30, 40, 50, 70, 90]


def flops_against_error(runs: pd.DataFrame) -> Drawing:
    """The paper's figure 3: the error against the FLOPs of a run, both axes logarithmic.

    Of `runs`, a frame of `study.frames`, a point for each recipe, at most six: its mean error, at its own level of TTA,
    with Student's interval, and the FLOPs that `airbench_lab.flops` counts of the recipe, also where parts were
    somebody's own. Beside them the paper's three methods, and the line through them (least squares of the logarithms).
    Raises UsageError for runs of several settings, of a scale that is not one of `SCALES`, of a data set with another
    number of images than CIFAR-10, and for more recipes than one can tell apart.
    """
    measured = Measured(runs)
    if measured.data not in LIKE_CIFAR10:
        raise UsageError(f"FLOPs are counted for {' and '.join(LIKE_CIFAR10)}, and these runs are of {measured.data}")
    groups = measured.groups()
    if len(groups) >= len(STYLES):
        raise UsageError(f"{len(groups)} recipes are too many for one figure: choose {len(STYLES) - 1} at most")
    theirs = [
        {"recipe": name, "source": "[P]", FLOPS: 1000 * of.pflops, ERROR: round(100 - of.accuracy, 2), "n": of.n}
        for name, of in published.METHODS.items()
    ]
    own = [_point(measured, name, runs) for name, runs in groups.items()]
    points = ", ".join(
        f"{row['source']} {row['recipe']} {row[ERROR]:.3g} % at {row[FLOPS]:.3g}" for row in (*theirs, *own)
    )
    alt = f"Mean test error against TFLOPs of a run, published [P] and own ({measured.setting}): {points}."
    with house_style():
        drawing = Drawing(pd.DataFrame([*theirs, *own]).astype({"n": "Int64"}), alt, height=6)
        axes = drawing.subplots()
        _limits(axes, drawing.table)
        _published(axes, [row[FLOPS] for row in theirs], [row[ERROR] for row in theirs])
        for row, style in zip(own, STYLES[1:], strict=False):
            n = f"n={row['n']}" if row["n"] > 1 else "n=1: no interval"
            label = wrapped(f"own: {row['recipe']} ({n})", 3.2)
            interval(axes, row[FLOPS], row["low"], row["high"], style.colour, upright=True)
            axes.plot(row[FLOPS], row[ERROR], **style.point, markersize=6, label=label)
        drawing.legend(loc="outside upper center", ncols=2)
        note = (
            f"Own: {measured.setting}. Lines: 95 % intervals. {published.PAPER}: full scale, with TTA, "
            f"{published.HARDWARE}; its line is fitted to the three points."
        )
        drawing.supxlabel(wrapped(note, 7.8), fontsize=SMALL)
    return drawing


def _point(measured: Measured, name: str, runs: pd.DataFrame) -> dict[str, Any]:
    accuracy = percent(runs["accuracy"])
    scale = scale_named(measured.scale)
    images = scale.train_images or CIFAR10_TRAIN, scale.test_images or CIFAR10_TEST
    return {
        "recipe": name,
        "source": "own",
        FLOPS: training_flops(runs["trained"].iloc[0], *images) / 1e12,
        ERROR: 100 - accuracy.mean,
        "low": 100 - accuracy.high,
        "high": 100 - accuracy.low,
        "n": accuracy.n,
    }


def _limits(axes: Axes, table: pd.DataFrame) -> None:
    errors = table[[ERROR, "low", "high"]].to_numpy()
    errors = errors[errors > 0]  # an interval may end below 0, where a logarithm does not
    axes.set(xscale="log", yscale="log", xlabel=FLOPS, ylabel=ERROR)
    axes.set(xlim=(0.4 * table[FLOPS].min(), 2.5 * table[FLOPS].max()), ylim=(0.8 * errors.min(), 1.25 * errors.max()))
    low, high = axes.get_ylim()
    axes.set_yticks([tick for tick in TICKS if low <= tick <= high])
    axes.set_yticks([], minor=True)
    for axis in axes.xaxis, axes.yaxis:
        axis.set_major_formatter("{x:,g}")
        axis.set_minor_formatter("")
    axes.grid(alpha=0.3)


def _published(axes: Axes, flops: list[float], errors: list[float]) -> None:
    slope, start = np.polyfit(np.log(flops), np.log(errors), 1)
    ends = np.array(axes.get_xlim())
    axes.plot(ends, np.exp(start + slope * np.log(ends)), color=GREY, linewidth=1, linestyle="--", scalex=False)
    axes.plot(flops, errors, **STYLES[0].point, label="published, [P]")
    for name, x, y in zip(published.METHODS, flops, errors, strict=True):
        axes.annotate(name, (x, y), (-9, -5), textcoords="offset points", ha="right", va="top", fontsize=SMALL)
