import math

import numpy as np
import pytest
from airbench_lab.study.calibration import calibration, run_variance
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from airbench_core import UsageError


@st.composite
def ensembles(draw):
    n, images = draw(st.integers(2, 6)), draw(st.integers(2, 12))
    classes = st.integers(0, 3)
    predictions = draw(arrays.arrays(np.int64, (n, images), elements=classes))
    return predictions, draw(arrays.arrays(np.int64, images, elements=classes))


def _independent_runs(rng, n, p, spread=0.0):
    """Runs on len(p) images of two classes, labels all 0: each is wrong on image i with probability p_i, luck apart."""
    luck = rng.normal(0, spread, (n, 1)) if spread else 0.0
    return (rng.random((n, len(p))) < p + luck).astype(int), np.zeros(len(p), int)


def test_variance_by_hand():
    """Two runs, four images: accuracies 3/4 and 1/2, disagreeing on one image."""
    found = run_variance(np.array([[0, 1, 2, 0], [0, 1, 0, 0]]), np.array([0, 1, 2, 1]))
    assert (found.n, found.images, found.classes) == (2, 4, 3)
    assert found.error == pytest.approx(3 / 8)
    assert found.test_set == pytest.approx(1 / 32)  # (1/4)^2 / 2
    assert found.independent == pytest.approx(0.5 / 16)  # 2 / (2 - 1) * 1/2 * 1/2 on one image
    assert found.distribution == pytest.approx(0.0)
    assert found.binomial == pytest.approx(3 / 8 * 5 / 8 / 4)
    assert found.binomial_std == pytest.approx(math.sqrt(found.binomial))
    assert found.calibrated == pytest.approx(3 / 8 / 12)


def test_independent_errors_leave_nothing_to_the_distribution():
    """Averaged over many small studies, both estimates hit the known values: they are unbiased at n = 3."""
    rng = np.random.default_rng(0)
    p = np.concatenate([np.full(150, 0.02), np.full(50, 0.5)])
    truth = (p * (1 - p)).sum() / len(p) ** 2
    studies = [run_variance(*_independent_runs(rng, 3, p)) for _ in range(3_000)]
    for name, expected in (("test_set", truth), ("independent", truth), ("distribution", 0.0)):
        values = np.array([getattr(study, name) for study in studies])
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values)), name
    assert np.mean([study.independent for study in studies]) > 1.3 * truth * 2 / 3  # what p (1 - p) alone would give
    assert min(study.distribution for study in studies) < 0
    assert all(study.distribution_std >= 0 for study in studies)


def test_runs_that_really_differ_are_told_from_a_small_test_set():
    rng = np.random.default_rng(1)
    p, spread = np.full(4_000, 0.3), 0.05
    found = run_variance(*_independent_runs(rng, 400, p, spread))
    assert found.distribution_std == pytest.approx(spread, rel=4 / math.sqrt(2 * 400))
    assert found.independent == pytest.approx(0.3 * 0.7 / 4_000, rel=0.05)
    assert found.test_set > 20 * found.independent


def test_intervals_of_the_two_standard_deviations_hold_them_as_often_as_they_say():
    rng = np.random.default_rng(4)
    p, spread = np.concatenate([np.full(900, 0.01), np.full(100, 0.4)]), 0.01
    noise = (p * (1 - p)).sum() / len(p) ** 2
    held, trials = np.zeros(2), 400
    for _ in range(trials):
        found = run_variance(*_independent_runs(rng, 5, p, spread))
        for i, (low, high), true in (
            (0, found.test_set_std_interval, math.sqrt(noise + spread**2)),
            (1, found.distribution_std_interval, spread),
        ):
            held[i] += low <= true <= high
    assert held / trials == pytest.approx(0.95, abs=4 * math.sqrt(0.95 * 0.05 / trials))


def test_where_runs_do_not_really_differ_the_interval_begins_at_0():
    rng = np.random.default_rng(5)
    found = [run_variance(*_independent_runs(rng, 5, np.full(1_000, 0.2))) for _ in range(40)]
    assert sum(study.distribution_std_interval[0] == 0 for study in found) > 0.9 * 40
    assert all(study.distribution_std_interval[1] >= study.distribution_std for study in found)


def test_distribution_is_what_another_half_of_the_images_would_share():
    """Theorem 2 as it is meant: the covariance of accuracies on two independent halves."""
    rng = np.random.default_rng(2)
    predictions, labels = _independent_runs(rng, 3_000, rng.uniform(0.2, 0.4, 400), 0.03)
    right = predictions == labels
    shared = np.cov(right[:, ::2].mean(1), right[:, 1::2].mean(1))[0, 1]
    assert run_variance(predictions, labels).distribution == pytest.approx(shared, rel=0.05)


def test_two_calibrated_classes_have_the_variance_of_the_formula():
    """Of the images that a share q of the runs call 1, the share q are 1: then error / 2N, and no calibration error."""
    levels = 10
    predictions, labels = [], []
    for ones in range(levels + 1):  # image by image: `ones` of ten runs vote 1, as of ten labels
        votes = np.array([1] * ones + [0] * (levels - ones))
        for label in votes:
            predictions.append(np.roll(votes, len(labels)))
            labels.append(label)
    predictions, labels = np.array(predictions).T, np.array(labels)
    found = run_variance(predictions, labels)
    assert calibration(predictions, labels).cace == pytest.approx(0, abs=1e-12)
    assert found.independent * (found.n - 1) / found.n == pytest.approx(found.calibrated)
    assert found.calibrated < 0.8 * found.binomial


def test_calibration_error_by_hand():
    """Two runs, three images. Pairs at level 0: 5, right 1; at 1/2: 2, right 1; at 1: 2, right 1."""
    predictions, labels = np.array([[0, 1, 2], [0, 1, 0]]), np.array([0, 2, 2])
    found = calibration(predictions, labels)
    assert (found.n, found.images) == (2, 3)
    assert found.cace == pytest.approx((abs(1 - 0) + abs(1 - 1) + abs(1 - 2)) / 3)
    pooled = calibration(predictions, labels, fewest=5)  # the two upper levels: what is left over is a group too
    assert pooled.cace == pytest.approx((abs(1 - 0) + abs(2 - 3)) / 3)
    assert found.error == pytest.approx(1 / 2)  # 1 of 3 wrong in the first run, 2 of 3 in the second
    assert found.disagreement == pytest.approx((2 * 0.5 * 0.5) / 3)


@pytest.mark.parametrize("classes", [2, 5])
def test_runs_that_agree_on_what_is_wrong_are_as_badly_calibrated_as_can_be(classes):
    predictions, labels = np.full((4, 100), classes - 1), np.zeros(100, int)
    found = calibration(predictions, labels)
    assert (found.cace, found.error, found.disagreement) == (2.0, 1.0, 0.0)


def test_runs_that_are_always_right_are_calibrated():
    labels = np.arange(30) % 3
    assert calibration(np.tile(labels, (5, 1)), labels).cace == 0


def test_classes_are_aggregated_before_the_absolute_value():
    """At level 1/2 class 0 is always right, class 1 never: class-wise that is an error, aggregated it is none."""
    predictions, labels = np.array([[0, 1], [1, 0]]), np.array([0, 0])
    assert calibration(predictions, labels).cace == 0


def test_pooled_levels_do_not_add_up_chance():
    """100 calibrated runs on few images: by single levels mostly chance, pooled nearly 0."""
    rng = np.random.default_rng(3)
    q = rng.uniform(0, 1, 600)
    labels = (rng.random(600) < q).astype(int)
    predictions = (rng.random((100, 600)) < q).astype(int)
    alone = calibration(predictions, labels).cace
    pooled = calibration(predictions, labels, fewest=300).cace
    everything = calibration(predictions, labels, fewest=10**9).cace
    assert alone > 0.15
    assert pooled < alone / 2
    assert everything == pytest.approx(0, abs=1e-12)  # over all pairs, votes and labels both sum to 1 an image


@given(ensembles())
def test_disagreement_is_within_the_calibration_error_of_the_error(ensemble):
    """Theorem 4.2 of Jiang et al., exact for the test set itself."""
    found = calibration(*ensemble)
    assert abs(found.disagreement - found.error) <= found.cace + 1e-12
    assert -1e-12 <= found.cace <= 2 + 1e-12


@given(ensembles(), st.randoms(use_true_random=False))
def test_names_of_classes_and_orders_do_not_matter(ensemble, random):
    predictions, labels = ensemble
    runs, images, classes = (random.sample(range(size), size) for size in (*predictions.shape, 4))
    named = np.array(classes)
    other = named[predictions][runs][:, images], named[labels][images]
    assert calibration(*other).cace == pytest.approx(calibration(predictions, labels).cace, abs=1e-12)
    assert run_variance(*other).distribution == pytest.approx(run_variance(predictions, labels).distribution, abs=1e-12)


@given(ensembles())
def test_variances_are_parts_of_one_whole(ensemble):
    found = run_variance(*ensemble)
    assert found.test_set == pytest.approx(
        found.independent + found.distribution * (found.images - 1) / found.images, abs=1e-12
    )


@pytest.mark.parametrize(
    ("predictions", "labels", "what"),
    [
        (np.zeros((3, 4), int), np.zeros(5, int), r"shape \(3, 4\) and labels of shape \(5,\)"),
        (np.zeros(4, int), np.zeros(4, int), "do not fit"),
        (np.zeros((0, 4), int), np.zeros(4, int), "empty"),
        (np.zeros((3, 0), int), np.zeros(0, int), "empty"),
        (np.full((3, 4), np.nan), np.zeros(4, int), "predictions are float64"),
        (np.zeros((3, 4), int), np.zeros(4), "labels are float64"),
        (np.full((3, 4), -1), np.zeros(4, int), "predictions hold -1"),
        (np.zeros((3, 4), int), np.full(4, -2), "labels hold -2"),
    ],
)
@pytest.mark.parametrize("study", [run_variance, calibration])
def test_what_does_not_fit_is_refused(study, predictions, labels, what):
    with pytest.raises(UsageError, match=what):
        study(predictions, labels)


def test_too_few_or_no_groups():
    with pytest.raises(UsageError, match="at least 2 of each"):
        run_variance(np.zeros((1, 4), int), np.zeros(4, int))
    with pytest.raises(UsageError, match="at least 2 of each"):
        run_variance(np.zeros((4, 1), int), np.zeros(1, int))
    with pytest.raises(UsageError, match="fewest=0"):
        calibration(np.zeros((3, 4), int), np.zeros(4, int), fewest=0)
