import math

import numpy as np
import pytest
from airbench_lab.study.curves import MeasuredCurve, isotonic
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import isotonic_regression

from airbench_core import UsageError

rows = st.lists(st.tuples(st.integers(-20, 20), st.integers(1, 5)), min_size=1, max_size=8)


@given(rows)
def test_isotonic_is_scipys(row):
    values, weights = np.array(row, float).T
    expected = isotonic_regression(values, weights=weights).x
    fitted = isotonic(np.stack([values, 2 * values]), weights)  # several rows at once
    assert fitted[0] == pytest.approx(expected, abs=1e-12)
    assert fitted[1] == pytest.approx(2 * expected, abs=1e-12)


def _cross(levels, target):
    curve = MeasuredCurve({epochs: [level, level] for epochs, level in zip((4, 8, 16), levels, strict=True)})
    return float(curve.crossings(np.array([levels]), target)[0])


def test_crossing_is_linear_in_the_logarithm_of_the_epochs():
    assert _cross([0.90, 0.92, 0.94], 0.91) == pytest.approx(4 * math.sqrt(2))
    assert _cross([0.90, 0.92, 0.94], 0.925) == pytest.approx(8 * 2**0.25)


def test_budgets_give_back_themselves():
    for epochs, level in zip((4, 8, 16), (0.1 + 0.2, 0.92, 0.94), strict=True):
        assert _cross([0.1 + 0.2, 0.92, 0.94], level) == pytest.approx(epochs)
    assert _cross([0.1 + 0.2, 0.92, 0.94], 0.3) == 4  # 0.1 + 0.2 is a hair above 0.3
    assert _cross([0.1, 0.2, 0.3], 0.1 + 0.2) == pytest.approx(16)  # and so not beyond the curve


def test_a_level_stretch_is_reached_at_its_start_and_a_dip_is_levelled():
    assert _cross([0.90, 0.94, 0.94], 0.94) == pytest.approx(8)
    assert _cross([0.94, 0.94, 0.94], 0.94) == pytest.approx(4)
    assert _cross([0.90, 0.96, 0.92], 0.94) == pytest.approx(8)  # the means 0.96 and 0.92 become 0.94


def test_off_the_curve():
    assert _cross([0.90, 0.92, 0.94], 0.9401) == math.inf
    assert _cross([0.90, 0.92, 0.94], 0.8999) == 0


def test_each_row_has_its_own_target():
    curve = MeasuredCurve({8: [0.92, 0.92], 4: [0.90, 0.90]})  # in any order
    found = curve.crossings(np.array([[0.90, 0.92]] * 3), np.array([0.90, 0.92, 0.93]))
    assert found == pytest.approx([4, 8, math.inf])


def test_pairs_are_drawn_together_and_others_alone():
    luck = [0.01, -0.01, 0.02, -0.02]
    runs = {4: [0.90 + by for by in luck], 8: [0.92 + by for by in luck]}
    rng = np.random.default_rng
    alone = MeasuredCurve(runs).resampled(rng(0), 500)
    together = MeasuredCurve({e: dict(enumerate(values)) for e, values in runs.items()}).resampled(rng(0), 500)
    assert together[:, 1] - together[:, 0] == pytest.approx(0.02)
    assert np.std(alone[:, 1] - alone[:, 0]) > 0.005
    assert together.std() == pytest.approx(alone.std(), rel=0.1)


def test_residuals_are_unbiased_in_spread():
    curve = MeasuredCurve({4: [0.90, 0.92], 8: [0.95, 0.95]})
    assert sorted(curve.residuals) == pytest.approx([-0.01 * math.sqrt(2), 0, 0, 0.01 * math.sqrt(2)])


@pytest.mark.parametrize(
    ("curve", "what"),
    [
        ({}, r"0 budget\(s\)"),
        ({8: [0.9, 0.9]}, r"1 budget\(s\)"),
        ({8: [0.9, 0.9], 0: [0.9, 0.9]}, "a budget of 0 epochs"),
        ({8: [0.9, 0.9], -1.5: [0.9, 0.9]}, "a budget of -1.5 epochs"),
        ({8: [0.9, 0.9], math.nan: [0.9, 0.9]}, "a budget of nan epochs"),
        ({8: [0.9, 0.9], 9.9: []}, r"0 run\(s\) of 9.9 epochs"),
        ({8: [0.9, 0.9], 9.9: [0.94]}, r"1 run\(s\) of 9.9 epochs"),
        ({8: [0.9, 0.9], 9: [0.9, math.nan]}, "value 1 is nan"),
        ({8: {0: 0.9, 1: math.inf}, 9: {0: 0.9, 1: 0.9}}, "value 1 is inf"),
        ({8: {0: 0.9, 1: 0.9}, 9: [0.9, 0.9]}, "at some budgets only"),
        ({8: {0: 0.9, 1: 0.9}, 9: {0: 0.9, 2: 0.9}}, "the same seeds: only on one side 1, 2"),
    ],
)
def test_what_makes_no_curve_is_refused(curve, what):
    with pytest.raises(UsageError, match=what):
        MeasuredCurve(curve)
