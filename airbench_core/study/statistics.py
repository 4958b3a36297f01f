"""What a handful of runs allow one to say: intervals, and a test against a target. Student's t throughout."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from scipy.stats import t as student

from airbench_core.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Mean:
    """The mean of n values and its 95 % confidence interval, `low` to `high`."""

    n: int
    mean: float
    std: float  # of the values, with n - 1
    low: float
    high: float


def mean_interval(values: Sequence[float], level: float = 0.95) -> Mean:
    """The mean of `values` with its interval at `level`. Raises UsageError for fewer than two values."""
    n, mean, std = _described(values)
    half = float(student.ppf((1 + level) / 2, n - 1)) * std / math.sqrt(n)
    return Mean(n=n, mean=mean, std=std, low=mean - half, high=mean + half)


@dataclass(frozen=True, kw_only=True)
class TargetTest:
    """A one-sided test of "the mean is at least `target`".

    p: how probable so low a mean, or a lower one, is if the true one is just `target`. `failed`: p is below `level`.
    noticed: a mean below this one would have failed, with the spread that was measured.
    """

    target: float
    p: float
    level: float
    noticed: float

    @property
    def failed(self) -> bool:
        return self.p < self.level


def against_target(values: Sequence[float], target: float, level: float = 0.05) -> TargetTest:
    """Whether `values` speak against a mean of at least `target`. Raises UsageError for fewer than two values."""
    n, mean, std = _described(values)
    error = std / math.sqrt(n)
    away = (mean - target) / error if error else math.copysign(math.inf, mean - target)  # runs that are all the same
    noticed = target + float(student.ppf(level, n - 1)) * error
    return TargetTest(target=target, p=float(student.cdf(away, n - 1)), level=level, noticed=noticed)


def _described(values: Sequence[float]) -> tuple[int, float, float]:
    if len(values) < 2:
        raise UsageError(f"{len(values)} run(s) have no spread: at least 2 are needed")
    return len(values), statistics.fmean(values), statistics.stdev(values)
