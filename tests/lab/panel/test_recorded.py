from dataclasses import replace

import pytest
from airbench_lab.panel.recorded import RecordedRuns, reference_curve
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.panel.snapshot import take_snapshot
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, Parts

PLAIN = replace(AIRBENCH94, whiten=False)


@pytest.fixture
def laptop() -> Settings:
    return Settings(recipe=AIRBENCH94, scale="laptop", data="cifar10")


@pytest.fixture
def found() -> RecordedRuns:
    return RecordedRuns(DataSets("cifar10"), AIRBENCH94, AIRBENCH94)


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
    own = RecordedRuns(DataSets(replace(random_dataset(192, 48), name="cifar10")), AIRBENCH94, AIRBENCH94)
    assert own.lookup(laptop).rows == ()  # images of one's own are not taken for those under their name


def test_the_reference_is_not_stated_in_its_own_epochs(recorded, trained, laptop, found):
    recorded([*trained(AIRBENCH94, lengths=(5, 9.9, 20)), *trained(PLAIN, faster=0.8, lengths=(9.9,))])
    plain = laptop.changed(whiten=False)
    first, second = found.lookup(plain).rows
    assert first["worth"] is first["speedup"] is None
    assert first["note"] == "the reference itself"
    assert second["worth"] == pytest.approx(0.8 * plain.scaled.epochs, rel=0.02)
    assert second["speedup"] == pytest.approx(0.8, rel=0.02)
    longer = found.lookup(laptop.changed(epochs=20.0)).rows
    assert [(row["worth"], row["note"]) for row in longer] == [(None, "the reference itself")] * 2
    first, second = RecordedRuns(DataSets("cifar10"), AIRBENCH94, PLAIN).lookup(plain).rows
    assert second["note"] == "the reference itself"
    assert first["worth"] is None  # of this reference there is one length
    assert first["note"] not in ("", "the reference itself")


def test_a_curve_needs_two_lengths(recorded, trained, laptop):
    for length, known in (5, None), (10, 2):
        recorded(trained(AIRBENCH94, lengths=(length,)))
        curve = reference_curve(AIRBENCH94, laptop, "cifar10")
        assert (curve and len(curve)) == known


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
