"""The speedrun: what may be entered, what passes, in which order it stands on the board."""

import json
import statistics
from dataclasses import asdict, replace

import numpy as np
import pytest
import torch
from airbench_lab.lessons.speedrun import (
    RULES,
    Entry,
    chance_to_pass,
    entries,
    entry,
    median_interval,
    standings,
    submit,
)
from airbench_lab.replay import lookup
from airbench_lab.study.statistics import against_target

from airbench_core import AIRBENCH94, SCALES, AirbenchError, EpochRecord, RunResult, Runtime, UsageError

RULE = RULES["laptop"]
CPU = Runtime(device=torch.device("cpu"), dtype=torch.bfloat16, threads=1)


def run(seed=0, accuracy=0.603, seconds=10.0, *, recipe=AIRBENCH94, watched=False, **other) -> RunResult:
    epoch = EpochRecord(
        epoch=1, epochs=1.0, train_loss=1.0, accuracy=accuracy if watched else None, seconds=seconds / 2
    )
    values = {"scale": "laptop", "data_name": "cifar10", "data_digest": "d", "parts": (), "runtime": CPU}
    values |= {"seeds": {}} | other
    return RunResult(
        asked=recipe,
        recipe=SCALES[values["scale"]].recipe(recipe),
        seed=seed,
        accuracy=accuracy,
        accuracies={"mirror+translate": accuracy},
        predictions={},
        seconds=seconds,
        epochs=(epoch,),
        started=0.0,
        graphs=False,
        model=None,
        **values,
    )


def five(accuracies=(0.598, 0.603, 0.608, 0.605, 0.601), seconds=(10.0, 12.0, 11.0, 10.5, 30.0), **other):
    return [
        run(seed, accuracy, second, **other)
        for seed, (accuracy, second) in enumerate(zip(accuracies, seconds, strict=True))
    ]


def test_the_rules_say_what_an_entry_needs():
    said = str(RULE)
    for word in "laptop, cifar10", "target 59.8%", "5 runs", "race mode", "one-sided t test (5%)", "median seconds":
        assert word in said
    assert max(map(len, said.splitlines())) < 95  # a line of a notebook


def test_an_entry_holds_the_runs_in_the_order_of_their_seeds():
    made = entry("mine", five()[::-1], RULE)
    assert made.seeds == (0, 1, 2, 3, 4)
    assert made.accuracies[0] == 0.598
    assert made.median == 11.0
    assert made.recipe == "airbench94"
    assert made.fields["epochs"] == SCALES["laptop"].recipe(AIRBENCH94).epochs
    assert made.test == against_target(made.accuracies, 0.598)
    assert made.passed
    assert "passes: nothing speaks against it" in str(made)
    assert "93.8% interval 10.00 to 30.00" in str(made)
    assert max(map(len, str(made).splitlines())) < 95  # a line of a notebook


def test_what_lies_clearly_below_the_target_fails_and_what_lies_a_little_below_does_not():
    assert not entry("low", five([0.583, 0.585, 0.581, 0.584, 0.582]), RULE).passed
    assert entry("nearly", five([0.595, 0.603, 0.591, 0.597, 0.600]), RULE).passed


@pytest.mark.parametrize(
    ("results", "said"),
    [
        (five()[:4], r"4 run\(s\) are not enough: at least 5, panel.set\(seeds=5\)"),
        ([*five()[:4], run(5)], "seeds 0, 1, 2, 3, 5: enter each of a row once"),
        ([*five()[:4], run(3)], "seeds 0, 1, 2, 3, 3: enter each of a row once"),
        ([*five()[:4], run(4, recipe=replace(AIRBENCH94, epochs=9))], "mix recipes"),
        ([*five()[:4], run(4, parts=("whiten",))], "mix recipes"),
        ([*five()[:4], run(4, data_digest="e")], "mix data sets"),
        ([*five()[:4], run(4, runtime=replace(CPU, threads=2))], "mix machines"),
        ([*five()[:4], run(4, watched=True)], r"were watched: make them in race mode, panel.set\(race=True\)"),
        ([*five()[:4], run(4, seeds={"order": 7})], "have seeds= of their own, which could be picked: make them with"),
        (five(data_name="svhn"), "are on svhn, and the rules are for cifar10"),
        (five(scale="full"), "of scale full, and the rules are for scale laptop"),
    ],
)
def test_a_broken_rule_is_told(results, said):
    with pytest.raises(UsageError, match=said):
        entry("mine", results, RULE)


def test_the_board_ranks_what_passes_by_its_median_seconds(tmp_path):
    log = tmp_path / "leaderboard.jsonl"
    submit(entry("slow", five(seconds=(14, 15, 14, 14, 13)), RULE), log)
    submit(entry("outlier", five(seconds=(10, 10, 10, 10, 90)), RULE), log)
    submit(entry("too low", five([0.5, 0.51, 0.5, 0.52, 0.5], seconds=(1, 1, 2, 1, 1)), RULE), log)
    board = standings(log, RULE)
    assert board.table["entry"].tolist() == ["outlier", "slow", "too low"]
    assert board.table["rank"].tolist() == ["1", "2", "fails"]
    assert board.table["seconds"].tolist() == [10, 14, 1]
    row = board.table.iloc[0]
    assert (row["seconds, low"], row["seconds, high"], row["sure"]) == (10, 90, 0.9375)
    assert row["p"] == against_target([run.accuracy for run in five()], 0.598).p
    assert row["machine"].endswith("bfloat16, 1 thread")


def test_several_entries_are_kept_and_each_attempt_is_counted(tmp_path):
    log = tmp_path / "leaderboard.jsonl"
    assert entries(log, RULE) == []
    first, second = (entry("mine", five(seconds=[s] * 5), RULE) for s in (10.0, 9.0))
    for one in first, entry("other", five(), RULE), second:
        submit(one, log)
    kept = entries(log, RULE)
    assert [(one.name, times) for one, times in kept] == [("mine", 2), ("other", 1)]
    assert kept[0][0].seconds == second.seconds
    assert isinstance(kept[0][0], Entry)
    assert len(log.read_text().splitlines()) == 3


def test_an_entry_whose_cell_is_run_again_counts_once(tmp_path):
    log = tmp_path / "leaderboard.jsonl"
    for _ in range(2):
        submit(entry("mine", five(), RULE), log)
        submit(entry("the same runs, another name", five(), RULE), log)
    assert [times for _, times in entries(log, RULE)] == [1, 1]


def test_entries_under_other_rules_are_on_other_boards(tmp_path):
    log = tmp_path / "leaderboard.jsonl"
    submit(entry("mine", five(), RULE), log)
    other = replace(RULE, data="svhn")
    submit(entry("digits", five(data_name="svhn"), other), log)
    assert [one.name for one, _ in entries(log, RULE)] == ["mine"]
    assert [one.name for one, _ in entries(log, other)] == ["digits"]
    assert entries(log, replace(RULE, target=0.8)) == []


def test_a_log_of_another_kind_is_no_board(tmp_path):
    log, mine = tmp_path / "leaderboard.jsonl", entry("mine", five(), RULE)
    log.write_text('{"key": "1", "student": "ab1"}\n')
    for used in (lambda: submit(mine, log), lambda: standings(log, RULE)):
        with pytest.raises(AirbenchError, match=r"leaderboard\.jsonl is another kind of log \(line 1 has no name\)"):
            used()
    assert log.read_text().count("\n") == 1
    newer = asdict(mine) | {"a field of a newer version": 1}
    log.write_text(json.dumps(newer) + "\n")
    assert [one.seconds for one, _ in entries(log, RULE)] == [mine.seconds]


def test_entries_of_another_machine_than_the_newest_are_not_ranked(tmp_path):
    log, other = tmp_path / "leaderboard.jsonl", replace(CPU, threads=2)
    submit(entry("elsewhere", five(seconds=[1] * 5, runtime=other), RULE), log)
    submit(replace(entry("here", five(), RULE), started="2030-01-01T00:00:00+00:00"), log)
    board = standings(log, RULE)
    assert board.table["entry"].tolist() == ["here"]
    assert "1 of another machine left out" in board.alt


def test_airbench94_as_recorded_passes_the_target_that_was_set_by_it():
    recorded = list(lookup(AIRBENCH94, RULE.scale, RULE.data).accuracies.values())
    assert len(recorded) == 50
    assert statistics.mean(recorded) - RULE.target == pytest.approx(0.01, abs=0.0005)


def test_the_interval_of_a_median_is_as_sure_as_it_says():
    """By simulation, of a skewed distribution whose median is ln 2."""
    draws = np.random.default_rng(0).exponential(size=(4000, 25))
    for n in (5, 8, 25):
        found = [median_interval(row[:n]) for row in draws]
        held = np.mean([low <= np.log(2) <= high for low, high, _ in found])
        assert held == pytest.approx(found[0][2], abs=0.015)
    assert median_interval(range(1, 26))[:2] == (8, 18)
    assert median_interval([3, 1, 2]) == (1, 3, 0.75)
    with pytest.raises(UsageError, match="1 run"):
        median_interval([1.0])


@pytest.mark.parametrize(("above", "n"), [(-0.5, 5), (0.0, 10), (0.3, 5), (-0.3, 25)])
def test_the_chance_to_pass_is_that_of_the_test(above, n):
    generator = np.random.default_rng(1)
    passed = [not against_target(row, 0.0).failed for row in generator.normal(above, 0.78, (1500, n))]
    assert chance_to_pass(above, 0.78, n) == pytest.approx(statistics.mean(passed), abs=0.04)
