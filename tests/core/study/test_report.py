import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
from scipy.stats import t

from airbench_core import AIRBENCH94, UsageError
from airbench_core.study import report, runlog

LAPTOP = Path(__file__).parents[3] / "benchmarks" / "results" / "laptop-cifar10.jsonl"


FLIP = replace(AIRBENCH94, flip="random")


@pytest.fixture
def runs(record) -> list[dict]:
    return [
        record(accuracy=0.70, seed=0, seconds=10),
        record(accuracy=0.72, seed=1, seconds=30),
        record(accuracy=0.74, seed=2, seconds=14),
        record(FLIP, accuracy=0.69, seed=1),
        record(FLIP, accuracy=0.73, seed=2),
        record(FLIP, accuracy=0.50, seed=7),
    ]


def test_means_intervals_and_differences_are_those_of_the_runs(runs):
    base, flip = report.rows(runs, baseline="airbench94")
    assert (base.recipe, base.n, base.seconds) == ("airbench94", 3, 14)
    assert base.accuracy == pytest.approx(0.72)
    half = t.ppf(0.975, 2) * 0.02 / 3**0.5
    assert base.interval == pytest.approx((0.72 - half, 0.72 + half))
    assert (base.difference, base.difference_interval, base.pairs) == (None, None, None)
    assert (flip.recipe, flip.n, flip.pairs) == ("airbench94 flip=random", 3, 2)
    assert flip.accuracy == pytest.approx(0.64)
    assert flip.difference == pytest.approx(-0.02)  # of the seeds that both have: 1 and 2
    half = t.ppf(0.975, 1) * 0.0141421356 / 2**0.5
    assert flip.difference_interval == pytest.approx((-0.02 - half, -0.02 + half))


def test_one_run_or_pair_has_no_interval(runs, record):
    _, row = report.rows([*runs[:3], record(FLIP, accuracy=0.71, seed=2)], baseline="airbench94")
    assert (row.interval, row.difference_interval, row.pairs) == (None, None, 1)
    assert row.difference == pytest.approx(-0.03)
    assert report.table([row]).count("n below 2") == 2
    (_, other) = report.rows([runs[0], runs[-1]], baseline="airbench94")
    assert (other.difference, other.pairs) == (None, 0)


def test_runs_that_differ_in_runtime_alone_are_not_one(record):
    eager, compiled = (
        [record(accuracy=0.70 + seed / 100, seed=seed) for seed in range(3)],
        record(accuracy=0, compile=True),
    )
    before = report.rows(eager)
    with_both = report.rows([*eager, compiled], baseline="airbench94")
    assert [(row.recipe, row.n) for row in with_both] == [("airbench94", 3), ("airbench94, compiled", 1)]
    assert with_both[0].interval == before[0].interval
    assert with_both[1].difference == pytest.approx(-0.70)


def test_another_level_of_tta(runs):
    assert report.rows(runs, tta="none")[0].accuracy == pytest.approx(0.71)


def test_what_cannot_be_compared_is_refused(runs, record):
    for other in record(accuracy=0.5, scale="smoke"), record(accuracy=0.5, data="svhn"):
        with pytest.raises(UsageError, match="mix"):
            report.rows([*runs, other])
    with pytest.raises(UsageError, match=r"baseline=muon is not in the log; there is: airbench94; airbench94 flip=ran"):
        report.rows(runs, baseline="muon")
    with pytest.raises(UsageError, match="no runs"):
        report.rows([])


def test_the_tables_say_the_same(runs):
    rows = report.rows(runs, baseline="airbench94")
    text, markdown, values = (report.table(rows, form) for form in ("text", "markdown", "csv"))
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in markdown.splitlines()]
    assert cells[0] == [column.heading for column in report.COLUMNS]
    assert cells[3][:5] == ["airbench94 flip=random", "3", "64.00 %", "33.47 to 94.53", "-2.00"]
    for line, row in zip(text.splitlines(), [cells[0], *cells[2:]], strict=True):
        assert all(cell in line for cell in row)
    assert len({len(line) for line in text.splitlines()}) == 1
    first, second = csv.DictReader(io.StringIO(values))
    assert float(second["difference"]) == rows[1].difference
    assert float(first["interval_high"]) == rows[0].interval[1]
    assert first["difference_interval_low"] == ""


def test_the_recorded_runs_are_reported():
    rows = report.rows(runlog.load(LAPTOP), baseline="airbench94")
    assert [row.n for row in rows] == [5] * 6
    assert "airbench94 whiten=false" in [row.recipe for row in rows]
