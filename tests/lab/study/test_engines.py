"""The engine of this process, with real trainings of a second."""

import threading
from dataclasses import replace

import pytest
from airbench_lab import runlog
from airbench_lab.study.engines import Here, Setting, Task, following
from airbench_lab.study.keys import key

from airbench_core import AIRBENCH94, AirbenchError, Runtime, Trainer, train

SHORT = Task("short", replace(AIRBENCH94, epochs=1), 0)
FLIP = SHORT._replace(label="flip", recipe=replace(SHORT.recipe, flip="random"))
TOO_FAST = SHORT._replace(label="too fast", recipe=replace(SHORT.recipe, lr=1e8, epochs=2))


@pytest.fixture
def engine(float32, noise):
    def make(**setting) -> Here:
        return Here(Setting(scale="smoke", runtime=float32, **setting), noise)

    return make


def outcomes(engine, tasks, stop=None):
    return list(engine.run(tasks, stop or threading.Event()))


def test_runs_are_those_that_train_makes(engine, noise, float32):
    tasks = [SHORT, FLIP, SHORT._replace(seed=1)]
    found = outcomes(engine(), tasks)
    assert [outcome.task for outcome in found] == tasks
    for task, record, seconds in found:
        alone = train(task.recipe, noise, scale="smoke", runtime=float32, seed=task.seed)
        assert record["accuracies"] == alone.accuracies
        assert [epoch["train_loss"] for epoch in record["epochs"]] == [epoch.train_loss for epoch in alone.epochs]
        assert all(epoch["accuracy"] is not None for epoch in record["epochs"])
        assert key(record) == key(runlog.record(alone))
        assert seconds >= record["seconds"]


def test_a_run_of_the_recipe_before_finds_all_set_up(engine, monkeypatch):
    made, init = [], Trainer.__init__
    monkeypatch.setattr(Trainer, "__init__", lambda *args, **kwargs: (made.append(1), init(*args, **kwargs))[1])
    outcomes(engine(), [SHORT, SHORT._replace(seed=1), FLIP])
    assert len(made) == 2


def test_what_fails_is_an_outcome_and_the_others_go_on(engine, monkeypatch, capsys):
    first, second = outcomes(engine(race=True, alone=False, predictions=True), [TOO_FAST, SHORT])
    assert first.failed["kind"] == "diverged"
    assert "lower lr" in first.failed["message"]
    assert first.record["asked"]["lr"] == 1e8
    assert not second.failed
    assert second.record["seconds"] is None  # not alone
    assert {epoch["accuracy"] for epoch in second.record["epochs"]} == {None}  # a race
    assert len(runlog.predictions(second.record)["none"]) == 48
    monkeypatch.setattr(Trainer, "batches", lambda self, *seeds: 1 / 0)
    (broken,) = outcomes(engine(), [SHORT])
    assert broken.failed == {"kind": "error", "message": "ZeroDivisionError: division by zero"}
    assert "in attempt" in capsys.readouterr().err  # the traceback, for whoever looks for the cause


def test_a_device_that_answers_no_more_ends_the_sweep(engine, monkeypatch):
    def broken(*_):
        raise RuntimeError("an illegal memory access")

    monkeypatch.setattr(Trainer, "batches", broken)
    monkeypatch.setattr(Runtime, "synchronize", broken)
    runs = engine().run([SHORT, FLIP], threading.Event())
    assert next(runs).failed["message"] == "RuntimeError: an illegal memory access"
    with pytest.raises(AirbenchError, match="answers no more"):
        next(runs)


def test_stop_ends_a_run_in_the_middle(engine, monkeypatch):
    stop, here = threading.Event(), engine()
    run = Trainer.run

    def stopped(self, *args, **options):
        stop.set()
        return run(self, *args, **options)

    monkeypatch.setattr(Trainer, "run", stopped)
    assert outcomes(here, [SHORT, FLIP], stop) == []


def test_what_is_compiled_is_done_before_another_recipe():
    a, b, eager = SHORT._replace(compile=True), FLIP._replace(compile=True), SHORT
    assert following([b, eager, a], a._replace(seed=5)) == 2
    assert following([b, eager], a) == 0
    assert following([b, a], eager) == following([b, a], None) == 0
