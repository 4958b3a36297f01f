"""What a handful of runs allow one to say of a mean: intervals, differences, and a test against a target. By scipy.

Student's t at every n: a test accuracy is an average over thousands of images with nearly independent errors (Jordan,
arXiv:2304.01910, section 3.2), so those of repeated runs are close to normal, and for normal values t covers 95 % even
at n = 2. A bootstrap of the mean would be too narrow with few runs: of normal values its nominal 95 % are about 71 % at
n = 3, 84 % at n = 5, 92 % at n = 20 (BCa, 600 simulated studies each). What has no formula, such as epochs to a
target, is bootstrapped with widened quantiles: see `speedup.py`.
"""

import itertools
import math
import statistics
import warnings
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass

from scipy import stats

from airbench_core.errors import UsageError

ALPHA = 0.05  # how often a test may fail by chance alone; intervals cover 1 - ALPHA
FEWEST = 5  # runs for a verdict on a mean

Values = Sequence[float] | Mapping[Hashable, float]  # one value a run; a mapping names the seed of each


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
    values = checked(values)
    low, high = _interval(stats.ttest_1samp, values, 0)
    mean, std = statistics.mean(values), statistics.stdev(values)
    return Mean(n=len(values), mean=mean, std=std, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Difference:
    """By how much the mean of b lies above that of a, with its 95 % interval, `low` to `high`.

    paired: run by run with the same seed; then n_a = n_b is the number of pairs. std: of the
    difference between one run of b and one of a: of the pairs, or of any two.
    """

    n_a: int
    n_b: int
    paired: bool
    difference: float
    std: float
    low: float
    high: float


def difference(a: Values, b: Values) -> Difference:
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
    paired = isinstance(a, Mapping)
    a, b = map(checked, by_seed(a, b) if paired else (a, b))
    if paired:
        std = statistics.stdev(y - x for x, y in zip(a, b, strict=True))
        low, high = _interval(stats.ttest_rel, b, a)
    else:
        std = math.hypot(statistics.stdev(a), statistics.stdev(b))
        low, high = _interval(stats.ttest_ind, b, a, equal_var=False)
    apart = statistics.mean(b) - statistics.mean(a)
    low, high = (low, high) if std else (apart, apart)
    sides = {"n_a": len(a), "n_b": len(b), "paired": paired}
    return Difference(**sides, difference=apart, std=std, low=low, high=high)


def sign_share(pairs: Sequence[float], live: int = 3) -> float:
    """How often the mean of `live` of the differences `pairs`, drawn at random, has the sign that the mean of all has.

    Over all draws without putting back; where there is no effect it is about a half. An interval clear of zero, which
    statistical power asks for, is rarer. Raises UsageError for fewer pairs than are drawn, or one that is not finite.
    """
    pairs = checked(pairs, fewest=live)
    sign = math.copysign(1, statistics.mean(pairs))
    draws = list(itertools.combinations(pairs, live))
    return sum(sign * sum(draw) > 0 for draw in draws) / len(draws)


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
    values = checked(values)
    if not math.isfinite(target):
        raise UsageError(f"target={target} is not legal: a finite number, such as 0.94")
    n, std = len(values), statistics.stdev(values)
    critical = target + float(stats.t.ppf(ALPHA, n - 1)) * std / math.sqrt(n)
    if std:
        p = float(stats.ttest_1samp(values, target, alternative="less").pvalue)
    else:  # runs that are all the same have no error
        p = float(statistics.mean(values) >= target)
    return TargetTest(n=n, target=target, p=p, critical=critical)


def legal_target(target: float) -> float:
    """A mean accuracy to be reached. Raises UsageError if it cannot be one."""
    if not 0 < target < 1:
        raise UsageError(f"target={target:g} is not legal: above 0, below 1, such as 0.94")
    return target


def by_seed(*runs: Mapping[Hashable, float]) -> list[list[float]]:
    """The values of each of `runs`, all in the order of the first one's seeds. Raises UsageError where seeds differ."""
    for one in runs[1:]:
        odd = set(runs[0]) ^ set(one)
        if odd:
            shown = ", ".join(sorted(map(str, odd))[:5])
            raise UsageError(f"runs that are paired by seed need the same seeds: only on one side {shown}")
    return [[one[seed] for seed in runs[0]] for one in runs]


def checked(values: Sequence[float], fewest: int = 2) -> list[float]:
    """The values as plain numbers. Raises UsageError for too few of them, and names the first that is not finite."""
    values = [float(value) for value in values]
    if len(values) < fewest:
        raise UsageError(f"{len(values)} run(s) have no spread: at least {fewest} are needed")
    for index, value in enumerate(values):
        if not math.isfinite(value):
            raise UsageError(f"value {index} is {value}: leave out runs that failed, every other number is finite")
    return values


def _interval(test, *values, **options) -> tuple[float, float]:
    """The confidence interval of one of scipy's t tests, also of values that are all the same."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        low, high = test(*values, **options).confidence_interval(1 - ALPHA)
    return float(low), float(high)
