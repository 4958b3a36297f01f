import math
import re
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airbench_lab.study import report_epochs
from airbench_lab.study.frames import frame
from airbench_lab.study.names import named
from airbench_lab.study.speedup import TOO_NARROW, epochs_to_target

from airbench_core import AIRBENCH94

FLIP = replace(AIRBENCH94, flip="random")
FLIPPED = "airbench94 flip=random"
SPREAD = (-0.001, 0.001, 0.0)  # of the seeds 0, 1, 2


def rows(records, *args, study=None, **options) -> list[SimpleNamespace]:
    return [SimpleNamespace(**row) for row in report_epochs.rows(named(frame(records), study), *args, **options)]


def table(rows: list[SimpleNamespace], form: str = "text") -> str:
    return report_epochs.table([vars(row) for row in rows], form)


@pytest.fixture
def trained(record):
    """Runs of seeds 0 to 2, or as many as named, of one recipe with so many epochs at full scale."""

    def runs(recipe, epochs, accuracy, seeds=(0, 1, 2), **options) -> list[dict]:
        of = replace(recipe, epochs=epochs)
        return [record(of, accuracy=accuracy + SPREAD[s % 3], seed=s, scale="full", **options) for s in seeds]

    return runs


@pytest.fixture
def runs(trained) -> list[dict]:
    """Random flip crosses 0.93 after 8 sqrt(2) epochs, the recipe with alternating flip after 4 sqrt(2)."""
    random = [*trained(FLIP, 16, 0.94), *trained(FLIP, 8, 0.92)]
    return [*random, *trained(AIRBENCH94, 4, 0.92), *trained(AIRBENCH94, 8, 0.94)]


def test_the_known_epochs_and_their_ratio(runs):
    random, ours = rows(runs, 0.93, FLIPPED)
    assert (random.recipe, random.budgets, random.runs) == (FLIPPED, (8, 16), (3, 3))
    assert random.epochs == pytest.approx(8 * math.sqrt(2))
    assert (random.ratio, random.ratio_interval, random.ratio_n) == (None, None, None)
    assert (ours.recipe, ours.target, ours.n) == ("airbench94", 0.93, 3)
    assert ours.epochs == pytest.approx(4 * math.sqrt(2))
    assert ours.interval[0] < ours.epochs < ours.interval[1]
    assert ours.ratio == pytest.approx(2)
    assert ours.ratio_interval == (pytest.approx(2), pytest.approx(2))  # a seed has the same luck in both
    assert (ours.ratio_n, ours.paired) == (3, True)


def test_seeds_are_paired_only_where_they_are_the_same(runs, trained):
    apart = [*runs[:6], *trained(AIRBENCH94, 4, 0.92, (6, 7, 8)), *trained(AIRBENCH94, 8, 0.94, (6, 7, 8))]
    _, ours = rows(apart, 0.93, FLIPPED)
    assert (ours.ratio, ours.paired) == (pytest.approx(2), False)
    assert ours.ratio_interval[0] < 1.95 < 2.05 < ours.ratio_interval[1]
    mixed = [*trained(AIRBENCH94, 4, 0.92), *trained(AIRBENCH94, 8, 0.94, (1, 2, 3, 4))]
    (row,) = rows(mixed, 0.93)
    lists = {4: [0.919, 0.921, 0.92], 8: [0.941, 0.94, 0.939, 0.941]}
    assert row.interval == pytest.approx((epochs_to_target(lists, 0.93).low, epochs_to_target(lists, 0.93).high))
    (paired,) = rows(runs[6:], 0.93)
    seeded = {4: dict(enumerate([0.919, 0.921, 0.92])), 8: dict(enumerate([0.939, 0.941, 0.94]))}
    assert paired.interval == pytest.approx((epochs_to_target(seeded, 0.93).low, epochs_to_target(seeded, 0.93).high))


def test_what_is_not_known_is_said_in_words(runs, trained):
    def only(*some) -> tuple:
        (row,) = rows(some, 0.93)
        return row.epochs, row.interval, row.n, row.note

    one, few = trained(AIRBENCH94, 4, 0.92), trained(AIRBENCH94, 4, 0.92)[:1]
    assert only(*one) == (None, None, None, "one length of training makes no curve")
    assert only(*few, *runs[9:])[3] == "n below 2 at 4 epochs; fewer than two lengths are left"
    assert only(*few)[3] == "n below 2 at 4 epochs; one length of training makes no curve"
    assert only(*runs[9:], *trained(AIRBENCH94, 16, 0.95))[3].startswith("fewer than 8 epochs: 93.00 % is below the lo")


def test_intervals_that_few_runs_make_too_narrow_are_told(trained):
    def notes(baseline_seeds, seeds, baseline=None):
        runs = [*trained(FLIP, 8, 0.92, baseline_seeds), *trained(FLIP, 16, 0.94, baseline_seeds)]
        runs += [*trained(AIRBENCH94, 4, 0.92, seeds), *trained(AIRBENCH94, 8, 0.94, seeds)]
        return [row.note for row in rows(runs, 0.93, baseline)]

    assert TOO_NARROW == "with n below 5 intervals of epochs and speedups are too narrow"
    assert notes(range(5), range(5), FLIPPED) == ["", ""]
    assert notes(range(5), range(4)) == ["", TOO_NARROW]
    assert notes(range(4), range(5)) == [TOO_NARROW, ""]
    assert notes(range(4), range(5), FLIPPED) == [TOO_NARROW, TOO_NARROW]  # the ratio's


def test_a_target_beyond_what_was_measured_is_bounded_by_it(runs):
    beyond, below = rows(runs[6:], 0.95)[0], rows(runs[6:], 0.90)[0]
    assert (beyond.epochs, beyond.interval) == (None, (8, math.inf))
    assert (below.epochs, below.interval) == (None, (0, 4))
    assert " above 8.00 " in table([beyond])
    assert " below 4.00 " in table([below])


def test_a_baseline_that_misses_the_target_gives_a_bound_and_no_ratio(runs, trained):
    better = [*trained(AIRBENCH94, 4, 0.94), *trained(AIRBENCH94, 8, 0.96)]
    _, ours = rows([*runs[:6], *better], 0.95, FLIPPED)
    assert ours.epochs == pytest.approx(4 * math.sqrt(2))
    assert ours.ratio is None
    assert ours.ratio_interval[0] > 16 / 8
    assert ours.ratio_interval[1] == math.inf
    assert ours.note == f"no ratio: the baseline's epochs are not known; {TOO_NARROW}"
    without = rows([*runs[:3], *runs[6:]], 0.93, FLIPPED)[1]
    assert (without.ratio_interval, without.note) == (None, ours.note)


def test_another_level_of_tta(runs):
    assert rows(runs, 0.92, tta="none")[1].epochs == pytest.approx(4 * math.sqrt(2))


def test_a_table_has_what_was_asked_for(runs, trained):
    one_length = trained(replace(AIRBENCH94, lookahead=False), 4, 0.93)
    head, _, ours, alone = table(rows([*runs, *one_length], 0.93, FLIPPED)).splitlines()
    assert "epochs to 0.93" in head
    assert "times fewer than airbench94 flip=random" in head
    assert re.split("  +", ours)[:3] == ["airbench94", "4 (n=3), 8 (n=3)", "5.66"]
    assert "3 pairs" in ours
    assert alone.endswith(" one length of training makes no curve")
