"""Epochs to a target accuracy, or worth so many of a reference recipe, with their uncertainty.

How a curve is measured, smoothed and interpolated: `curves.py`. Nothing is ever read off beyond its budgets.

Uncertainty: runs are drawn again with replacement within each budget (the same seeds at all budgets where runs are
paired by seed), isotonic regression included. The interval is the expanded percentile interval (Hesterberg, "What
Teachers Should Know About the Bootstrap", The American Statistician 69, 2015): the quantiles lie where, for a mean of n
normal values, Student's t interval ends; plain percentiles would be too narrow for few runs. n is the number of runs at
the budget that has the fewest. Simulated on four budgets (tests/core/study/test_speedup.py), the nominal 95 % are
66 % with 2 runs a budget, 89 % with 3, and 95 to 97 % from 5 on.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from airbench_core.errors import UsageError
from airbench_lab.study.curves import Curve, MeasuredCurve, isotonic
from airbench_lab.study.statistics import ALPHA, Values, by_seed, checked

RESAMPLES = 4_000
ENOUGH = 5  # runs a budget from which on the intervals cover what they are meant to; see above
TOO_NARROW = f"intervals of n below {ENOUGH} are too narrow"


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """How many epochs give a mean accuracy of `accuracy`: `epochs`, with the 95 % interval `low` to `high`.

    Where the accuracy is off the measured curve, `epochs` is None and `reason` says on which side, in a line. An
    interval that leaves the curve is open on that side: `low` is 0, `high` infinite. One that is off the curve as a
    whole goes on from the curve's end, of which alone it is known to be beyond.
    n: runs at the budget that has the fewest, or of the recipe that is looked up on the curve, if these are fewer.
    """

    accuracy: float
    n: int
    epochs: float | None
    low: float
    high: float
    reason: str = ""

    def __str__(self) -> str:
        if self.epochs is None:
            return self.reason
        return f"{self.epochs:.3g} epochs (95 % interval {_interval(self.low, self.high)}, n={self.n})"


def epochs_to_target(curve: Curve, target: float, *, resamples: int = RESAMPLES, seed: int = 0) -> Epochs:
    """The epochs after which the mean accuracy of `curve` reaches `target`; on a level stretch, the first ones.

    Raises UsageError for fewer than two budgets, budgets that are not positive, fewer than two runs at one, values that
    are not finite, and where seeds are named, budgets whose seeds are not the same.
    """
    _check_target(target)
    measured = MeasuredCurve(curve)
    drawn = measured.crossings(measured.resampled(np.random.default_rng(seed), resamples), target)
    return _read(measured, target, drawn, measured.n)


@dataclass(frozen=True, kw_only=True)
class TargetSpeedup:
    """How many times fewer epochs b needs to a target than the baseline a: `ratio`, with `low` to `high`.

    ratio = (epochs of a) / (epochs of b), above 1 where b is faster; fewer = (epochs of a) - (epochs of b). None where
    one of them is. Open intervals as in Epochs: from 0, or for `fewer` from minus infinity, and to infinity. n: runs at
    the budget that has the fewest. paired: both recipes were drawn by the same seeds.
    """

    n: int
    paired: bool
    a: Epochs
    b: Epochs
    ratio: float | None
    low: float
    high: float
    fewer: float | None
    fewer_low: float
    fewer_high: float


def speedup_to_target(a: Curve, b: Curve, target: float, *, resamples: int = RESAMPLES, seed: int = 0) -> TargetSpeedup:
    """How many times fewer epochs than the baseline `a` recipe `b` needs to the accuracy `target`, both being curves.

    A ratio, since epochs multiply: on the scale on which curves are straight, the logarithm, it is a difference, and
    the percentiles of a bootstrap are the same for both. Its interval comes from ratios that are drawn, not from the
    intervals of the two epochs: their ends do not meet by chance together. Where both name the same seeds these are
    drawn for both at once, so that what a seed does to both cancels; else each is drawn by itself.
    A drawn curve that misses the target says only that it takes more epochs than its last budget, or fewer than its
    first. So each draw gives the least and the greatest ratio that it allows, and the interval goes from the lower
    quantile of the least to the upper one of the greatest: wider than if these curves went on, never narrower.
    Raises UsageError as `epochs_to_target`.
    """
    _check_target(target)
    first, second = MeasuredCurve(a), MeasuredCurve(b)
    rng = np.random.default_rng(seed)
    paired = first.seeds is not None and second.seeds is not None and set(first.seeds) == set(second.seeds)
    picked = rng.integers(first.n, size=(resamples, first.n)) if paired else None
    theirs = np.array([second.seeds.index(one) for one in first.seeds])[picked] if paired else None  # in b's order
    drawn_a = first.crossings(first.resampled(rng, resamples, picked), target)
    drawn_b = second.crossings(second.resampled(rng, resamples, theirs), target)
    epochs_a, epochs_b = _read(first, target, drawn_a, first.n), _read(second, target, drawn_b, second.n)
    (least_a, most_a), (least_b, most_b) = _known(first, drawn_a), _known(second, drawn_b)
    n = min(first.n, second.n)
    with np.errstate(divide="ignore"):
        low, high = _quantiles(least_a / most_b, most_a / least_b, n)
    fewer_low, fewer_high = _quantiles(least_a - most_b, most_a - least_b, n)
    known = epochs_a.epochs is not None and epochs_b.epochs is not None
    return TargetSpeedup(
        n=n,
        paired=paired,
        a=epochs_a,
        b=epochs_b,
        ratio=epochs_a.epochs / epochs_b.epochs if known else None,
        low=low,
        high=high,
        fewer=epochs_a.epochs - epochs_b.epochs if known else None,
        fewer_low=fewer_low,
        fewer_high=fewer_high,
    )


def equivalent_epochs(runs: Values, reference: Curve | None, *, resamples: int = RESAMPLES, seed: int = 0) -> Epochs:
    """How many epochs of the reference recipe give the mean accuracy of `runs`, the inverse of its curve.

    Where `runs` name their seeds, those of the reference must be the same, and are drawn together. With a single run
    the answer is about that run's recipe all the same: its accuracy is taken to vary as those of the reference do
    around the means of their budgets. Without a curve (None, or empty) `epochs` is None with that reason.
    Raises UsageError for no run, a value that is not finite, and as `epochs_to_target`.
    """
    if not len(runs):
        raise UsageError("no run succeeded: there is no accuracy to look up")
    paired = isinstance(runs, Mapping)
    given = checked(list(runs.values()) if paired else runs, fewest=1)
    if not reference:
        reason = "no curve of the reference recipe is recorded for this"
        return Epochs(accuracy=float(np.mean(given)), n=len(runs), epochs=None, low=0.0, high=math.inf, reason=reason)
    measured = MeasuredCurve(reference)
    values = np.array(by_seed(dict.fromkeys(measured.seeds or ()), runs)[1] if paired else given)
    accuracy = float(values.mean())
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(values), size=(resamples, len(values)))
    means = measured.resampled(rng, resamples, picked if paired else None)
    drawn = values[picked].mean(1) if len(values) > 1 else accuracy + rng.choice(measured.residuals, size=resamples)
    return _read(measured, accuracy, measured.crossings(means, drawn), min(len(values), measured.n))


def _read(curve: MeasuredCurve, accuracy: float, drawn: NDArray, n: int) -> Epochs:
    """The epochs for `accuracy`, with the interval of what was `drawn`."""
    means = np.array([[runs.mean() for runs in curve.runs]])
    epochs = float(curve.crossings(means, accuracy)[0])
    low, high = _quantiles(*_known(curve, drawn), n if n > 1 else curve.n)  # a single run's spread is the curve's
    reason = ""
    if not 0 < epochs < math.inf:
        side, end, word = ("more", -1, "highest") if epochs else ("fewer", 0, "lowest")
        reason = (
            f"{side} than {curve.budgets[end]:g} epochs: {accuracy:.4f} is beyond the {word} mean measured, "
            f"{isotonic(means, curve.weights)[0, end]:.4f} (n={curve.weights[end]})"
        )
    return Epochs(accuracy=accuracy, n=n, epochs=None if reason else epochs, low=low, high=high, reason=reason)


def _quantiles(least: NDArray, most: NDArray, n: int) -> tuple[float, float]:
    """The lower one of `least` and the upper one of `most`, as far out as `n` runs demand."""
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(1 - ALPHA / 2, n - 1))
    outside = math.floor(tail * len(least))
    return float(np.sort(least)[outside]), float(np.sort(most)[-1 - outside])


def _known(curve: MeasuredCurve, drawn: NDArray) -> tuple[NDArray, NDArray]:
    """The fewest and the most epochs that each of `drawn` allows: off the curve only its end is known."""
    return np.where(np.isinf(drawn), curve.budgets[-1], drawn), np.where(drawn == 0, curve.budgets[0], drawn)


def _check_target(target: float) -> None:
    if not math.isfinite(target):
        raise UsageError(f"target={target} is not legal: a finite number, such as 0.94")


def _interval(low: float, high: float) -> str:
    if math.isinf(high):
        return f"above {low:.3g}, not bounded by what was measured" if low else "not bounded by what was measured"
    return f"{low:.3g} to {high:.3g}" if low else f"below {high:.3g}, not bounded by what was measured"
