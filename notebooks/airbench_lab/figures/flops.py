"""What a lower error costs: FLOPs against error."""

import re
from collections.abc import Sequence
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
LIMITS = ["low", "high"]  # of an error
FLOPS_TICKS = [a * 10**b for b in range(-3, 6) for a in (1, 2, 5)]
ERROR_TICKS = [1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 35, 40, 45, 50, 60, 70, 80, 90]


def flops_against_error(runs: pd.DataFrame) -> Drawing:
    """The paper's figure 3, and beside it the same of own runs: error against the FLOPs of a run, all axes logarithmic.

    Left: the paper's three methods, and the line through them (least squares of the logarithms). Right, of `runs`, a
    frame of `study.frames`: a point for each recipe, with its mean error at its own level of TTA, Student's interval,
    and the FLOPs that `airbench_lab.flops` counts of the recipe, also where parts were somebody's own. Recipes that
    differ in their epochs alone are one series, joined by a line; at most six series. Both sides span as many powers
    of ten, so that slopes can be compared; the points cannot: they are different experiments.
    Raises UsageError for runs of several settings, of a scale that is not one of `SCALES`, of a data set with another
    number of images than CIFAR-10, and for more series than one can tell apart.
    """
    measured = Measured(runs)
    if measured.data not in LIKE_CIFAR10:
        raise UsageError(f"FLOPs are counted for {' and '.join(LIKE_CIFAR10)}, and these runs are of {measured.data}")
    own = pd.DataFrame(_point(measured, name, of) for name, of in measured.groups().items())
    families = own.groupby("family", sort=False)
    if len(families) >= len(STYLES):
        raise UsageError(f"{len(families)} recipes are too many for one figure: choose {len(STYLES) - 1} at most")
    theirs = pd.DataFrame(
        {"recipe": name, "source": "[P]", FLOPS: 1000 * of.pflops, ERROR: round(100 - of.accuracy, 2), "n": of.n}
        for name, of in published.METHODS.items()
    )
    table = pd.concat([theirs, own.drop(columns="family")]).astype({"n": "Int64"})
    points = ", ".join(
        f"{row['source']} {row['recipe']} {row[ERROR]:.3g} % at {row[FLOPS]:.3g}" for row in table.to_dict("records")
    )
    alt = f"Mean test error against TFLOPs of a run, published [P] and own ({measured.setting}): {points}."
    with house_style():
        drawing = Drawing(table, alt, height=5)
        left, right = drawing.subplots(1, 2)
        spans = [(_ends(theirs[[FLOPS]]), _ends(theirs[[ERROR]])), (_ends(own[[FLOPS]]), _ends(own[[ERROR, *LIMITS]]))]
        widest = [max(high / low for low, high in axis) for axis in zip(*spans, strict=True)]
        for axes, ends in (left, spans[0]), (right, spans[1]):
            _limits(axes, *(_as_wide(*one, wide) for one, wide in zip(ends, widest, strict=True)))
        left.set(title="Published, full scale", ylabel=ERROR)
        right.set(title=f"Own, scale {measured.scale}")
        _published(left, theirs[FLOPS], theirs[ERROR])
        for (family, of), style in zip(families, STYLES[1:], strict=False):
            of = of.sort_values(FLOPS)
            for row in of.to_dict("records"):
                interval(right, row[FLOPS], row["low"], row["high"], style.colour, upright=True)
            right.plot(of[FLOPS], of[ERROR], **style.line, markersize=6, label=f"{family} ({_n(of['n'])})")
        drawing.legend(loc="outside upper center", ncols=3)
        note = (
            f"Own: {measured.setting}; 95 % intervals. {published.PAPER}: with TTA, {published.HARDWARE}; dashed: "
            "fitted to the three points."
        )
        drawing.supxlabel(wrapped(note, 7.8), fontsize=SMALL)
    return drawing


def _point(measured: Measured, name: str, runs: pd.DataFrame) -> dict[str, Any]:
    accuracy = percent(runs["accuracy"])
    scale = scale_named(measured.scale)
    images = scale.train_images or CIFAR10_TRAIN, scale.test_images or CIFAR10_TEST
    return {
        "family": re.sub(r" epochs=[^\s,]+", "", name),
        "recipe": name,
        "source": "own",
        FLOPS: training_flops(runs["trained"].iloc[0], *images) / 1e12,
        ERROR: 100 - accuracy.mean,
        "low": 100 - accuracy.high,
        "high": 100 - accuracy.low,
        "n": accuracy.n,
    }


def _n(counts: pd.Series) -> str:
    least, most = counts.min(), counts.max()
    return "n=1: no interval" if most == 1 else f"n={least}" if least == most else f"n={least} to {most}"


def _ends(values: pd.DataFrame) -> tuple[float, float]:
    positive = values.to_numpy(float)
    positive = positive[positive > 0]  # an interval may end below 0, where a logarithm does not
    return positive.min(), positive.max()


def _as_wide(low: float, high: float, wide: float) -> tuple[float, float]:
    """Ends of a logarithmic axis in whose middle low to high lies, and that spans a little more than `wide`."""
    middle, half = (low * high) ** 0.5, 1.2 * wide**0.5
    return middle / half, middle * half


def _limits(axes: Axes, x: tuple[float, float], y: tuple[float, float]) -> None:
    axes.set(xscale="log", yscale="log", xlim=x, ylim=y, xlabel=FLOPS)
    for axis, ticks, (low, high) in (axes.xaxis, FLOPS_TICKS, x), (axes.yaxis, ERROR_TICKS, y):
        shown = [tick for tick in ticks if low <= tick <= high]
        axis.set_ticks(shown[:: 1 + len(shown) // 9])
        axis.set_ticks([], minor=True)
        axis.set_major_formatter("{x:,g}")
    axes.grid(alpha=0.3)


def _published(axes: Axes, flops: Sequence[float], errors: Sequence[float]) -> None:
    slope, start = np.polyfit(np.log(flops), np.log(errors), 1)
    ends = np.array([min(flops), max(flops)])  # no farther: nothing is known there
    axes.plot(ends, np.exp(start + slope * np.log(ends)), color=GREY, linewidth=1, linestyle="--")
    axes.plot(flops, errors, **STYLES[0].point, label="[P]")
    for name, x, y in zip(published.METHODS, flops, errors, strict=True):
        where = (
            {"xytext": (9, 4), "ha": "left"} if x == min(flops) else {"xytext": (-9, -5), "ha": "right", "va": "top"}
        )
        axes.annotate(name, (x, y), textcoords="offset points", fontsize=SMALL, **where)
