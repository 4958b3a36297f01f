import math

import pytest
from airbench_lab.study.statistics import (
    against_target,
    difference,
    mean_interval,
    sign_share,
)
from scipy import stats

from airbench_core import UsageError

RUNS = [0.9391, 0.9405, 0.9399, 0.9412, 0.9387]
OTHERS = [0.9402, 0.9411, 0.9412, 0.9418, 0.9399]


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
    assert mean_interval([0.5, 0.5]).low == mean_interval([0.5, 0.5]).high == 0.5
    assert difference([0.5, 0.5], [0.75, 0.75]).low == difference([0.5, 0.5], [0.75, 0.75]).high == 0.25


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


@pytest.mark.parametrize("values", [[], [0.94]])
def test_too_few(values):
    with pytest.raises(UsageError, match="at least 2 are needed"):
        mean_interval(values)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        against_target(values, 0.94)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        difference(RUNS, values)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        difference({0: 0.94}, {0: 0.94})


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_what_is_not_a_number_is_refused(bad):
    with pytest.raises(UsageError, match=f"value 1 is {bad}"):
        mean_interval([0.94, bad])
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


def test_sign_share_is_the_share_of_draws_whose_mean_has_the_sign_of_all():
    assert sign_share([1, 1, 1, 1, -1.5]) == 1  # of any three the mean is above 0
    assert sign_share([1, 1, 1, -2.5]) == 1 / 4  # three of the four draws hold the -2.5
    assert sign_share([-1, -1, -1, 2.5]) == 1 / 4
    assert sign_share([2, 2, -1], live=1) == pytest.approx(2 / 3)
    with pytest.raises(UsageError, match="2 run"):
        sign_share([1, 2])
