import math
from itertools import pairwise

import numpy as np
import pytest
from airbench_lab.study.statistics import (
    against_target,
    bootstrap_interval,
    difference,
    mean_interval,
    variance_interval,
)
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from airbench_core import UsageError

RUNS = [0.9391, 0.9405, 0.9399, 0.9412, 0.9387]
OTHERS = [0.9402, 0.9411, 0.9412, 0.9418, 0.9399]

accuracies = st.lists(st.integers(0, 10_000).map(lambda right: right / 10_000), min_size=2, max_size=12)
about = {"rel": 1e-9, "abs": 1e-9}


def test_interval_is_students():
    measured = mean_interval(RUNS)
    low, high = stats.t.interval(0.95, 4, loc=sum(RUNS) / 5, scale=stats.sem(RUNS))
    assert (measured.low, measured.high) == (pytest.approx(low), pytest.approx(high))
    assert measured.mean == pytest.approx(sum(RUNS) / 5)
    assert measured.n == 5


def test_one_sided_test_is_students_and_fails_only_below_the_target():
    for target in (0.93, 0.9395, 0.94, 0.95):
        test = against_target(RUNS, target)
        assert test.p == pytest.approx(stats.ttest_1samp(RUNS, target, alternative="less").pvalue)
        assert test.failed == (sum(RUNS) / 5 < test.critical)
        assert test.n == 5
    assert against_target(RUNS, 0.95).failed
    assert not against_target(RUNS, 0.94).failed  # below it, but within what five runs waver
    assert not against_target(RUNS, 0.93).failed


def test_runs_that_are_all_the_same():
    assert against_target([0.5, 0.5], 0.51).failed
    assert not against_target([0.5, 0.5], 0.49).failed
    assert not against_target([0.9] * 9, 0.9).failed  # whose floating-point sum over 9 is a little less
    for interval in (mean_interval, bootstrap_interval):
        assert interval([0.5, 0.5]).low == interval([0.5, 0.5]).high == 0.5
    assert difference([0.5, 0.5], [0.75, 0.75]).low == difference([0.5, 0.5], [0.75, 0.75]).high == 0.25


def test_bootstrap_follows_the_skew_and_stays_within_the_values():
    seconds = [3.1, 3.2, 3.1, 3.0, 3.1, 3.2, 3.1, 3.0, 3.1, 9.0]
    drawn = bootstrap_interval(seconds)
    assert min(seconds) <= drawn.low < drawn.mean < drawn.high <= max(seconds)
    assert drawn.high - drawn.mean > 2 * (drawn.mean - drawn.low)  # Student's would reach as far to both sides
    assert drawn == bootstrap_interval(seconds)
    assert drawn != bootstrap_interval(seconds, seed=1)


def _coverage(interval, draw, mean, *, trials, n):
    """How often `interval` of n drawn values holds the true mean."""
    rng = np.random.default_rng(n)
    held = 0
    for _ in range(trials):
        found = interval(draw(rng, n).tolist())
        held += found.low <= mean <= found.high
    return held / trials


def _accuracies(rng, n):
    return rng.normal(0.94, 0.0014, n)


@pytest.mark.parametrize("n", [2, 3, 5])
def test_students_interval_covers_at_every_n(n):
    trials = 2_000
    waver = 4 * math.sqrt(0.95 * 0.05 / trials)
    assert _coverage(mean_interval, _accuracies, 0.94, trials=trials, n=n) == pytest.approx(0.95, abs=waver)


@pytest.mark.parametrize(("n", "covered"), [(3, 0.71), (5, 0.84), (10, 0.89), (20, 0.92)])
def test_bootstrap_covers_less_with_few_runs_by_as_much_as_is_documented(n, covered):
    def interval(values):
        return bootstrap_interval(values, resamples=499)

    trials = 600
    waver = 4 * math.sqrt(covered * (1 - covered) / trials)
    assert _coverage(interval, _accuracies, 0.94, trials=trials, n=n) == pytest.approx(covered, abs=waver)


def test_the_interval_of_a_variance_is_the_textbooks():
    """Montgomery and Runger: 20 bottles, variance 0.0153; chi-square of 19 is 32.852 and 8.907 at 2.5 % each."""
    assert variance_interval(0.0153, 20) == pytest.approx((19 * 0.0153 / 32.852, 19 * 0.0153 / 8.907), rel=1e-4)
    with pytest.raises(UsageError, match=r"^1 run\(s\) have no spread"):
        variance_interval(0.0, 1)


@pytest.mark.parametrize("n", [2, 5, 30])
def test_the_interval_of_a_variance_covers_at_every_n(n):
    rng, trials = np.random.default_rng(n), 2_000
    ends = (variance_interval(rng.normal(0, 2, n).var(ddof=1), n) for _ in range(trials))
    held = sum(low <= 4 <= high for low, high in ends) / trials
    assert held == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_difference_in_pairs_is_the_t_test_of_the_differences():
    a, b = dict(enumerate(RUNS)), dict(reversed(list(enumerate(OTHERS))))  # the order of the seeds does not matter
    found = difference(a, b)
    low, high = stats.ttest_rel(OTHERS, RUNS).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert found.difference == pytest.approx(sum(OTHERS) / 5 - sum(RUNS) / 5)
    assert (found.n_a, found.n_b, found.paired) == (5, 5, True)


@pytest.mark.parametrize("others", [OTHERS, OTHERS[:3], OTHERS * 3])
def test_difference_without_pairs_is_welchs(others):
    found = difference(RUNS, others)
    low, high = stats.ttest_ind(others, RUNS, equal_var=False).confidence_interval(0.95)
    assert (found.low, found.high) == (pytest.approx(low), pytest.approx(high))
    assert (found.n_a, found.n_b, found.paired) == (5, len(others), False)


def test_pairs_see_what_independent_runs_do_not():
    rng = np.random.default_rng(0)
    luck = rng.normal(0, 0.01, 8)  # of the seed, the same for both recipes
    a, b = 0.93 + luck, 0.931 + luck + rng.normal(0, 0.0002, 8)
    paired = difference(dict(enumerate(a)), dict(enumerate(b)))
    independent = difference(a, b)  # arrays are sequences too
    assert 0 < paired.low < paired.high < 0.002
    assert independent.low < 0 < independent.high


def test_welch_covers_where_the_spreads_differ():
    """One spread for both would cover about 72 % here: the small group has the large spread."""
    rng, trials, held = np.random.default_rng(4), 2_000, 0
    for _ in range(trials):
        found = difference(rng.normal(0.94, 0.004, 6), rng.normal(0.941, 0.001, 20))
        held += found.low <= 0.001 <= found.high
    assert held / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


@given(a=accuracies, b=accuracies, shift=st.integers(-4, 4), scale=st.sampled_from([0.5, 2.0, 100.0]))
def test_difference_shifts_scales_and_changes_sign(a, b, shift, scale):
    found, turned = difference(a, b), difference(b, a)
    moved = difference(a, [value + shift for value in b])
    scaled = difference([scale * value for value in a], [scale * value for value in b])
    assert (turned.low, turned.high) == (pytest.approx(-found.high, **about), pytest.approx(-found.low, **about))
    assert moved.low == pytest.approx(found.low + shift, rel=1e-6, abs=1e-6)
    assert (scaled.low, scaled.high) == (
        pytest.approx(scale * found.low, **about),
        pytest.approx(scale * found.high, **about),
    )


@given(values=accuracies, data=st.data())
def test_the_order_of_runs_does_not_matter(values, data):
    shuffled = data.draw(st.permutations(values))
    assert mean_interval(shuffled).low == pytest.approx(mean_interval(values).low, **about)
    assert difference(RUNS, shuffled).high == pytest.approx(difference(RUNS, values).high, **about)


@given(values=accuracies)
def test_targets_are_harder_the_higher_they_are(values):
    probabilities = [against_target(values, target).p for target in (0.0, 0.3, 0.6, 1.0)]
    assert all(lower >= higher for lower, higher in pairwise(probabilities))


@pytest.mark.parametrize("values", [[], [0.94]])
def test_too_few(values):
    for interval in (mean_interval, bootstrap_interval):
        with pytest.raises(UsageError, match="at least 2 are needed"):
            interval(values)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        against_target(values, 0.94)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        difference(RUNS, values)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        difference({0: 0.94}, {0: 0.94})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_refused(bad):
    for interval in (mean_interval, bootstrap_interval):
        with pytest.raises(UsageError, match=f"value 1 is {bad}"):
            interval([0.94, bad])
    with pytest.raises(UsageError, match="value 1 is"):
        against_target([0.94, bad], 0.94)
    with pytest.raises(UsageError, match="target="):
        against_target(RUNS, bad)
    with pytest.raises(UsageError, match="value 0 is"):
        difference(RUNS, [bad, 0.94])


@pytest.mark.parametrize("baseline", [None, [], {}])
def test_a_missing_baseline(baseline):
    with pytest.raises(UsageError, match="baseline has no runs"):
        difference(baseline, RUNS)


def test_seeds_that_do_not_match():
    with pytest.raises(UsageError, match=r"the same seeds: only on one side 2, 3$"):
        difference({0: 0.9, 1: 0.9, 2: 0.9}, {0: 0.9, 1: 0.9, 3: 0.9})
    with pytest.raises(UsageError, match="one side only"):
        difference({0: 0.9, 1: 0.9}, [0.9, 0.9])
