"""What a handful of runs allow one to say: intervals, and a test against a target. Student's t throughout."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from airbench_core.errors import UsageError

ALPHA = 0.05  # how often a test may fail by chance alone


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of n values and its 95 % confidence interval, `low` to `high`."""

    n: int
    mean: float
    std: float  # of the values, with n - 1
    low: float
    high: float


def mean_interval(values: Sequence[float]) -> Mean:
    """The mean of `values` with its interval. Raises UsageError for fewer than two values."""
    n, mean, std = _described(values)
    half = float(student.ppf(0.975, n - 1)) * std / math.sqrt(n)
    return Mean(n=n, mean=mean, std=std, low=mean - half, high=mean + half)


@dataclass(frozen=True, kw_only=True)
class TargetTest:
    """A one-sided test of "the mean is at least `target`".

    p: how probable so low a mean, or a lower one, is if the true one is just `target`. It failed if p < ALPHA.
    critical: with the spread that was measured, a mean below this one would have failed.
    """

    target: float
    p: float
    critical: float

    @property
    def failed(self) -> bool:
        return self.p < ALPHA


def against_target(values: Sequence[float], target: float) -> TargetTest:
    """Whether `values` speak against a mean of at least `target`. Raises UsageError for fewer than two values."""
    n, mean, std = _described(values)
    error = std / math.sqrt(n)
    t = (mean - target) / error if error else math.copysign(math.inf, mean - target)  # runs that are all the same
    critical = target + float(student.ppf(ALPHA, n - 1)) * error
    return TargetTest(target=target, p=float(student.cdf(t, n - 1)), critical=critical)


def _described(values: Sequence[float]) -> tuple[int, float, float]:
    if len(values) < 2:
        raise UsageError(f"{len(values)} run(s) have no spread: at least 2 are needed")
    return len(values), statistics.mean(values), statistics.stdev(values)
