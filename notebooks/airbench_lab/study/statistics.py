"""What a handful of runs allow one to say of a mean: intervals, differences, and a test against a target.

Which interval is used when:

- A mean or a difference of means: Student's t (`mean_interval`, `difference`), at every n. A test accuracy is an
  average over thousands of images with nearly independent errors (Jordan, arXiv:2304.01910, section 3.2), so those of
  repeated runs are close to normal, and for normal values t covers 95 % even at n = 2.
- A bootstrap of the mean (`bootstrap_interval`) is for values that are not close to normal, such as seconds with
  outliers, and from about 20 runs on. With few runs it is too narrow: of normal values its nominal 95 % are about
  71 % at n = 3, 84 % at n = 5, 89 % at n = 10, 92 % at n = 20 (tests/core/study/test_statistics.py simulates it).
- A variance: chi-square (`variance_interval`), which needs values that are close to normal more than a mean does.
- What has no formula, such as epochs to a target, is bootstrapped with widened quantiles: see `speedup.py`.
"""

import math
import statistics
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from airbench_core.errors import UsageError

ALPHA = 0.05  # how often a test may fail by chance alone; intervals cover 1 - ALPHA

Runs = Sequence[float] | Mapping[Hashable, float]  # one value a run; a mapping names the seed of each


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of n values and its 95 % confidence interval, `low` to `high`."""

    n: int
    mean: float
    std: float  # of the values, with n - 1
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Mean:
    """The mean of `values` with Student's interval.

    Raises UsageError for fewer than two values, or one not finite.
    """
    n, mean, std = _described(values)
    half = _t(n - 1) * std / math.sqrt(n)
    return Mean(n=n, mean=mean, std=std, low=mean - half, high=mean + half)


def bootstrap_interval(values: Sequence[float], *, resamples: int = 9_999, seed: int = 0) -> Mean:
    """The mean of `values` with a bootstrap interval. Raises UsageError for fewer than two values, or one not finite.

    BCa rather than plain percentiles: it corrects for skewness, the reason to prefer a bootstrap to t in the first
    place (Efron and Tibshirani, An Introduction to the Bootstrap, 1993, chapter 14). `seed` fixes the resamples, so
    that a table reads the same each time. The docstring of this module says from which n on this is to be trusted.
    """
    n, mean, std = _described(values)
    if not std:  # BCa divides by the spread of the resamples
        return Mean(n=n, mean=mean, std=std, low=mean, high=mean)
    drawn = stats.bootstrap(
        (np.asarray(values, float),),
        np.mean,
        confidence_level=1 - ALPHA,
        n_resamples=resamples,
        method="BCa",
        rng=np.random.default_rng(seed),
    )
    low, high = drawn.confidence_interval
    return Mean(n=n, mean=mean, std=std, low=float(low), high=float(high))


def variance_interval(variance: float, n: int) -> tuple[float, float]:
    """The 95 % confidence interval of a variance that was estimated from n normal values, with n - 1; by chi-square.

    Raises UsageError for fewer than two values.
    """
    if n < 2:
        raise UsageError(f"{n} run(s) have no spread: at least 2 are needed")
    low, high = (n - 1) * variance / stats.chi2.ppf([1 - ALPHA / 2, ALPHA / 2], n - 1)
    return float(low), float(high)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much the mean of b lies above that of a, with its 95 % confidence interval, `low` to `high`.

    paired: run by run with the same seed; then n_a = n_b is the number of pairs. std: of the difference between one run
    of b and one of a: of the pairs, or of any two.
    """

    n_a: int
    n_b: int
    paired: bool
    difference: float
    std: float
    low: float
    high: float


def difference(a: Runs, b: Runs) -> Difference:
    """The mean of `b` minus the mean of the baseline `a`.

    Two mappings from seed to value are compared in pairs, by Student's t of the differences:
    what a seed does to both cancels. Two sequences are taken as independent, with Welch's t
    (Welch, Biometrika 34, 1947), which assumes no equal variances. Raises UsageError for a
    missing or empty side, fewer than two values, one that is not finite, a mapping beside a
    sequence, and seeds that are not the same.
    """
    if a is None or not len(a):
        raise UsageError("the baseline has no runs: there is nothing to compare with")
    if isinstance(a, Mapping) != isinstance(b, Mapping):
        raise UsageError("seeds are named on one side only: name them on both, or on neither")
    if isinstance(a, Mapping):
        pairs = [y - x for x, y in zip(*by_seed(a, b), strict=True)]
        paired = mean_interval(pairs)
        return Difference(
            n_a=paired.n,
            n_b=paired.n,
            paired=True,
            difference=paired.mean,
            std=paired.std,
            low=paired.low,
            high=paired.high,
        )
    (n_a, mean_a, std_a), (n_b, mean_b, std_b) = _described(a), _described(b)
    part_a, part_b = std_a**2 / n_a, std_b**2 / n_b
    half = 0.0
    if part_a + part_b:
        freedom = (part_a + part_b) ** 2 / (part_a**2 / (n_a - 1) + part_b**2 / (n_b - 1))
        half = _t(freedom) * math.sqrt(part_a + part_b)
    apart = mean_b - mean_a
    return Difference(
        n_a=n_a,
        n_b=n_b,
        paired=False,
        difference=apart,
        std=math.hypot(std_a, std_b),
        low=apart - half,
        high=apart + half,
    )


@dataclass(frozen=True, kw_only=True)
class TargetTest:
    """A one-sided test of "the mean is at least `target`".

    p: how probable so low a mean, or a lower one, is if the true one is just `target`. It failed if p < ALPHA.
    critical: with the spread that was measured, a mean below this one would have failed.
    """

    n: int
    target: float
    p: float
    critical: float

    @property
    def failed(self) -> bool:
        return self.p < ALPHA


def against_target(values: Sequence[float], target: float) -> TargetTest:
    """Whether `values` speak against a mean of at least `target`.

    Raises UsageError for fewer than two values, or one that is not finite.
    """
    n, mean, std = _described(values)
    if not math.isfinite(target):
        raise UsageError(f"target={target} is not legal: a finite number, such as 0.94")
    error = std / math.sqrt(n)
    # Runs that are all the same have no error.
    t = (mean - target) / error if error else math.copysign(math.inf, mean - target)
    critical = target + float(stats.t.ppf(ALPHA, n - 1)) * error
    return TargetTest(n=n, target=target, p=float(stats.t.cdf(t, n - 1)), critical=critical)


def by_seed(*runs: Mapping[Hashable, float]) -> list[list[float]]:
    """The values of each of `runs`, all in the order of the first one's seeds. Raises UsageError where seeds differ."""
    for one in runs[1:]:
        odd = set(runs[0]) ^ set(one)
        if odd:
            shown = ", ".join(sorted(map(str, odd))[:5])
            raise UsageError(f"runs that are paired by seed need the same seeds: only on one side {shown}")
    return [[one[seed] for seed in runs[0]] for one in runs]


def check_finite(values: Sequence[float]) -> None:
    """Raises UsageError that names the first of `values` that is not a finite number."""
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise UsageError(f"value {index} is {value}: leave out runs that failed, every other number is finite")


def _described(values: Sequence[float]) -> tuple[int, float, float]:
    if len(values) < 2:
        raise UsageError(f"{len(values)} run(s) have no spread: at least 2 are needed")
    check_finite(values)
    values = [float(value) for value in values]  # of arrays too, so that results hold plain numbers
    return len(values), statistics.mean(values), statistics.stdev(values)


def _t(freedom: float) -> float:
    return float(stats.t.ppf(1 - ALPHA / 2, freedom))
