from dataclasses import replace

import pytest
from airbench_lab.panel.recorded import Recorded, reference_curve
from airbench_lab.panel.runs import Runs
from airbench_lab.panel.settings import Settings, Shelf
from airbench_lab.panel.snapshot import take

from airbench_core import AIRBENCH94, Parts
from airbench_core.speed import random_dataset

PLAIN = replace(AIRBENCH94, whiten=False)


@pytest.fixture
def laptop() -> Settings:
    return Settings(recipe=AIRBENCH94, scale="laptop", data="cifar10")


@pytest.fixture
def found() -> Recorded:
    return Recorded(Shelf("cifar10"), AIRBENCH94, AIRBENCH94)


def test_beside_what_is_chosen_stands_what_the_switches_start_from(found, recorded, made, laptop):
    recorded([*made(AIRBENCH94, [0.7, 0.71]), *made(PLAIN, [0.6, 0.61, 0.62]), *made(replace(PLAIN, lr=1.0), [0.5])])
    now = found.of(laptop.changed(whiten=False))
    assert [(row["recipe"], row["n"]) for row in now.rows] == [("airbench94", 2), ("airbench94 whiten=false", 3)]
    assert [(line.label, len(line.accuracies)) for line in now.lines] == [
        ("airbench94", 2),
        ("airbench94 whiten=false", 3),
    ]
    assert {row["where"] for row in now.rows} == {f"recorded on {now.runs.hardware}"}
    assert {line.recorded for line in now.lines} == {now.runs.hardware}
    assert {row["timed"] for row in now.rows} == {"recorded"}
    start = found.of(laptop)
    assert [row["recipe"] for row in start.rows] == ["airbench94"]  # once
    nothing = found.of(laptop.changed(lr=3.0))
    assert [row["recipe"] for row in nothing.rows] == ["airbench94"]
    assert not nothing.runs


def test_another_scale_has_its_own_records_or_none(found, recorded, made, laptop):
    recorded(made(AIRBENCH94, [0.7]))
    assert found.of(laptop).rows
    assert found.of(laptop.changed(scale="smoke")).rows == ()
    assert found.of(laptop.changed(data="cifar100")).rows == ()
    assert found.of(laptop).rows  # and back


def test_the_reference_is_not_stated_in_its_own_epochs(recorded, trained, laptop):
    recorded([*trained(AIRBENCH94, lengths=(5, 9.9, 20)), *trained(PLAIN, faster=0.8, lengths=(9.9,))])
    plain = laptop.changed(whiten=False)
    rows = Recorded(Shelf("cifar10"), AIRBENCH94, AIRBENCH94).of(plain).rows
    assert rows[0]["worth"] is rows[0]["speedup"] is None
    assert rows[0]["note"] == "the reference itself"
    assert rows[1]["worth"] == pytest.approx(0.8 * plain.scaled.epochs, rel=0.02)
    assert rows[1]["speedup"] == pytest.approx(0.8, rel=0.02)
    longer = Recorded(Shelf("cifar10"), AIRBENCH94, AIRBENCH94).of(laptop.changed(epochs=20.0)).rows
    assert [(row["worth"], row["note"]) for row in longer] == [(None, "the reference itself")] * 2
    other = Recorded(Shelf("cifar10"), AIRBENCH94, PLAIN).of(plain).rows
    assert other[1]["note"] == "the reference itself"
    assert other[0]["worth"] is None  # of this reference there is one length
    assert other[0]["note"] not in ("", "the reference itself")


def test_a_curve_needs_two_lengths(recorded, trained, laptop):
    recorded(trained(AIRBENCH94, lengths=(5,)))
    assert reference_curve(AIRBENCH94, laptop, "cifar10") is None
    recorded(trained(AIRBENCH94, lengths=(10,)))
    assert len(reference_curve(AIRBENCH94, laptop, "cifar10")) == 2


def test_compiled_runs_are_beside_plain_ones_of_the_start(recorded, made, laptop, found):
    recorded([*made(AIRBENCH94, [0.7]), *made(AIRBENCH94, [0.72, 0.73], compile=True)])
    rows = found.of(laptop.changed(compile=True)).rows
    assert [(row["recipe"], row["n"]) for row in rows] == [("airbench94", 1), ("airbench94, compiled", 2)]
    assert [row["n"] for row in found.of(laptop).rows] == [1]


def test_raced_records_are_a_row_without_a_line(recorded, made, laptop, found):
    unwatched = [
        one | {"epochs": [epoch | {"accuracy": None} for epoch in one["epochs"]]} for one in made(AIRBENCH94, [0.7])
    ]
    recorded(unwatched)
    assert len(found.of(laptop).rows) == 1
    assert found.of(laptop).lines == ()


def test_what_is_run_here_and_what_is_recorded_are_never_in_one_mean(recorded, made, laptop, result):
    """Nor in one line: their hardware is not the same, nor need their images be."""
    recorded(made(AIRBENCH94, [0.7, 0.72]))
    runs = Runs(AIRBENCH94, lambda settings: None)
    runs.add(laptop, Parts(), result(laptop, 0.5, seed=9))
    found = Recorded(Shelf("cifar10"), AIRBENCH94, AIRBENCH94).of(laptop)
    rows = [*runs.rows(laptop), *found.rows]
    assert [(row["where"] == "here", row["n"], round(row["accuracy"], 6)) for row in rows] == [
        (True, 1, 50),
        (False, 2, 71),
    ]
    lines = [*runs.lines(laptop), *found.lines]
    assert [(bool(line.recorded), len(line.accuracies)) for line in lines] == [(False, 1), (True, 2)]


def test_images_of_one_s_own_are_not_taken_for_those_recorded_under_their_name(recorded, made, laptop):
    recorded(made(AIRBENCH94, [0.7]))
    own = replace(random_dataset(192, 48), name="cifar10")
    assert Recorded(Shelf(own), AIRBENCH94, AIRBENCH94).of(laptop).rows == ()


def test_a_snapshot_holds_both(recorded, made, experiment, chosen, result):
    recorded(made(AIRBENCH94, [0.7, 0.72]))
    one = experiment("cifar10", scale="laptop")
    one.runs.add(one.settings, Parts(), result(one.settings, 0.5))
    now = take(one)
    assert [row["n"] for row in now.rows] == [1, 2]
    assert [bool(line.recorded) for line in now.others] == [False, True]
    assert one.table()["where"].tolist()[0] == "here"
