"""Lesson 12: the one-sided test of a mean against a target, which decides whether a speedrun passes."""

import math
import statistics
from collections.abc import Sequence

from scipy import stats

from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.exercises.differences import values
from airbench_lab.study.statistics import against_target

BELOW = [0.5942, 0.5974, 0.5918, 0.5991, 0.5950]  # the mean lies a little below 0.598, the test lets it pass
FAR_BELOW = [0.5851, 0.5888, 0.5834, 0.5863, 0.5880, 0.5847]
ABOVE = [0.6092, 0.6064, 0.6136, 0.5962, 0.6164]
ALMOST = [0.5948, 0.5974, 0.5938, 0.5981, 0.5940]  # one-sided it fails, two-sided it would pass


def standard_error(accuracies: Sequence[float]) -> float:
    """Of their mean."""
    return statistics.stdev(accuracies) / math.sqrt(len(accuracies))


def t_statistic(accuracies: Sequence[float], target: float, error=standard_error) -> float:
    """How many standard errors the mean lies above the target."""
    return (statistics.mean(accuracies) - target) / error(accuracies)


def lower_tail(t: float, n: int) -> float:
    """How probable so low a t of n runs is, or a lower one, if their true mean is the target."""
    return float(stats.t.cdf(t, n - 1))


def passes(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    """The p of a one-sided t test of "the mean is at least `target`", and whether it passes, p of 0.05 and more."""
    test = against_target(accuracies, target)
    return test.p, not test.failed


def _variant(*, t=t_statistic, p=lower_tail, decide=lambda p, t: p >= 0.05):
    """`passes` with something done otherwise."""

    def wrong(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
        away = t(accuracies, target)
        found = p(away, len(accuracies))
        return found, decide(found, away)

    return wrong


def _mean_alone(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    enough = statistics.mean(accuracies) >= target
    return float(enough), enough


def _counted(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    p = sum(accuracy >= target for accuracy in accuracies) / len(accuracies)
    return p, p >= 0.05


STATISTICS = (  # each with the t that it takes
    Mistake(
        lambda accuracies, target: t_statistic(
            accuracies, target, lambda some: statistics.pstdev(some) / math.sqrt(len(some))
        ),
        "the standard deviation was taken with n. Of a sample it is taken with n - 1 (statistics.stdev).",
    ),
    Mistake(
        lambda accuracies, target: t_statistic(accuracies, target, statistics.stdev),
        "you divide by the standard deviation of single runs. The mean of n is steadier: divide by std / sqrt(n).",
    ),
    Mistake(
        lambda accuracies, target: t_statistic(accuracies, target, lambda some: statistics.stdev(some) / len(some)),
        "the standard error is std / sqrt(n), and not std / n.",
    ),
)
TAILS = (  # each with the p that it takes
    Mistake(
        lambda t, n: 2 * float(stats.t.sf(abs(t), n - 1)),
        "this p is two-sided: it also counts means that are far above the target, which nobody minds. Take the lower "
        "tail alone, stats.t.cdf(t, n - 1).",
    ),
    Mistake(
        lambda t, n: float(stats.t.sf(t, n - 1)),
        "this is the other tail. p is how probable so low a mean is, or a lower one: with t = (mean - target) / error "
        "that is stats.t.cdf.",
    ),
    Mistake(
        lambda t, n: float(stats.norm.cdf(t)),
        "this p is the normal distribution's. The spread is estimated from a few runs, so take Student's t.",
    ),
    Mistake(
        lambda t, n: float(stats.t.cdf(t, n)),
        "one degree of freedom too many. n - 1 of them are left, since the mean uses one up.",
    ),
)
PASSES = Exercise(
    name="passes",
    reference=passes,
    observe=lambda function, accuracies, target: values(function(accuracies, target), "`p`", "whether it passes"),
    steps=(
        Exercise(
            name="t",
            reference=t_statistic,
            cases=(
                Case("t of five runs a little below the target", lambda: (BELOW, 0.598)),
                Case("t of six far below it", lambda: (FAR_BELOW, 0.598)),
            ),
            mistakes=(
                Mistake(
                    lambda accuracies, target: -t_statistic(accuracies, target),
                    "the sign is the wrong way round. Take mean - target.",
                ),
                *STATISTICS,
            ),
        ),
        Exercise(
            name="p",
            reference=lower_tail,
            cases=(
                Case("p of t = -1.5 and five runs", lambda: (-1.5, 5)),
                Case("of t = 0.7 and five runs", lambda: (0.7, 5)),
                Case("of t = -1.5 and eight runs", lambda: (-1.5, 8)),
            ),
            mistakes=TAILS,
        ),
    ),
    cases=(
        Case("five runs whose mean lies a little below the target", lambda: (BELOW, 0.598)),
        Case("five that fail by a hair", lambda: (ALMOST, 0.598)),
        Case("five whose mean lies above it", lambda: (ABOVE, 0.598)),
        Case("six that lie far below it", lambda: (FAR_BELOW, 0.598)),
    ),
    mistakes=(
        Mistake(
            _mean_alone,
            "you compare the mean with the target and nothing else. Five runs of a recipe that is just good enough "
            "have a mean below the target half of the time. The test asks how far is too far, given their spread.",
        ),
        Mistake(_counted, "you counted the runs that reach the target. The test is of their mean."),
        Mistake(
            _variant(decide=lambda p, t: t >= 0),
            "p is right, and not used: the verdict only compares the mean with the target. It passes with p >= 0.05.",
        ),
        Mistake(
            _variant(decide=lambda p, t: p < 0.05),
            "p is right, the verdict is turned round. A small p speaks against the entry; it passes with p >= 0.05.",
        ),
        Mistake(
            _variant(decide=lambda p, t: p >= 0.025),
            "p is right, but the bound is not. The test is one-sided, and it fails with p < 0.05.",
        ),
        Mistake(
            _variant(p=TAILS[1].wrong, decide=lambda p, t: p < 0.05),
            "you ask the runs to show that they are above the target (the upper tail, passing if p < 0.05). That is "
            "a stricter rule. Here they pass unless they show that they are below it.",
        ),
        *(Mistake(_variant(t=mistake.wrong), mistake.hint) for mistake in STATISTICS),
        *(Mistake(_variant(p=mistake.wrong), mistake.hint) for mistake in TAILS),
    ),
)
