"""Lesson 09: the difference of two recipes, paired by seed, with its interval."""

import math
import statistics
from collections.abc import Callable, Mapping

from scipy import stats

from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.exercises.differences import values
from airbench_lab.study.statistics import difference

Runs = Mapping[int, float]

BASE = {0: 72.3, 1: 72.1, 2: 71.6, 3: 71.3, 4: 70.3}
OTHER = {3: 68.2, 0: 69.4, 4: 68.1, 2: 68.9, 1: 70.0}  # the same seeds, in another order
THREE = {0: 70.2, 1: 69.5, 2: 70.6}, {0: 70.6, 1: 70.1, 2: 70.5}
TWO = {7: 81.0, 8: 82.0}, {7: 80.0, 8: 80.5}


def differences(a: Runs, b: Runs) -> list[float]:
    """b minus a for each seed, in the order of a."""
    return [b[seed] - a[seed] for seed in a]


def standard_error(differences: list[float]) -> float:
    """Of their mean."""
    return statistics.stdev(differences) / math.sqrt(len(differences))


def paired_difference(a: Runs, b: Runs) -> tuple[float, float, float]:
    """The mean of `b` minus that of `a`, paired by seed, and its 95 % interval: (mean, low, high)."""
    found = difference(a, b)
    return found.difference, found.low, found.high


def _variant(*, pairs=differences, error=standard_error, times=lambda n: float(stats.t.ppf(0.975, n - 1))):
    """`paired_difference` with something done otherwise."""

    def wrong(a: Runs, b: Runs) -> tuple[float, float, float]:
        found = pairs(a, b)
        mean, half = statistics.mean(found), times(len(found)) * error(found)
        return mean, mean - half, mean + half

    return wrong


def _unpaired(a: Runs, b: Runs) -> tuple[float, float, float]:
    found = difference(list(a.values()), list(b.values()))
    return found.difference, found.low, found.high


def _pooled(a: Runs, b: Runs) -> tuple[float, float, float]:
    """The two-sample t test of textbooks: equal variances, n_a + n_b - 2 degrees of freedom."""
    n, apart = len(a), statistics.mean(b.values()) - statistics.mean(a.values())
    variance = (statistics.variance(a.values()) + statistics.variance(b.values())) / 2
    half = float(stats.t.ppf(0.975, 2 * n - 2)) * math.sqrt(2 * variance / n)
    return apart, apart - half, apart + half


def _in_order(*order: int) -> Callable:
    return lambda a, b: tuple(paired_difference(a, b)[i] for i in order)


def _half_width(a: Runs, b: Runs) -> tuple[float, float, float]:
    mean, low, high = paired_difference(a, b)
    return mean, (high - low) / 2, (high - low) / 2


PAIRS = (  # each with the differences that it takes
    Mistake(
        lambda a, b: [a[seed] - b[seed] for seed in a],
        "the sign is the wrong way round. What changes is b, so take b minus a.",
    ),
    Mistake(
        lambda a, b: [y - x for x, y in zip(a.values(), b.values(), strict=True)],
        "you paired the values in the order in which they stand. b may list its seeds in another order: look each one "
        "up, b[seed] - a[seed].",
    ),
)
ERRORS = (  # each with the standard error that it takes
    Mistake(
        lambda differences: statistics.pstdev(differences) / math.sqrt(len(differences)),
        "the standard deviation was taken with n. Of a sample it is taken with n - 1, as statistics.stdev or numpy's "
        "std(ddof=1) do.",
    ),
    Mistake(
        statistics.stdev,
        "this is the spread of single differences. A mean of n is steadier: divide the standard deviation by sqrt(n).",
    ),
    Mistake(
        lambda differences: statistics.variance(differences) / math.sqrt(len(differences)),
        "the variance is divided. Take its root, the standard deviation: statistics.stdev.",
    ),
    Mistake(
        lambda differences: statistics.stdev(differences) / len(differences),
        "the standard deviation is divided by n. The standard error is std / sqrt(n).",
    ),
)
PAIRED_DIFFERENCE = Exercise(
    name="paired_difference",
    reference=paired_difference,
    observe=lambda function, a, b: values(function(a, b), "the mean", "the low end", "the high end"),
    steps=(
        Exercise(
            name="differences",
            reference=differences,
            cases=(
                Case("b minus a for three seeds", lambda: THREE),
                Case("for five, which stand in another order in b", lambda: (BASE, OTHER)),
            ),
            mistakes=PAIRS,
        ),
        Exercise(
            name="error",
            reference=standard_error,
            cases=(
                Case("the standard error of three differences", lambda: ([0.4, 0.6, -0.1],)),
                Case("of two", lambda: ([-1.0, -1.5],)),
            ),
            mistakes=ERRORS,
        ),
    ),
    cases=(
        Case("the difference of three pairs", lambda: THREE),
        Case("of five pairs, whose seeds stand in another order on each side", lambda: (BASE, OTHER)),
        Case("of two pairs, which is as few as have an interval", lambda: TWO),
    ),
    mistakes=(
        *(Mistake(_variant(pairs=mistake.wrong), mistake.hint) for mistake in PAIRS),
        *(Mistake(_variant(error=mistake.wrong), mistake.hint) for mistake in ERRORS),
        Mistake(
            _unpaired,
            "this is the interval of two independent groups (Welch). Take the difference of each seed first: what a "
            "seed does to both sides then cancels.",
        ),
        Mistake(
            _pooled,
            "this is the two-sample t test. The runs come in pairs: take the difference of each seed first, then treat "
            "those n differences as one sample.",
        ),
        Mistake(
            _variant(times=lambda n: 1.96),
            "1.96 is for a standard deviation that is known. With few runs it is estimated from them, and Student's t "
            "takes its place: stats.t.ppf(0.975, n - 1).",
        ),
        Mistake(
            _variant(error=ERRORS[0].wrong, times=lambda n: 1.96),
            "two things make this interval too narrow: 1.96 where Student's t belongs, and a standard deviation with n "
            "instead of n - 1.",
        ),
        Mistake(
            _variant(times=lambda n: 1.0),
            "this is the mean plus and minus one standard error. Multiply it by Student's t for 95 %.",
        ),
        Mistake(
            _variant(times=lambda n: float(stats.t.ppf(0.95, n - 1))),
            "the quantile 0.95 leaves 5 % on each side. For 95 % in the middle take 0.975.",
        ),
        Mistake(
            _variant(times=lambda n: float(stats.t.ppf(0.975, n))),
            "one degree of freedom too many. Of n differences one is spent on the mean, so n - 1.",
        ),
        *(
            Mistake(
                _in_order(*order), "all three are right, in another order: the mean comes first, then low, then high."
            )
            for order in ((1, 0, 2), (0, 2, 1), (1, 2, 0))
        ),
        Mistake(
            _half_width,
            "low and high are the ends of the interval, mean - half and mean + half, not its half width.",
        ),
    ),
)
