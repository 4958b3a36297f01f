"""Lesson 12: the one-sided test of a mean against a target, which decides whether a speedrun passes."""

import math
import statistics
from collections.abc import Sequence

from scipy import stats

from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.study.statistics import against_target

BELOW = [0.7012, 0.7044, 0.6988, 0.7061, 0.7020]  # the mean lies a little below 0.705, the test lets it pass
FAR_BELOW = [0.6921, 0.6958, 0.6904, 0.6933, 0.6950, 0.6917]
ABOVE = [0.7162, 0.7134, 0.7206, 0.7032, 0.7234]
ALMOST = [0.7018, 0.7044, 0.7008, 0.7051, 0.7010]  # one-sided it fails, two-sided it would pass


def passes(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    """The p of a one-sided t test of "the mean is at least `target`", and whether it passes, p of 0.05 and more."""
    test = against_target(accuracies, target)
    return test.p, not test.failed


def _variant(
    *,
    spread=statistics.stdev,
    error=lambda spread, n: spread / math.sqrt(n),
    p=lambda t, n: float(stats.t.cdf(t, n - 1)),
    decide=lambda p, t: p >= 0.05,
):
    """`passes` with something done otherwise."""

    def wrong(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
        n = len(accuracies)
        t = (statistics.mean(accuracies) - target) / error(spread(accuracies), n)
        found = p(t, n)
        return found, decide(found, t)

    return wrong


def _mean_alone(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    enough = statistics.mean(accuracies) >= target
    return float(enough), enough


def _counted(accuracies: Sequence[float], target: float) -> tuple[float, bool]:
    p = sum(accuracy >= target for accuracy in accuracies) / len(accuracies)
    return p, p >= 0.05


PASSES = Exercise(
    name="passes",
    reference=passes,
    cases=(
        Case("five runs whose mean lies a little below the target", lambda: (BELOW, 0.705)),
        Case("five that fail by a hair", lambda: (ALMOST, 0.705)),
        Case("five whose mean lies above it", lambda: (ABOVE, 0.705)),
        Case("six that lie far below it", lambda: (FAR_BELOW, 0.705)),
    ),
    mistakes=(
        Mistake(
            _mean_alone,
            "you compare the mean with the target and nothing else. Five runs of a recipe that is just good enough "
            "have a mean below the target half of the time: the test asks how far is too far, given their spread.",
        ),
        Mistake(_counted, "you counted the runs that reach the target: the test is of their mean."),
        Mistake(
            _variant(p=lambda t, n: 2 * float(stats.t.sf(abs(t), n - 1))),
            "this p is two-sided: it also counts means that are far above the target, which nobody minds. Take the "
            "lower tail alone, stats.t.cdf(t, n - 1).",
        ),
        Mistake(
            _variant(p=lambda t, n: float(stats.t.sf(t, n - 1))),
            "this is the other tail: p is how probable so low a mean is, or a lower one. With t = (mean - target) / "
            "error that is stats.t.cdf.",
        ),
        Mistake(
            _variant(p=lambda t, n: float(stats.t.sf(t, n - 1)), decide=lambda p, t: p < 0.05),
            "you ask the runs to show that they are above the target (the upper tail, passing if p < 0.05). That is "
            "a stricter rule. Here they pass unless they show that they are below it.",
        ),
        Mistake(
            _variant(decide=lambda p, t: p < 0.05),
            "p is right, the verdict is turned round: a small p speaks against the entry, it passes with p >= 0.05.",
        ),
        Mistake(
            _variant(decide=lambda p, t: p >= 0.025),
            "p is right, but the bound is not: the test is one-sided, and it fails with p < 0.05.",
        ),
        Mistake(
            _variant(spread=statistics.pstdev),
            "the standard deviation was taken with n: of a sample it is taken with n - 1 (statistics.stdev).",
        ),
        Mistake(
            _variant(error=lambda spread, n: spread),
            "you divide by the standard deviation of single runs: the mean of n is steadier, divide by std / sqrt(n).",
        ),
        Mistake(
            _variant(error=lambda spread, n: spread / n),
            "the standard error is std / sqrt(n), and not std / n.",
        ),
        Mistake(
            _variant(p=lambda t, n: float(stats.norm.cdf(t))),
            "this p is the normal distribution's: the spread is estimated from a few runs, so take Student's t.",
        ),
        Mistake(
            _variant(p=lambda t, n: float(stats.t.cdf(t, n))),
            "one degree of freedom too many: n - 1 of them, since the mean uses one up.",
        ),
    ),
    otherwise=(
        "not yet. The steps: error = stdev / sqrt(n); t = (mean - target) / error; p = stats.t.cdf(t, n - 1); it "
        "passes with p >= 0.05. Return (p, whether it passes)."
    ),
)
