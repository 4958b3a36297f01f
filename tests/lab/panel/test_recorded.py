import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import pytest
from airbench_lab.panel.recorded import RecordedRuns
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.panel.snapshot import take_snapshot
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, BASELINE, Parts

PLAIN = replace(AIRBENCH94, whiten=False)


@pytest.fixture
def laptop() -> Settings:
    return Settings(recipe=AIRBENCH94, scale="laptop", data="cifar10")


@pytest.fixture
def found() -> RecordedRuns:
    return RecordedRuns(DataSets("cifar10"), AIRBENCH94)


def rows(match) -> list[tuple]:
    return [(row["recipe"], row["n"]) for row in match.rows]


def test_beside_what_is_chosen_stands_what_the_switches_start_from(found, recorded, made, laptop):
    recorded([*made(AIRBENCH94, [0.7, 0.71]), *made(PLAIN, [0.6, 0.61, 0.62]), *made(replace(PLAIN, lr=1.0), [0.5])])
    now = found.lookup(laptop.changed(whiten=False))
    both = [("airbench94", 2), ("airbench94 whiten=false", 3)]
    assert rows(now) == [(line.label, len(line.accuracies)) for line in now.lines] == both
    assert {row["where"] for row in now.rows} == {"recorded on a processor, bfloat16, 1 thread"}
    assert {line.recorded for line in now.lines} == {"a processor, bfloat16, 1 thread"}
    assert {row["timed"] for row in now.rows} == {"recorded"}
    assert rows(found.lookup(laptop)) == [("airbench94", 2)]  # once
    assert rows(found.lookup(laptop.changed(lr=3.0))) == [("airbench94", 2)]  # of what is chosen there are none
    for changed in {"scale": "smoke"}, {"data": "cifar100"}:
        assert found.lookup(laptop.changed(**changed)).rows == ()
    assert found.lookup(laptop).rows  # and back
    own = RecordedRuns(DataSets(replace(random_dataset(192, 48), name="cifar10")), AIRBENCH94)
    assert own.lookup(laptop).rows == ()  # images of one's own are not taken for those under their name


def test_speedups_are_in_epochs_of_the_baseline_which_needs_two_lengths(recorded, trained, laptop):
    recorded([*trained(BASELINE, lengths=(5,)), *trained(AIRBENCH94, faster=1.5, lengths=(9.9,))])
    (row,) = RecordedRuns(DataSets("cifar10"), AIRBENCH94).lookup(laptop).rows
    assert row["worth"] is row["speedup"] is None
    assert row["note"]
    recorded(trained(BASELINE, lengths=(10, 20)))
    found = RecordedRuns(DataSets("cifar10"), AIRBENCH94)
    (row,) = found.lookup(laptop).rows
    assert row["worth"] == pytest.approx(1.5 * laptop.scaled.epochs, rel=0.02)
    assert row["speedup"] == pytest.approx(1.5, rel=0.02)


@pytest.fixture
def near(found, laptop) -> Callable[..., dict]:
    """What is recorded near airbench94 at the laptop scale, by the values of `names`."""

    def look(*names: str, seconds: float = math.inf, **changed) -> dict:
        values = found.near(
            laptop.changed(**changed), set(names), lambda one: tuple(map(one.value, names)), seconds=seconds
        )
        return values | {"positions": {one["at"]: one for one in values["positions"]}}

    return look


def test_what_differs_in_the_switches_alone_is_found_with_its_curve_and_needs(recorded, trained, made, near):
    recorded([*trained(BASELINE, lengths=(5, 10, 20, 40)), *trained(AIRBENCH94, 1.5, lengths=(5, 9.9, 20))])
    recorded([*made(PLAIN, [0.6, 0.61]), *made(replace(PLAIN, lr=1.0), [0.5])])
    now = near("whiten")
    assert now["positions"].keys() == {(True,), (False,)}
    assert (now["start"], now["complete"], now["scale"]) == ((True,), True, "laptop")
    on, off = now["positions"][True,], now["positions"][False,]
    assert on["points"][-1][0] == 3
    assert on["speedup"] == pytest.approx(1.5, rel=0.02)
    assert now["baseline"] / on["to_target"]["epochs"] == pytest.approx(1.5, rel=0.02)
    assert (on["to_target"]["of"], on["paper"]) == (None, pytest.approx(45 / 9.9))
    assert (off["n"], off["to_target"], off["paper"]) == (2, None, pytest.approx(45 / 22))
    assert near("whiten", "epochs")["positions"].keys() == {(True, 5), (True, 9.9), (True, 20), (False, 9.9)}
    assert near("whiten", "lr")["positions"].keys() == {(True, 11.5), (False, 11.5), (False, 1.0)}
    assert near("whiten", lr=1.0)["positions"].keys() == {(False,)}


def test_lower_levels_of_tta_are_positions_too_and_compiled_runs_where_that_is_switched(recorded, made, near):
    recorded([*made(AIRBENCH94, [0.7, 0.71]), *made(AIRBENCH94, [0.72, 0.73], compile=True)])
    levels = near("tta")["positions"]
    assert {at: round(one["accuracy"], 6) for (at,), one in levels.items()} == {
        "mirror+translate": 70.5,
        "mirror": 69.5,
        "none": 68.5,
    }
    assert near("compile")["positions"].keys() == {(False,), (True,)}
    assert near("lr")["positions"][11.5,]["accuracy"] == 70.5


def test_the_nearest_are_looked_up_first_and_the_others_later(recorded, made, near):
    far = replace(PLAIN, identity_init=False)
    recorded([run for one in (far, PLAIN, AIRBENCH94) for run in made(one, [0.7, 0.71])])
    seen = [near("whiten", "identity_init", seconds=0) for _ in range(20)]
    positions = [list(one["positions"]) for one in seen]
    assert positions[0] == [(True, True)]
    assert positions[-1] == [(True, True), (False, True), (False, False)]
    assert all(len(after) - len(before) <= 1 for before, after in itertools.pairwise(positions))
    assert [one["complete"] for one in seen] == sorted(one["complete"] for one in seen)
    assert seen[-1]["complete"]


def test_compiled_runs_are_others_and_raced_ones_have_no_line(recorded, made, laptop, found):
    raced = [one | {"epochs": [epoch | {"accuracy": None} for epoch in one["epochs"]]} for one in made(PLAIN, [0.7])]
    recorded([*made(AIRBENCH94, [0.7]), *made(AIRBENCH94, [0.72, 0.73], compile=True), *raced])
    assert rows(found.lookup(laptop.changed(compile=True))) == [("airbench94", 1), ("airbench94, compiled", 2)]
    assert rows(found.lookup(laptop)) == [("airbench94", 1)]
    unwatched = found.lookup(laptop.changed(whiten=False))
    assert len(unwatched.rows) == 2
    assert [line.label for line in unwatched.lines] == ["airbench94"]


def test_what_is_run_here_and_what_is_recorded_are_never_in_one_mean(recorded, made, experiment, result):
    """Nor in one line: their hardware is not the same, nor need their images be."""
    recorded(made(AIRBENCH94, [0.7, 0.72]))
    one = experiment("cifar10", scale="laptop")
    one.runs.add(one.settings, Parts(), result(one.settings, 0.5, seed=9))
    now = take_snapshot(one)
    assert [(row["where"] == "here", row["n"], round(row["accuracy"], 6)) for row in now.rows] == [
        (True, 1, 50),
        (False, 2, 71),
    ]
    assert [(bool(line.recorded), len(line.accuracies)) for line in now.others] == [(False, 1), (True, 2)]
