import base64
import math
import zlib
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from airbench_lab import runlog
from airbench_lab.study import report_variance
from airbench_lab.study.frames import frame
from airbench_lab.study.names import named
from airbench_lab.study.report_variance import calibration, run_variance
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from scipy import stats

from airbench_core import AIRBENCH94, DataError, UsageError

BUILTIN = Path(__file__).parents[3] / "benchmarks" / "results" / "laptop-builtin.jsonl"
LABELS = np.arange(8) % 2
RUNS = np.array([[0, 1, 0, 1, 0, 1, 0, 1], [0, 1, 0, 1, 0, 1, 1, 1], [0, 1, 0, 1, 0, 0, 1, 1]])  # 0, 1 and 2 wrong


def rows(records, labels, tta=None) -> list[SimpleNamespace]:
    records = list(records)
    found = report_variance.rows(named(frame(records)), records, labels, tta)
    return [SimpleNamespace(**row) for row in found]


def table(rows: list[SimpleNamespace], form: str = "text") -> str:
    return report_variance.table([vars(row) for row in rows], form)


def packed(classes) -> str:
    return base64.b64encode(zlib.compress(np.asarray(classes, "<u2").tobytes())).decode()


@pytest.fixture
def predicted(record):
    """Makes a record with predictions at two levels of TTA: `classes`, and all 1 without TTA."""

    def make(classes, seed=0, **options) -> dict:
        levels = {"mirror+translate": packed(classes), "none": packed(np.ones(len(classes)))}
        return {**record(seed=seed, **options), "predictions": levels}

    return make


@pytest.fixture
def runs(predicted) -> list[dict]:
    return [predicted(classes, seed) for seed, classes in enumerate(RUNS)]


def test_the_known_variance(runs):
    """Accuracies 8/8, 7/8, 6/8: variance (1/8)^2. Image 5 is wrong in 1 of 3 runs, image 6 in 2 of 3."""
    none, row = rows(runs, LABELS)
    assert (row.recipe, row.tta, row.n) == ("airbench94", "mirror+translate", 3)
    assert row.error == pytest.approx(1 / 8)
    half = stats.t.ppf(0.975, 2) / 8 / math.sqrt(3)
    assert row.error_interval == pytest.approx((1 / 8 - half, 1 / 8 + half))
    assert row.std == pytest.approx(1 / 8)
    assert row.std_interval == pytest.approx([math.sqrt(2 / 64 / stats.chi2.ppf(q, 2)) for q in (0.975, 0.025)])
    independent = 3 / 2 * (2 * 1 / 3 * 2 / 3) / 64
    assert row.distribution_std == pytest.approx(math.sqrt(8 / 7 * (1 / 64 - independent)))
    high = 8 / 7 * (2 / 64 / stats.chi2.ppf(0.025, 2) - independent)
    assert row.distribution_std_interval == pytest.approx((0, math.sqrt(high)))
    assert row.binomial_std == pytest.approx(math.sqrt(1 / 8 * 7 / 8 / 8))
    assert row.disagreement == pytest.approx((2 / 3 + 2 / 3) / 8)  # on images 5 and 6 two of three pairs
    # right less votes at each level: image 5 is 1, with 2/3 of the votes, image 6 is 0, with 1/3
    assert row.cace == pytest.approx((abs(1 - 2 / 3) * 0 + abs(2 * 1 / 3 - 1) + abs(2 * 2 / 3 - 1)) / 8)
    assert (none.tta, none.error, none.std, none.disagreement) == ("none", 0.5, 0, 0)


def test_a_single_run_has_an_error_and_no_more(runs):
    row = rows(runs[2:], LABELS)[-1]
    assert (row.n, row.error, row.std, row.cace) == (1, 0.25, None, None)
    assert table([row]).count("n below 2") == 4


def test_recipes_runtimes_and_levels_have_rows_of_their_own(runs, predicted):
    others = [predicted(RUNS[0], recipe=replace(AIRBENCH94, flip="random")), predicted(RUNS[0], compile=True)]
    found = rows([*runs, *others], LABELS)
    assert [(row.recipe, row.tta, row.n) for row in found] == [
        (name, tta, n)
        for name, n in (("airbench94", 3), ("airbench94 flip=random", 1), ("airbench94, compiled", 1))
        for tta in ("none", "mirror+translate")
    ]
    assert [row.tta for row in rows(runs, LABELS, "none")] == ["none"]


def test_runs_without_predictions_are_left_out(runs, record):
    bare = [record(seed=0), record(seed=7), record(replace(AIRBENCH94, lr=9)), record(compile=True)]
    found = rows([*runs, *bare], LABELS, "none")  # also where a seed was run again without
    assert [(row.recipe, row.n) for row in found] == [("airbench94", 3)]
    with pytest.raises(UsageError, match=r"^no run in the log has its predictions; `airbench sweep variance` keeps t"):
        rows([record()], LABELS)
    with pytest.raises(UsageError, match=r"^no run in the log has its predictions with TTA mirror;"):
        rows(runs, LABELS, "mirror")


def test_a_seed_that_was_run_twice_counts_once_the_last_time(runs, predicted):
    (row,) = rows([predicted(1 - RUNS[0], seed=0), *runs], LABELS, "mirror+translate")
    assert (row.n, row.error) == (3, pytest.approx(1 / 8))


def test_a_table_has_it_in_hundredths(runs):
    line = table(rows(runs, LABELS)).splitlines()[2]
    assert line.split()[:6] == ["airbench94", "mirror+translate", "3", "12.50", "%", "-18.55"]
    assert " 12.500 " in line


def test_labels_are_those_of_the_data_that_the_runs_were_made_with():
    labels = report_variance.labels_of([run | {"predictions": {}} for run in runlog.load(BUILTIN)])
    assert labels.shape == (5000,)
    assert set(labels) == set(range(10))


@pytest.mark.parametrize(
    ("scale", "name", "digest", "told"),
    [
        (
            "laptop",
            "builtin",
            "d",
            "the data set builtin at scale laptop has the digest e617709690b1c52a here",
        ),
        ("smoke", "builtin", "e617709690b1c52a", "the data set builtin at scale smoke has the digest"),
        ("smoke", "builtin-holdout500", "d", "the data set builtin-holdout500 at scale smoke has the digest"),
        ("smoke", "mine-holdout500", "d", "these runs are of the data set mine-holdout500, which cannot be loaded by"),
        ("smoke", "builtin-holdout0", "d", "holdout=0 is not legal"),
        ("laptop", "mine", "d", "these runs are of the data set mine, which cannot be loaded by name"),
        ("tiny", "builtin", "d", "scale=tiny is not legal: full, quarter, laptop, smoke"),
    ],
)
def test_labels_of_other_data_are_refused(scale, name, digest, told, predicted):
    run = predicted(RUNS[0]) | {"scale": scale, "data": {"name": name, "digest": digest}}
    with pytest.raises(UsageError) as error:
        report_variance.labels_of([run])
    assert str(error.value).startswith(told)


def test_data_that_is_not_here_is_not_downloaded(predicted, tmp_path, monkeypatch):
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(DataError, match="cifar100"):
        report_variance.labels_of([predicted(RUNS[0], data="cifar100")], tmp_path)
    assert not list(tmp_path.iterdir())


def _independent_runs(rng, n, p, spread=0.0):
    """Runs on len(p) images of two classes, labels all 0: each is wrong on image i with probability p_i, luck apart."""
    luck = rng.normal(0, spread, (n, 1)) if spread else 0.0
    return (rng.random((n, len(p))) < p + luck).astype(int), np.zeros(len(p), int)


def test_independent_errors_leave_nothing_to_the_distribution():
    """Averaged over many small studies, both estimates hit the known values: they are unbiased at n = 3."""
    rng = np.random.default_rng(0)
    p = np.concatenate([np.full(150, 0.02), np.full(50, 0.5)])
    truth = (p * (1 - p)).sum() / len(p) ** 2
    studies = np.array([run_variance(*_independent_runs(rng, 3, p)) for _ in range(3_000)])
    for values, expected in zip(studies.T, (truth, truth, 0.0), strict=True):
        assert abs(values.mean() - expected) < 4 * values.std() / math.sqrt(len(values))
    assert studies[:, 1].mean() > 1.3 * truth * 2 / 3  # what p (1 - p) alone would give


def test_the_best_and_the_worst_calibration():
    labels = np.arange(30) % 3
    assert calibration(np.tile(labels, (5, 1)), labels) == (0, pytest.approx(0))
    assert calibration(np.full((4, 100), 1), np.zeros(100, int)) == (2.0, 0.0)  # all agree on what is wrong
    # Classes are aggregated before the absolute value: at level 1/2 class 0 is always right, class 1 never.
    assert calibration(np.array([[0, 1], [1, 0]]), np.array([0, 0]))[0] == 0


runs_of = st.tuples(st.integers(2, 6), st.integers(2, 12)).flatmap(
    lambda shape: st.tuples(
        arrays.arrays(np.int64, shape, elements=st.integers(0, 3)),
        arrays.arrays(np.int64, shape[1], elements=st.integers(0, 3)),
    )
)


@given(runs_of)
def test_disagreement_is_within_the_calibration_error_of_the_error(ensemble):
    """Theorem 4.2 of Jiang et al., exact for the test set itself."""
    (cace, disagreement), error = calibration(*ensemble), (ensemble[0] != ensemble[1]).mean()
    assert abs(disagreement - error) <= cace + 1e-12
    assert -1e-12 <= cace <= 2 + 1e-12
