import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airbench_lab.study import report
from airbench_lab.study.frames import frame
from airbench_lab.study.names import named
from scipy.stats import t

from airbench_core import AIRBENCH94


def rows(records, *args, study=None, **options) -> list[SimpleNamespace]:
    return [SimpleNamespace(**row) for row in report.rows(named(frame(records), study), *args, **options)]


def table(rows: list[SimpleNamespace], form: str = "text") -> str:
    return report.table([vars(row) for row in rows], form)


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
    base, flip = rows(runs, baseline="airbench94")
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
    _, row = rows([*runs[:3], record(FLIP, accuracy=0.71, seed=2)], baseline="airbench94")
    assert (row.interval, row.difference_interval, row.pairs) == (None, None, 1)
    assert row.difference == pytest.approx(-0.03)
    assert table([row]).count("n below 2") == 2
    (_, other) = rows([runs[0], runs[-1]], baseline="airbench94")
    assert (other.difference, other.pairs) == (None, 0)


def test_a_table_has_what_was_asked_for(runs):
    head, base, flip = table(rows(runs, baseline="airbench94")).splitlines()
    assert re.split("  +", head)[4:] == ["difference", "95 % interval of it", "pairs", "seconds"]
    assert re.split("  +", flip)[:5] == ["airbench94 flip=random", "3", "64.00 %", "33.47 to 94.53", "-2.00"]
    assert re.split("  +", base)[-1] == "14.00"
    assert re.split("  +", table(rows(runs)).splitlines()[0]) == ["recipe", "n", "accuracy", "95 % interval", "seconds"]


@pytest.fixture
def reference(record) -> list[dict]:
    """Random flip for 8 and 16 epochs, in seeds 0 to 2, and alternating flip for 8 epochs, worth 8 sqrt(2) of them."""
    return [
        record(replace(recipe, epochs=epochs), accuracy=accuracy + spread, seed=seed, scale="full")
        for recipe, epochs, accuracy in ((FLIP, 8, 0.92), (FLIP, 16, 0.94), (AIRBENCH94, 8, 0.93))
        for seed, spread in enumerate((-0.001, 0.001, 0.0))
    ]


def test_a_recipe_is_worth_the_epochs_that_the_reference_needs(reference):
    first, second, ours = rows(reference, reference="airbench94 flip=random")
    assert (first.worth, second.worth, second.speedup, second.note) == (None, None, None, "")  # it is the reference
    assert ours.recipe == "airbench94 epochs=8"
    assert ours.worth == pytest.approx(8 * 2**0.5)
    assert ours.speedup == pytest.approx(2**0.5)
    assert (ours.worth_n, ours.worth_paired) == (3, True)
    assert ours.note == "with n below 5 intervals of epochs and speedups are too narrow"
    assert ours.worth_interval == (pytest.approx(ours.worth), pytest.approx(ours.worth))  # a seed's luck is in both
    for run in reference[6:]:
        run["seed"] += 5
    *_, apart = rows(reference, reference="airbench94 flip=random")
    assert (apart.worth, apart.worth_paired) == (pytest.approx(ours.worth), False)
    assert apart.worth_interval[0] < 11 < 11.6 < apart.worth_interval[1]
    assert apart.speedup_interval == pytest.approx((apart.worth_interval[0] / 8, apart.worth_interval[1] / 8))
    head, *_, line = table([first, ours]).splitlines()
    assert "worth epochs of airbench94 flip=random" in head
    assert "3 pairs" in line


def test_the_worth_of_one_run_has_no_interval_and_beyond_the_reference_there_is_a_bound(reference):
    *_, ours = rows(reference[:7], reference="airbench94 flip=random")
    assert ours.worth == pytest.approx(8 * 2 ** (0.009 / 0.02))
    assert (ours.n, ours.worth_interval, ours.speedup_interval, ours.note) == (1, None, None, "")
    assert table([ours]).count("n below 2") == 3
    for run in reference[6:]:
        run["accuracy"] += 0.02
    *_, beyond = rows(reference, reference="airbench94 flip=random")
    assert (beyond.worth, beyond.speedup) == (None, None)
    assert (beyond.worth_interval, beyond.speedup_interval) == ((16, float("inf")), (2, float("inf")))
    assert beyond.note.startswith("more than 16 epochs: 95.00 % is above the highest mean measured, 94.00 % (n=3)")


def test_seconds_that_are_not_to_be_quoted_are_left_out(record):
    timed = [record(seed=seed) | {"seconds": seconds} for seed, seconds in enumerate((5.0, None, 9.0))]
    (row,) = rows(timed)
    assert row.seconds == 7
    (row,) = rows([*(one | {"seconds": 90.0} for one in timed), *timed])  # of a seed that was run again the last
    assert row.seconds == 7
    (row,) = rows([one | {"seconds": None} for one in timed])
    assert row.seconds is None
    assert "None" not in table([row]) + table([row], "csv")
