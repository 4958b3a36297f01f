"""Plans, costs and logs, on an engine that makes its runs in this process."""

import json
import threading
from dataclasses import replace

import pytest
from airbench_lab.study.engines import Outcome, Runner, Setting, Task
from airbench_lab.study.keys import key
from airbench_lab.study.studies import Variant
from airbench_lab.study.sweep import Costs, make, plan

from airbench_core import AIRBENCH94, AirbenchError, UsageError, runlog, train
from airbench_core.flops import training_flops
from airbench_core.scales import SCALES

SHORT = replace(AIRBENCH94, epochs=2)
VARIANTS = [Variant("short", SHORT), Variant("random flip", replace(SHORT, flip="random"))]
DIVERGES = Variant("too fast", replace(SHORT, lr=1e8))


class Here:
    """An engine of one slot in this process."""

    slots = 1

    def __init__(self, runtime, data, **setting):
        self.runner = Runner(Setting(scale="smoke", runtime=runtime, **setting), data)
        self.made: list[Task] = []
        self.closed = False

    def runtimes(self):
        return [self.runner.setting.runtime.describe()]

    def run(self, tasks, stop):
        try:
            for task in tasks:
                if stop.is_set():
                    return
                self.made.append(task)
                yield Outcome(task, self.runner.attempt(task), 1.5)
                yield None
        finally:
            self.closed = True


@pytest.fixture
def engine(float32, noise):
    return Here(float32, noise)


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


def planned(engine, log, variants=VARIANTS, seeds=range(2), **changes):
    data = engine.runner.data
    return plan(variants, seeds, scale="smoke", data=data, runtimes=engine.runtimes(), log=log, **changes)


def test_a_sweep_makes_each_run_once_and_goes_on_where_it_was(engine, log):
    first = planned(engine, log)
    assert [(task.label, task.seed) for task in first.todo] == [
        *(("short", 0), ("random flip", 0)),  # seed after seed: a sweep that is stopped has whole comparisons
        *(("short", 1), ("random flip", 1)),
    ]
    assert first.total == 4
    make(first.todo[:3], engine, log)
    then = planned(engine, log, seeds=range(3))
    assert [(task.label, task.seed) for task in then.held] == [("short", 0), ("random flip", 0), ("short", 1)]
    assert [(task.label, task.seed) for task in then.todo] == [("random flip", 1), ("short", 2), ("random flip", 2)]
    make(then.todo, engine, log)
    assert not planned(engine, log, seeds=range(3)).todo
    assert len({key(record) for record in runlog.load(log)}) == len(runlog.load(log)) == 6


def test_runs_are_those_that_train_makes(engine, log, noise, float32):
    make(planned(engine, log).todo, engine, log)
    for record, variant in zip(runlog.load(log), [*VARIANTS, *VARIANTS], strict=True):
        alone = train(variant.recipe, noise, scale="smoke", runtime=float32, seed=record["seed"])
        assert record["accuracies"] == alone.accuracies
        assert [epoch["train_loss"] for epoch in record["epochs"]] == [epoch.train_loss for epoch in alone.epochs]
        assert key(record) == key(alone)


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"threads": 2}, {"name": "another CPU"}, {"compile": True}])
def test_a_run_made_otherwise_is_no_substitute(engine, log, change):
    make(planned(engine, log).todo, engine, log)
    variants, runtime = VARIANTS, engine.runtimes()[0] | change
    if "compile" in change:  # is the variant's, whatever the engine says
        variants = [variant._replace(compile=True) for variant in VARIANTS]
    data = engine.runner.data
    settings = {"scale": "smoke", "data": data, "log": log}
    assert len(plan(variants, range(2), runtimes=[runtime], **settings).todo) == 4
    both = [runtime, engine.runtimes()[0]]
    assert len(plan(variants, range(2), runtimes=both, **settings).todo) == (4 if "compile" in change else 0)


def test_other_data_is_no_substitute(engine, log, noise):
    make(planned(engine, log).todo, engine, log)
    data = noise.head(191, None)
    found = plan(VARIANTS, range(2), scale="smoke", data=data, runtimes=engine.runtimes(), log=log)
    assert len(found.todo) == 4


def test_a_run_that_diverges_is_logged_and_not_tried_again_and_the_others_go_on(engine, log):
    variants = [DIVERGES, *VARIANTS]
    (failed,) = make(planned(engine, log, variants, range(1)).todo, engine, log)
    assert failed.task.label == "too fast"
    assert failed.failed["kind"] == "diverged"
    assert "lower lr" in failed.failed["message"]
    assert len(runlog.load(log)) == 2
    again = planned(engine, log, variants, range(1))
    assert (len(again.todo), len(again.held), [task.label for task in again.diverged]) == (0, 2, ["too fast"])


def test_a_run_that_failed_otherwise_is_tried_again(engine, log, monkeypatch, capsys):
    with monkeypatch.context() as patch:
        patch.setattr("airbench_core.training.Trainer.reset", lambda self, seed: 1 / 0)
        (first, second) = make(planned(engine, log, seeds=range(1)).todo, engine, log)
    assert first.failed == second.failed == {"kind": "error", "message": "ZeroDivisionError: division by zero"}
    assert "in attempt" in capsys.readouterr().err  # the traceback, for whoever looks for the cause
    again = planned(engine, log, seeds=range(1))
    assert len(again.todo) == 2
    assert not make(again.todo, engine, log)
    assert not planned(engine, log, seeds=range(1)).todo


def test_predictions_are_kept_where_asked_for_and_runs_without_them_are_made_again(float32, noise, log):
    bare = Here(float32, noise)
    make(planned(bare, log).todo, bare, log)
    keeping = Here(float32, noise, predictions=True)
    again = planned(keeping, log, predictions=True)
    assert len(again.todo) == 4
    make(again.todo, keeping, log)
    assert "predictions" in runlog.load(log)[-1]
    assert not planned(keeping, log, predictions=True).todo


def test_stop_ends_a_sweep_between_runs_and_the_log_keeps_what_was_done(engine, log):
    stop = threading.Event()
    seen = []

    def observer(outcome):
        seen.append(outcome)
        assert len(runlog.load(log)) == len([outcome for outcome in seen if outcome])  # logged before it is shown
        stop.set()

    assert not make(planned(engine, log).todo, engine, log, observer=observer, stop=stop)
    assert len(engine.made) == 1
    assert engine.closed


def test_a_log_that_cannot_be_written_ends_the_engine(engine, tmp_path):
    with pytest.raises(AirbenchError, match=r"run with seed 0 is done \(accuracy 0.*\) but could not be logged"):
        make(planned(engine, tmp_path / "new.jsonl").todo, engine, tmp_path)
    assert len(engine.made) == 1
    assert engine.closed


def test_a_recipe_that_cannot_be_trained_is_known_before_the_first_run(engine, log):
    big = Variant("big", replace(SHORT, batch_size=1024 * 8))
    with pytest.raises(UsageError, match="big: batch_size=256 is more than the 192 training images"):
        planned(engine, log, [*VARIANTS, big])


def test_a_log_of_something_else_is_refused(engine, log):
    log.write_text(json.dumps({"turn": 1}) + "\n")
    with pytest.raises(AirbenchError, match="line 1: not the record of a run"):
        planned(engine, log)


def test_costs_are_the_median_of_a_recipes_runs_and_follow_flops_for_others(noise):
    costs = Costs(noise)
    small = SCALES["smoke"].recipe(SHORT), False
    long = replace(small[0], epochs=20 * small[0].epochs), False
    ratio = training_flops(long[0], 192, 48) / training_flops(small[0], 192, 48)
    assert costs.expect(small) is None
    assert costs.total({small: 1}, 1) is None
    assert costs.total({}, 1) == 0
    costs.guess(small[0], 3.0)
    assert costs.expect(small) == 3
    for seconds in (1.0, 2.0, 9.0):
        costs.learn(small, seconds)
    assert costs.expect(small) == 2  # what was guessed does not count any more
    assert costs.expect(long) == pytest.approx(2 * ratio)
    assert costs.expect(long) > 10
    assert costs.total({small: 6}, 1) == 12
    assert costs.total({small: 6}, 4) == 3
    assert costs.total({small: 1}, 4) == 2  # one run does not get faster by more slots
    assert costs.total({small: 6}, 1, underway=0.5) == 11
    assert costs.total({small: 2, long: 1}, 1) == pytest.approx(4 + costs.expect(long))
    compiled = long[0], True
    assert costs.expect(compiled) == costs.expect(long)  # nothing compiled was run yet
    costs.learn((small[0], True), 1.0)
    assert costs.expect(compiled) == pytest.approx(ratio)
    assert costs.expect(long) == pytest.approx(2 * ratio)


def test_a_plan_knows_what_its_runs_took(engine, log):
    make(planned(engine, log).todo[:1], engine, log)
    costs = planned(engine, log).costs
    (record,) = runlog.load(log)
    assert costs.measured == {(SCALES["smoke"].recipe(SHORT), False): [record["seconds"]]}


def test_variants_that_are_the_same_training_are_made_once(engine, log):
    twice = planned(engine, log, [*VARIANTS, Variant("another name", SHORT)], range(1))
    assert [task.label for task in twice.todo] == ["short", "random flip"]
    assert twice.total == 2


def test_two_sweeps_do_not_write_to_one_log(engine, log, float32, noise):
    def second(outcome):
        if outcome is not None:
            with pytest.raises(AirbenchError, match=r"another sweep is writing to .*runs.jsonl"):
                make(planned(engine, log).todo, Here(float32, noise), log)
            make(planned(engine, log).todo[:1], Here(float32, noise), log.with_name("other.jsonl"))

    make(planned(engine, log).todo[:1], engine, log, observer=second)
    assert len(runlog.load(log)) == 1
    make(planned(engine, log).todo, engine, log)  # the lock is free again


def test_runs_that_are_not_alone_have_no_seconds(float32, noise, log):
    beside = Here(float32, noise, alone=False)
    make(planned(beside, log).todo[:1], beside, log)
    (record,) = runlog.load(log)
    assert record["seconds"] is None
    assert [epoch["seconds"] for epoch in record["epochs"]] == [None] * len(record["epochs"])
    assert not planned(beside, log).costs.measured
