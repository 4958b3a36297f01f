import math

import numpy as np
import pytest
from airbench_lab.study.speedup import curve_of, epochs_to_target, equivalent_epochs, isotonic, speedup_to_target
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats
from scipy.optimize import isotonic_regression

from airbench_core import UsageError

CURVE = {6: [0.929, 0.931, 0.930], 12: [0.939, 0.941, 0.940], 24: [0.944, 0.946, 0.945]}
STD = 0.0014  # of an accuracy of airbench94, about
BUDGETS = (6, 8, 10, 12)


def _mean(epochs):
    """A curve that is linear in the logarithm of the epochs, so that interpolation is exact: 0.94 at 9 epochs."""
    return 0.94 + 0.01 * math.log2(epochs / 9)


def _drawn(rng, n):
    return {epochs: rng.normal(_mean(epochs), STD, n) for epochs in BUDGETS}


rows = st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 5)), min_size=1, max_size=8)


@given(rows)
def test_isotonic_is_scipys(row):
    values, weights = np.array(row, float).T
    expected = isotonic_regression(values, weights=weights).x
    fitted = isotonic(np.stack([values, 2 * values]), weights)  # several rows at once
    assert fitted == pytest.approx(np.stack([expected, 2 * expected]), abs=1e-12)


@pytest.mark.parametrize(
    ("levels", "target", "epochs"),
    [
        ((0.90, 0.92, 0.94), 0.91, 4 * math.sqrt(2)),  # linear in the logarithm
        ((0.90, 0.92, 0.94), 0.925, 8 * 2**0.25),
        *(((0.1 + 0.2, 0.92, 0.94), level, at) for at, level in ((4, 0.1 + 0.2), (8, 0.92), (16, 0.94), (4, 0.3))),
        ((0.1, 0.2, 0.3), 0.1 + 0.2, 16),  # a hair above 0.3
        ((0.90, 0.94, 0.94), 0.94, 8),  # a level stretch is reached at its start
        ((0.94, 0.94, 0.94), 0.94, 4),
        ((0.90, 0.96, 0.92), 0.94, 8),  # a dip: the means 0.96 and 0.92 become 0.94
    ],
)
def test_where_a_curve_crosses(levels, target, epochs):
    curve = {at: [level, level] for at, level in zip((16, 8, 4), reversed(levels), strict=True)}
    found = epochs_to_target(curve, target, resamples=100)
    assert (found.low, found.epochs, found.high) == (pytest.approx(epochs),) * 3  # the runs are all the same


def test_a_dip_is_levelled_by_the_number_of_runs():
    """Six runs of 0.96 at 8 epochs and two of 0.92 at 16 become 0.95; alike they would become 0.94."""
    curve = {4: [0.90] * 2, 8: [0.96] * 6, 16: [0.92] * 2}
    assert epochs_to_target(curve, 0.925, resamples=100).epochs == pytest.approx(4 * math.sqrt(2))
    assert epochs_to_target(curve, 0.95, resamples=100).epochs == pytest.approx(8)


@pytest.mark.parametrize(
    ("curve", "what"),
    [
        ({}, r"0 budget\(s\)"),
        ({8: [0.9, 0.9]}, r"1 budget\(s\)"),
        *(({8: [0.9, 0.9], bad: [0.9, 0.9]}, f"a budget of {bad} epochs") for bad in (0, -1.5, math.nan)),
        ({8: [0.9, 0.9], 9.9: [0.94]}, r"a budget of 9.9 epochs, 1 run\(s\)"),
        ({8: [0.9, 0.9], 9: [0.9, math.nan]}, "value 1 is nan"),
        ({8: {0: 0.9, 1: math.inf}, 9: {0: 0.9, 1: 0.9}}, "value 1 is inf"),
        ({8: {0: 0.9, 1: 0.9}, 9: [0.9, 0.9]}, "at some budgets only"),
        ({8: {0: 0.9, 1: 0.9}, 9: {0: 0.9, 2: 0.9}}, "the same seeds: only on one side 1, 2"),
    ],
)
def test_what_makes_no_curve_is_refused(curve, what):
    with pytest.raises(UsageError, match=what):
        epochs_to_target(curve, 0.9)


def test_a_curve_names_seeds_where_all_budgets_have_the_same():
    assert curve_of({8: {0: 0.9, 1: 0.8}, 4: {1: 0.7, 0: 0.6}, 2: {0: 0.1}}) == {
        4: {1: 0.7, 0: 0.6},
        8: {0: 0.9, 1: 0.8},
    }
    assert curve_of({8: {0: 0.9, 1: 0.8}, 4: {1: 0.7, 2: 0.6}}) == {4: [0.7, 0.6], 8: [0.9, 0.8]}


def test_the_known_crossing():
    found = epochs_to_target(CURVE, 0.935)
    assert found.epochs == pytest.approx(6 * math.sqrt(2))
    assert 6 < found.low < found.epochs < found.high < 12
    assert (found.n, found.accuracy, found.reason) == (3, 0.935, "")
    assert str(found) == f"8.49 epochs (95 % interval {found.low:.3g} to {found.high:.3g}, n=3)"
    assert found == epochs_to_target(dict(reversed(CURVE.items())), 0.935)


@pytest.mark.parametrize(
    ("target", "low", "high", "told"),
    [
        (0.95, 24, math.inf, "more than 24 epochs: 95.00 % is above the highest mean measured, 94.50 % (n=3)"),
        (0.92, 0, 6, "fewer than 6 epochs: 92.00 % is below the lowest mean measured, 93.00 % (n=3)"),
    ],
)
def test_off_the_curve_nothing_is_extrapolated(target, low, high, told):
    found = epochs_to_target(CURVE, target)
    assert (found.epochs, found.low, found.high, str(found)) == (None, low, high, told)


def test_an_interval_that_leaves_the_curve_is_open():
    near_top, near_bottom = epochs_to_target(CURVE, 0.9449), epochs_to_target(CURVE, 0.9301)
    assert near_top.epochs is not None
    assert 12 < near_top.low < near_top.high == math.inf
    assert f"interval above {near_top.low:.3g}, not bounded" in str(near_top)
    assert near_bottom.epochs is not None
    assert 0 == near_bottom.low < near_bottom.high < 12
    assert f"interval below {near_bottom.high:.3g}, not bounded" in str(near_bottom)
    just_missed = epochs_to_target(CURVE, 0.9451)
    assert just_missed.epochs is None
    assert 12 < just_missed.low < 24  # some of what could have been drawn does reach it


def _covers(n, trials, interval):
    rng, held = np.random.default_rng(n), 0
    for _ in range(trials):
        low, high, true = interval(rng)
        held += low <= true <= high
    return held / trials


@pytest.mark.parametrize(("n", "covered"), [(2, 0.66), (3, 0.89), (5, 0.96)])
def test_coverage_of_epochs_to_target(n, covered):
    def interval(rng):
        found = epochs_to_target(_drawn(rng, n), 0.94, resamples=1_000)
        return found.low, found.high, 9

    trials = 300
    waver = 4 * math.sqrt(covered * (1 - covered) / trials)
    assert _covers(n, trials, interval) == pytest.approx(covered, abs=waver)


FASTER = {epochs / 1.5: runs for epochs, runs in CURVE.items()}  # the same accuracies in fewer epochs


def test_the_known_ratio_to_a_target():
    found = speedup_to_target(CURVE, FASTER, 0.935)
    assert found.ratio == pytest.approx(1.5)
    assert found.a == epochs_to_target(CURVE, 0.935)
    assert found.b.epochs == pytest.approx(found.a.epochs / 1.5)
    assert found.low < 1.5 < found.high
    assert (found.n, found.paired) == (3, False)
    back = speedup_to_target(FASTER, CURVE, 0.935)
    assert (back.ratio, back.low) == (pytest.approx(1 / 1.5), pytest.approx(1 / found.high, rel=0.05))


def test_a_ratio_to_a_target_of_the_same_seeds_has_only_the_spread_that_they_do_not_share():
    rng = np.random.default_rng(0)
    luck = rng.normal(0, STD, 8)
    a = {e: dict(enumerate(_mean(e) + luck)) for e in BUDGETS}
    b = {e: dict(reversed(list(enumerate(_mean(1.2 * e) + luck)))) for e in BUDGETS}
    same = speedup_to_target(a, b, 0.94)
    assert (same.paired, same.n) == (True, 8)
    assert (same.low, same.ratio, same.high) == (pytest.approx(1.2), pytest.approx(1.2), pytest.approx(1.2))
    others = {e: {10 + seed: run for seed, run in runs.items()} for e, runs in b.items()}
    apart = speedup_to_target(a, others, 0.94)
    assert not apart.paired
    assert apart.ratio == pytest.approx(1.2)
    assert apart.high - apart.low > 0.1
    # each still by its own seeds: as wide as two means that vary independently, on the scale of the logarithm
    half = stats.t.ppf(0.975, 7) * math.sqrt(2) * stats.sem(luck) / 0.01 * math.log(2)
    assert math.log(apart.high / apart.low) == pytest.approx(2 * half, rel=0.1)


def test_what_a_ratio_to_a_target_is_where_a_curve_misses_it():
    """The baseline ends before it: so at least so many times fewer, by its last budget. And the other way round."""
    short = {epochs: [run - 0.02 for run in runs] for epochs, runs in CURVE.items()}
    unreached = speedup_to_target(short, CURVE, 0.935)
    assert unreached.ratio is None
    assert unreached.a.reason.startswith("more than 24 epochs")
    needs = epochs_to_target(CURVE, 0.935)
    assert (unreached.low, unreached.high) == (pytest.approx(24 / needs.high, rel=0.02), math.inf)
    other = speedup_to_target(CURVE, short, 0.935)
    assert (other.low, other.high) == (0, pytest.approx(needs.high / 24, rel=0.02))
    early = speedup_to_target(CURVE, {epochs: [run + 0.02 for run in runs] for epochs, runs in CURVE.items()}, 0.935)
    assert (early.low, early.high) == (pytest.approx(needs.low / 6, rel=0.02), math.inf)
    neither = speedup_to_target(short, short, 0.935)
    assert (neither.ratio, neither.low, neither.high) == (None, 0, math.inf)


@pytest.mark.parametrize(("n", "shared"), [(5, 0.0), (10, 1.0)])
def test_coverage_of_a_ratio_to_a_target(n, shared):
    """shared: luck of a seed that is the same for both recipes and all budgets, in units of the rest."""

    def drawn(rng, faster, luck):
        runs = {e: _mean(faster * e) + luck + rng.normal(0, STD, n) for e in BUDGETS}
        return {e: dict(enumerate(values)) if shared else values for e, values in runs.items()}

    def interval(rng):
        luck = rng.normal(0, 1, n) * shared * STD
        found = speedup_to_target(drawn(rng, 1, luck), drawn(rng, 1.2, luck), 0.94, resamples=1_000)
        return found.low, found.high, 1.2

    assert _covers(n, 300, interval) == pytest.approx(0.96, abs=4 * math.sqrt(0.96 * 0.04 / 300))


def test_equivalent_epochs_invert_the_curve():
    found = equivalent_epochs([0.934, 0.936], CURVE)
    assert found.epochs == pytest.approx(6 * math.sqrt(2))
    assert found.low < found.epochs < found.high
    assert found.n == 2


def test_equivalent_epochs_of_the_same_seeds_have_no_spread_where_luck_is_all_shared():
    luck = np.random.default_rng(0).normal(0, STD, 6)
    reference = {e: dict(enumerate(_mean(e) + luck)) for e in BUDGETS}
    runs = 0.94 + luck
    paired = equivalent_epochs(dict(reversed(list(enumerate(runs)))), reference)
    apart = equivalent_epochs(runs, reference)
    assert (paired.low, paired.epochs, paired.high) == (pytest.approx(9), pytest.approx(9), pytest.approx(9))
    assert apart.epochs == pytest.approx(9)
    assert apart.high - apart.low > 1
    with pytest.raises(UsageError, match="only on one side 6"):
        equivalent_epochs(dict(enumerate([*runs, 0.94])), reference)


def test_a_single_run_has_no_interval():
    found = equivalent_epochs([0.935], CURVE)
    assert (found.epochs, found.low, found.high) == (pytest.approx(6 * math.sqrt(2)), 0, math.inf)
    assert str(found) == "8.49 epochs (95 % interval not bounded by what was measured, n=1)"


@pytest.mark.parametrize("nothing", [None, {}])
def test_without_a_curve_there_is_a_reason(nothing):
    found = equivalent_epochs([0.94], nothing)
    assert (found.epochs, found.low, found.high, found.n) == (None, 0, math.inf, 1)
    assert str(found) == "no curve of the reference recipe is recorded for this"


@pytest.mark.parametrize(
    ("ask", "what"),
    [
        (lambda: epochs_to_target(CURVE, math.nan), "target=nan"),
        (lambda: speedup_to_target(CURVE, CURVE, math.inf), "target=inf"),
        (lambda: speedup_to_target(CURVE, {6: [0.9, 0.9]}, 0.9), "at least 2 are needed"),
        (lambda: equivalent_epochs([], CURVE), "no run succeeded"),
        (lambda: equivalent_epochs([math.inf], CURVE), "value 0 is inf"),
        (lambda: equivalent_epochs([0.94], {6: [0.9, 0.9]}), "make no curve"),
    ],
)
def test_what_is_asked_wrongly(ask, what):
    with pytest.raises(UsageError, match=what):
        ask()
