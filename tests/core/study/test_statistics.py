import pytest
from scipy import stats

from airbench_core import UsageError
from airbench_core.study.statistics import against_target, mean_interval

RUNS = [0.9391, 0.9405, 0.9399, 0.9412, 0.9387]


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
    assert against_target(RUNS, 0.95).failed
    assert not against_target(RUNS, 0.94).failed  # below it, but within what five runs waver
    assert not against_target(RUNS, 0.93).failed


def test_runs_that_are_all_the_same():
    assert against_target([0.5, 0.5], 0.51).failed
    assert not against_target([0.5, 0.5], 0.49).failed
    assert not against_target([0.9] * 9, 0.9).failed  # whose floating-point sum over 9 is a little less
    assert mean_interval([0.5, 0.5]).low == mean_interval([0.5, 0.5]).high == 0.5


@pytest.mark.parametrize("values", [[], [0.94]])
def test_too_few(values):
    with pytest.raises(UsageError, match="at least 2 are needed"):
        mean_interval(values)
    with pytest.raises(UsageError, match="at least 2 are needed"):
        against_target(values, 0.94)
