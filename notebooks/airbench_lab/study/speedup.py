"""Epochs to a target accuracy, or worth so many of a reference recipe, with their uncertainty.

A curve holds, for each budget of epochs (a training of that length, its schedule included, not a point within a longer
one), the accuracies of its runs. Between budgets accuracy is linear in the logarithm of the epochs, after isotonic
regression of the means (weighted by the number of runs): more epochs are assumed not to hurt, errors fall about like a
power of the epochs, and the unit, epochs or steps, does not matter. Nothing is read off beyond the budgets.

Uncertainty: runs are drawn again with replacement within each budget (the same seeds at all budgets where runs are
paired by seed), isotonic regression included. The interval is the expanded percentile interval (Hesterberg, "What
Teachers Should Know About the Bootstrap", The American Statistician 69, 2015): the quantiles lie where, for a mean of n
normal values, Student's t interval ends; plain percentiles would be too narrow for few runs. n is the number of runs at
the budget that has the fewest. Simulated on four budgets (tests/lab/study/test_speedup.py), the nominal 95 % are
66 % with 2 runs a budget, 89 % with 3, and 95 to 97 % from 5 on.
"""

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from airbench_core.errors import UsageError
from airbench_lab.study.statistics import ALPHA, Values, by_seed, checked

Curve = Mapping[float, Sequence[float]] | Mapping[float, Mapping[Hashable, float]]  # budget -> its runs, or seed -> run

RESAMPLES = 4_000
ENOUGH = 5  # runs a budget from which on the intervals cover what they are meant to; see above
TOO_NARROW = f"with n below {ENOUGH} intervals of epochs and speedups are too narrow"
ROUNDING = 1e-12  # relative: a target that is just the lowest or highest mean is met by it, however it was summed


@dataclass(frozen=True, kw_only=True)
class Epochs:
    """How many epochs give a mean accuracy of `accuracy`: `epochs`, with the 95 % interval `low` to `high`.

    Where the accuracy is off the measured curve, `epochs` is None and `reason` says on which side, in a line. An
    interval that leaves the curve is open on that side: `low` is 0, `high` infinite, and so is that of a single run.
    One that is off the curve as a whole goes on from the curve's end, of which alone it is known to be beyond.
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
        interval = f"{self.low:.3g} to {self.high:.3g}"
        if self.low == 0 or math.isinf(self.high):
            known = [f"above {self.low:.3g}"] * (self.low > 0) + [f"below {self.high:.3g}"] * math.isfinite(self.high)
            interval = ", ".join([*known, "not bounded by what was measured"])
        return f"{self.epochs:.3g} epochs (95 % interval {interval}, n={self.n})"


@dataclass(frozen=True, kw_only=True)
class TargetSpeedup:
    """How many times fewer epochs b needs to a target than the baseline a: `ratio`, with `low` to `high`.

    ratio = (epochs of a) / (epochs of b), above 1 where b is faster; None where one of them is. Open intervals as in
    Epochs. n: runs at the budget that has the fewest. paired: both recipes were drawn by the same seeds.
    """

    n: int
    paired: bool
    a: Epochs
    b: Epochs
    ratio: float | None
    low: float
    high: float


def curve_of(budgets: Mapping[float, Mapping[int, float]]) -> Curve:
    """The budgets, of accuracies by seed, that have two runs and more; seeds are named, so that runs are paired, where
    all of these budgets have the same ones."""
    some = {epochs: dict(runs) for epochs, runs in sorted(budgets.items()) if len(runs) > 1}
    alike = len({frozenset(runs) for runs in some.values()}) == 1
    return some if alike else {epochs: list(runs.values()) for epochs, runs in some.items()}


def epochs_to_target(curve: Curve, target: float, *, resamples: int = RESAMPLES, seed: int = 0) -> Epochs:
    """The epochs after which the mean accuracy of `curve` reaches `target`; on a level stretch, the first ones.

    Raises UsageError for fewer than two budgets, budgets that are not positive, fewer than two runs at one, values that
    are not finite, and where seeds are named, budgets whose seeds are not the same.
    """
    measured = _Measured(curve)
    drawn = measured.crossings(measured.resampled(np.random.default_rng(seed), resamples), _finite(target))
    return measured.read(target, drawn, measured.n)


def speedup_to_target(a: Curve, b: Curve, target: float, *, resamples: int = RESAMPLES, seed: int = 0) -> TargetSpeedup:
    """How many times fewer epochs than the baseline `a` recipe `b` needs to the accuracy `target`, both being curves.

    Its interval comes from ratios that are drawn, not from the intervals of the two epochs: their ends do not meet by
    chance together. Where both name the same seeds these are drawn for both at once, so that what a seed does to both
    cancels; else each is drawn by itself.
    A drawn curve that misses the target says only that it takes more epochs than its last budget, or fewer than its
    first. So each draw gives the least and the greatest ratio that it allows, and the interval goes from the lower
    quantile of the least to the upper one of the greatest: wider than if these curves went on, never narrower.
    Raises UsageError as `epochs_to_target`.
    """
    first, second = _Measured(a), _Measured(b)
    rng = np.random.default_rng(seed)
    paired = first.seeds is not None and second.seeds is not None and set(first.seeds) == set(second.seeds)
    picked = rng.integers(first.n, size=(resamples, first.n)) if paired else None
    theirs = np.array([second.seeds.index(one) for one in first.seeds])[picked] if paired else None  # in b's order
    drawn_a = first.crossings(first.resampled(rng, resamples, picked), _finite(target))
    drawn_b = second.crossings(second.resampled(rng, resamples, theirs), target)
    epochs_a, epochs_b = first.read(target, drawn_a, first.n), second.read(target, drawn_b, second.n)
    (least_a, most_a), (least_b, most_b) = first.known(drawn_a), second.known(drawn_b)
    n, known = min(first.n, second.n), epochs_a.epochs is not None and epochs_b.epochs is not None
    with np.errstate(divide="ignore"):
        low, high = _quantiles(least_a / most_b, most_a / least_b, n)
    return TargetSpeedup(
        n=n,
        paired=paired,
        a=epochs_a,
        b=epochs_b,
        ratio=epochs_a.epochs / epochs_b.epochs if known else None,
        low=low,
        high=high,
    )


def equivalent_epochs(runs: Values, reference: Curve | None, *, resamples: int = RESAMPLES, seed: int = 0) -> Epochs:
    """How many epochs of the reference recipe give the mean accuracy of `runs`, the inverse of its curve.

    Where `runs` name their seeds, those of the reference must be the same, and are drawn together. Without a curve
    (None, or empty) `epochs` is None with that reason.
    Raises UsageError for no run, a value that is not finite, and as `epochs_to_target`.
    """
    if not len(runs):
        raise UsageError("no run succeeded: there is no accuracy to look up")
    paired = isinstance(runs, Mapping)
    values = checked(list(runs.values()) if paired else runs, fewest=1)
    if not reference:
        reason = "no curve of the reference recipe is recorded for this"
        return Epochs(accuracy=float(np.mean(values)), n=len(runs), epochs=None, low=0.0, high=math.inf, reason=reason)
    measured = _Measured(reference)
    values = np.array(by_seed(dict.fromkeys(measured.seeds or ()), runs)[1] if paired else values)
    rng = np.random.default_rng(seed)
    picked = rng.integers(len(values), size=(resamples, len(values)))
    means = measured.resampled(rng, resamples, picked if paired else None)
    drawn = measured.crossings(means, values[picked].mean(1))
    return measured.read(float(values.mean()), drawn, min(len(values), measured.n))


class _Measured:
    """A curve that has been checked, its budgets in order. Raises UsageError as `epochs_to_target`."""

    def __init__(self, curve: Curve):
        if len(curve) < 2:
            raise UsageError(f"{len(curve)} budget(s) of epochs make no curve: at least 2 are needed")
        for budget, runs in curve.items():
            if not (math.isfinite(budget) and budget > 0 and len(runs) > 1):
                raise UsageError(f"a budget of {budget:g} epochs, {len(runs)} run(s): above 0, and 2 runs are needed")
            checked(list(runs.values()) if isinstance(runs, Mapping) else runs)
        order = sorted(curve)
        self.budgets = np.array(order, float)
        paired = [isinstance(curve[budget], Mapping) for budget in order]
        if any(paired) != all(paired):
            raise UsageError("seeds are named at some budgets only: name them at all, or at none")
        self.seeds = list(curve[order[0]]) if all(paired) else None
        columns = by_seed(*(curve[budget] for budget in order)) if all(paired) else [curve[budget] for budget in order]
        self.runs = [np.asarray(column, float) for column in columns]
        self.weights = np.array([len(column) for column in self.runs])
        self.n = int(self.weights.min())

    def resampled(self, rng: np.random.Generator, resamples: int, picked: NDArray | None = None) -> NDArray:
        """Means of runs that are drawn again, (resamples, budgets); `picked`: which runs, where they are paired."""
        if self.seeds is not None and picked is None:
            picked = rng.integers(self.n, size=(resamples, self.n))
        draws = (
            runs[rng.integers(len(runs), size=(resamples, len(runs))) if picked is None else picked]
            for runs in self.runs
        )
        return np.stack([drawn.mean(1) for drawn in draws], axis=1)

    def crossings(self, means: NDArray, targets: NDArray | float) -> NDArray:
        """Where the curve through each row of `means` reaches its target: epochs, 0 below the curve, infinite above."""
        levels = isotonic(means, self.weights)
        targets = np.broadcast_to(np.asarray(targets, float)[..., None], (len(levels), 1))
        reached = levels >= targets - ROUNDING * np.abs(targets)
        after = reached.argmax(1)  # the first budget that reaches it; 0 also where none does
        before = np.maximum(after - 1, 0)
        rows, logs = np.arange(len(levels)), np.log(self.budgets)
        start, end = levels[rows, before], levels[rows, after]
        share = np.where(end > start, (targets[:, 0] - start) / np.where(end > start, end - start, 1), 0)
        between = np.exp(logs[before] + np.clip(share, 0, 1) * (logs[after] - logs[before]))
        below = levels[:, 0] > targets[:, 0] + ROUNDING * np.abs(targets[:, 0])
        return np.where(reached.any(1), np.where(below, 0.0, between), math.inf)

    def known(self, drawn: NDArray) -> tuple[NDArray, NDArray]:
        """The fewest and the most epochs that each of `drawn` allows: off the curve only its end is known."""
        return np.where(np.isinf(drawn), self.budgets[-1], drawn), np.where(drawn == 0, self.budgets[0], drawn)

    def read(self, accuracy: float, drawn: NDArray, n: int) -> Epochs:
        """The epochs for `accuracy`, with the interval of what was `drawn`."""
        means = np.array([[runs.mean() for runs in self.runs]])
        epochs = float(self.crossings(means, accuracy)[0])
        low, high = _quantiles(*self.known(drawn), n) if n > 1 else (0.0, math.inf)
        reason = ""
        if not 0 < epochs < math.inf:
            side, end, word = ("more", -1, "above the highest") if epochs else ("fewer", 0, "below the lowest")
            reason = (
                f"{side} than {self.budgets[end]:g} epochs: {100 * accuracy:.2f} % is {word} mean measured, "
                f"{100 * isotonic(means, self.weights)[0, end]:.2f} % (n={self.weights[end]})"
            )
        return Epochs(accuracy=accuracy, n=n, epochs=None if reason else epochs, low=low, high=high, reason=reason)


def isotonic(means: NDArray, weights: NDArray) -> NDArray:
    """Each row of `means` (R, B) as the non-decreasing one that is nearest in weighted least squares; scipy's takes one
    row at a time.

    By the max-min formula, max over j <= i of min over k >= i of the weighted mean from j to k (Barlow et al.,
    Statistical Inference under Order Restrictions, 1972).
    """
    fitted = np.full(means.shape, -math.inf)
    for j in range(means.shape[1]):
        running = np.cumsum(means[:, j:] * weights[j:], axis=1) / np.cumsum(weights[j:])  # means from j to k
        least = np.minimum.accumulate(running[:, ::-1], axis=1)[:, ::-1]  # over all k from i on
        np.maximum(fitted[:, j:], least, out=fitted[:, j:])
    return fitted


def _quantiles(least: NDArray, most: NDArray, n: int) -> tuple[float, float]:
    """The lower one of `least` and the upper one of `most`, as far out as `n` runs demand."""
    tail = stats.norm.cdf(-math.sqrt(n / (n - 1)) * stats.t.ppf(1 - ALPHA / 2, n - 1))
    outside = math.floor(tail * len(least))
    return float(np.sort(least)[outside]), float(np.sort(most)[-1 - outside])


def _finite(target: float) -> float:
    if not math.isfinite(target):
        raise UsageError(f"target={target} is not legal: a finite number, such as 0.94")
    return target
