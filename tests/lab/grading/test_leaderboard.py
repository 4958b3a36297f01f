"""The leaderboard: entries run in turns with the teacher's seeds, tested and ranked."""

from dataclasses import asdict, replace

import pytest
from airbench_lab.grading import leaderboard
from airbench_lab.grading.leaderboard import COLUMNS, compete, ranked
from airbench_lab.grading.process import Limits
from airbench_lab.grading.sandbox import NotStarted
from airbench_lab.grading.submissions import Submission, find
from airbench_lab.grading.training import data_name
from airbench_lab.lessons.speedrun import RULES, Rules
from airbench_lab.study import layout

from airbench_core import AirbenchError, UsageError

RULE = Rules(scale="laptop", target=0.70)
ENTRY = """
from dataclasses import asdict, replace
from airbench_core import AIRBENCH94, Parts
from airbench_lab.grading import trained
my_recipe = replace(AIRBENCH94, epochs={epochs})
def my_schedule(recipe, steps):
    return [1 - step / steps for step in range(steps)]
my_parts = Parts(lr_factors=my_schedule)
tried = [trained(my_parts, recipe=my_recipe, seed=seed) for seed in range(50)]  # not run again for the leaderboard
"""


STORED = """
import sys
def my_schedule(recipe, steps):
    frame = sys._getframe()
    while frame:  # the serving function's answer, replaced by a result that was stored
        if "student" in frame.f_locals:
            student = type(frame.f_locals["student"])
            student.train = lambda self, request: {"accuracy": 0.99, "losses": [0.1], "seconds": 0.05, "weights": {}}
        frame = frame.f_back
    return [1 - step / steps for step in range(steps)]
"""
SLOW_CLOCK = """
import time
honest = time.perf_counter
time.perf_counter = lambda: 0.6 * honest()
import airbench_core.devices
airbench_core.devices.Runtime.clock = None
"""


def runs(accuracy, seconds, *, n=5, spread=0.002):
    accuracies = [accuracy + spread * (i - n // 2) for i in range(n)]
    return [{"accuracy": a, "seconds": seconds + i / 10, "recipe": "r"} for i, a in enumerate(accuracies)]


def entry(student, some, refused="", note=""):
    return Submission(None, f"{student}.ipynb", student=student, note=note), some, refused


def test_what_passes_is_ranked_by_median_seconds_and_the_rest_below():
    rows = ranked(
        [
            entry("slow", runs(0.72, 20.0)),
            entry("low", runs(0.60, 5.0)),
            entry("fast", runs(0.71, 10.0)),
            entry("broken", [], "my_recipe is no recipe"),
            entry("stored", runs(0.72, 1.0, spread=0)),
            entry("few", runs(0.72, 1.0, n=3)),
        ],
        RULE,
    )
    assert [(row.rank, row.student) for row in rows[:3]] == [("1", "fast"), ("2", "slow"), ("fails", "low")]
    assert {row.student: row.rank for row in rows[3:]} == {"broken": "refused", "stored": "refused", "few": "refused"}
    fast = rows[0]
    assert fast.seconds == pytest.approx(10.2)
    assert fast.seconds_interval == pytest.approx((10.0, 10.4))
    assert fast.accuracy_interval[0] < 0.71 < fast.accuracy_interval[1]
    assert fast.n == 5
    assert "72.00% with each of 5 seeds" in next(row.note for row in rows if row.student == "stored")


def test_a_duplicate_says_so_in_its_line():
    (row,) = ranked([entry("twice", runs(0.72, 5.0), note="duplicate")], RULE)
    assert (row.rank, row.note) == ("1", "duplicate")


def test_the_table_can_be_written_in_all_forms():
    rows = ranked([entry("one", runs(0.72, 5.0)), entry("none", [], "it | broke")], RULE)
    for form in "text", "markdown":
        assert "one" in layout.table(rows, COLUMNS, form)
    assert "it \\| broke" in layout.table(rows, COLUMNS, "markdown")
    assert layout.csv(map(asdict, rows)).splitlines()[2].startswith("refused,none,")


@pytest.fixture
def rules():
    return replace(RULES["smoke"], data=data_name(), target=0.12, fewest=2)


def test_entries_are_run_in_turns_with_their_parts_and_never_twice(hand_in, tmp_path, rules):
    hand_in("short.ipynb", ENTRY.format(epochs=2), student="short", assignment="speedrun")
    hand_in("long.ipynb", ENTRY.format(epochs=4), student="long", assignment="speedrun")
    hand_in("other.ipynb", student="other", assignment="whitening")
    own = [ENTRY.format(epochs=2), "my_parts = Parts(optimizer=my_schedule)"]
    hand_in("own.ipynb", *own, student="own", assignment="speedrun")
    folder = hand_in("broken.ipynb", "my_recipe = 5", student="broken", assignment="speedrun")
    found, said = find(folder, ["speedrun"]), []
    log = tmp_path / "log.jsonl"
    seeds = range(7, 9)
    rows = compete(found, log, rules, seeds, limits=Limits(training=120), say=said.append)
    assert {row.student for row in rows} == {"short", "long", "broken", "own"}
    assert [line.split(":")[0] for line in said[:6]] == [
        "seed 7, broken (broken.ipynb)",
        "seed 7, long",
        "seed 7, own (own.ipynb)",
        "seed 7, short",
        "seed 8, long",
        "seed 8, short",
    ]
    by_student = {row.student: row for row in rows}
    assert by_student["short"].recipe == "airbench94 epochs=2 with own lr_factors"
    assert by_student["broken"].note == "my_recipe is no recipe"
    assert "my_parts has its own optimizer, which the leaderboard does not run" in by_student["own"].note
    again = []
    assert compete(found, log, rules, seeds, say=again.append) == rows
    assert again[0] == "seed 7, broken (broken.ipynb): my_recipe is no recipe"
    assert len(again) == 2


def test_neither_a_result_that_was_stored_nor_a_slow_clock_reaches_the_grader(hand_in, tmp_path, rules):
    honest = ENTRY.format(epochs=2)
    hand_in("honest.ipynb", honest, student="honest", assignment="speedrun")
    folder = hand_in(
        "thief.ipynb",
        SLOW_CLOCK,
        honest,
        STORED,
        "my_parts = Parts(lr_factors=my_schedule)",
        student="thief",
        assignment="speedrun",
    )
    rows = compete(find(folder, ["speedrun"]), tmp_path / "log.jsonl", rules, range(7, 9), say=lambda _: None)
    one, other = sorted(rows, key=lambda row: row.student)
    assert one.accuracy == other.accuracy < 0.9
    assert other.seconds > 0.5 * one.seconds


def test_runs_of_another_machine_are_made_again(hand_in, tmp_path, rules, monkeypatch):
    folder = hand_in("one.ipynb", student="one", assignment="speedrun")
    made = []
    run = {"accuracy": 0.5, "seconds": 1.0, "recipe": "r"}
    monkeypatch.setattr(leaderboard, "_run", lambda one, rules, seed, limits: made.append(seed) or run)
    for name in "here", "there", "here":
        monkeypatch.setattr(leaderboard, "machine", lambda name=name: name)
        compete(find(folder, ["speedrun"]), tmp_path / "log.jsonl", rules, range(2), say=lambda _: None)
    assert made == [0, 1, 0, 1]


def test_an_entry_that_fails_in_any_way_stops_no_other(hand_in, tmp_path, rules, monkeypatch):
    hand_in("a.ipynb", student="a", assignment="speedrun")
    folder = hand_in("b.ipynb", student="b", assignment="speedrun")

    def run(one, rules, seed, limits):
        if one.student == "a":
            raise NotStarted("no memory is left")
        return {"accuracy": 0.5 + seed / 100, "seconds": 1.0, "recipe": "r"}

    monkeypatch.setattr(leaderboard, "_run", run)
    rows = compete(find(folder, ["speedrun"]), tmp_path / "log.jsonl", rules, range(2), say=lambda _: None)
    assert [(row.student, row.rank, row.note) for row in rows] == [
        ("b", "1", ""),
        ("a", "refused", "NotStarted: no memory is left"),
    ]


def test_too_few_seeds_no_entries_and_other_data_are_refused(hand_in, tmp_path, rules):
    folder = hand_in("one.ipynb", assignment="speedrun")
    log = tmp_path / "log.jsonl"
    with pytest.raises(UsageError, match="2 or more"):
        compete(find(folder, ["speedrun"]), log, rules, range(1))
    with pytest.raises(UsageError, match="none of the 1 files"):
        compete(find(hand_in("one.ipynb"), ["adding"]), log, rules, range(5))
    with pytest.raises(UsageError, match="and not svhn"):
        compete(find(folder, ["speedrun"]), log, replace(rules, data="svhn"), range(5))
    log.write_text('{"recipe": {}}\n')
    with pytest.raises(AirbenchError, match="another kind of log"):
        compete(find(hand_in("one.ipynb", assignment="speedrun"), ["speedrun"]), log, rules, range(5))
