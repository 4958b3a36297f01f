"""Plans, costs and logs, on an engine that only says what its runs came to."""

import threading
from dataclasses import replace

import pytest
from airbench_lab import runlog
from airbench_lab.flops import training_flops
from airbench_lab.study.engines import Outcome, Task
from airbench_lab.study.keys import key
from airbench_lab.study.studies import Variant
from airbench_lab.study.sweep import Costs, make, plan

from airbench_core import AIRBENCH94, AirbenchError, UsageError
from airbench_core.scales import SCALES

SHORT = replace(AIRBENCH94, epochs=2)
VARIANTS = [Variant("short", SHORT), Variant("random flip", replace(SHORT, flip="random"))]
SMOKE = SCALES["smoke"]


class Fake:
    """An engine of one slot. fails: the kind, and with which seeds."""

    slots = 1

    def __init__(self, record, data, runtime):
        self.record, self.data, self.runtime = record, data, runtime
        self.made: list[Task] = []
        self.closed, self.fails, self.extra = False, {}, {}

    def run(self, tasks, stop):
        try:
            for task in tasks:
                if stop.is_set():
                    return
                self.made.append(task)
                about = self.runtime | {"compile": task.compile}
                run = self.record(task.recipe, seed=task.seed, scale="smoke", **about) | self.extra
                run["data"] = {"name": "noise", "digest": self.data.digest}
                if task.label in self.fails:
                    run["failed"] = {"kind": self.fails[task.label], "message": "it failed"}
                yield Outcome(task, run, 1.5)
        finally:
            self.closed = True


@pytest.fixture
def engine(record, float32, noise):
    return Fake(record, noise, float32.describe())


@pytest.fixture
def log(tmp_path):
    return tmp_path / "runs.jsonl"


def planned(engine, log, variants=VARIANTS, seeds=range(2), **changes):
    settings = {"scale": SMOKE, "data": engine.data, "runtimes": [engine.runtime], "log": log}
    return plan(variants, seeds, **settings | changes)


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


@pytest.mark.parametrize("change", [{"dtype": "bfloat16"}, {"threads": 2}, {"name": "another CPU"}, {"compile": True}])
def test_a_run_made_otherwise_is_no_substitute(engine, log, change):
    make(planned(engine, log).todo, engine, log)
    variants, runtime = VARIANTS, engine.runtime | change
    if "compile" in change:  # is the variant's, whatever the engine says
        variants = [variant._replace(compile=True) for variant in VARIANTS]
    assert len(planned(engine, log, variants, runtimes=[runtime]).todo) == 4
    both = [runtime, engine.runtime]
    assert len(planned(engine, log, variants, runtimes=both).todo) == (4 if "compile" in change else 0)


def test_a_run_that_diverged_is_not_tried_again_and_one_that_failed_otherwise_is(engine, log):
    engine.fails = {"short": "diverged", "random flip": "died"}
    failed = make(planned(engine, log, seeds=range(1)).todo, engine, log)
    assert [outcome.failed["kind"] for outcome in failed] == ["diverged", "died"]
    again = planned(engine, log, seeds=range(1))
    assert [task.label for task in again.diverged] == ["short"]
    assert [task.label for task in again.todo] == ["random flip"]
    engine.fails = {}
    assert not make(again.todo, engine, log)
    assert not planned(engine, log, seeds=range(1)).todo


def test_runs_without_the_predictions_that_are_wanted_are_made_again(engine, log):
    make(planned(engine, log).todo, engine, log)
    again = planned(engine, log, predictions=True)
    assert len(again.todo) == 4
    engine.extra = {"predictions": {}}
    make(again.todo, engine, log)
    assert not planned(engine, log, predictions=True).todo


def test_stop_ends_a_sweep_between_runs_and_the_log_keeps_what_was_done(engine, log):
    stop = threading.Event()

    def observer(outcome):
        assert len(runlog.load(log)) == 1  # logged before it is shown
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


def test_variants_that_are_the_same_training_are_made_once(engine, log):
    twice = planned(engine, log, [*VARIANTS, Variant("another name", SHORT)], range(1))
    assert [task.label for task in twice.todo] == ["short", "random flip"]
    assert twice.total == 2


def test_costs_are_the_median_of_a_recipes_runs_and_follow_flops_for_others(noise):
    costs, long = Costs(SMOKE, noise), replace(SHORT, epochs=40)
    ratio = training_flops(SMOKE.recipe(long), 192, 48) / training_flops(SMOKE.recipe(SHORT), 192, 48)
    one, another = Task("short", SHORT, 0), Task("long", long, 0)
    assert costs.expect(SHORT) is None
    assert costs.total([one], 1) is None
    assert costs.total([], 1) == 0
    costs.guess(SHORT, 3.0)
    assert costs.expect(SHORT) == 3
    for seconds in (1.0, 2.0, 9.0):
        costs.learn(SHORT, False, seconds)
    assert costs.expect(SHORT) == 2  # what was guessed does not count any more
    assert costs.expect(long) == pytest.approx(2 * ratio)
    assert costs.total([one] * 6, 1) == 12
    assert costs.total([one] * 6, 4) == 3
    assert costs.total([one], 4) == 2  # one run does not get faster by more slots
    assert costs.total([one, one, another], 1) == pytest.approx(4 + 2 * ratio)
    assert costs.expect(long, True) == costs.expect(long)  # nothing compiled was run yet
    costs.learn(SHORT, True, 1.0)
    assert costs.expect(long, True) == pytest.approx(ratio)
    assert costs.expect(long) == pytest.approx(2 * ratio)


def test_a_plan_knows_what_its_runs_took_if_that_may_be_quoted(engine, log):
    engine.extra = {"seconds": None}
    make(planned(engine, log).todo[:1], engine, log)
    assert not planned(engine, log).costs.measured
    engine.extra = {"seconds": 7.0}
    make(planned(engine, log).todo[:1], engine, log)
    assert planned(engine, log).costs.measured == {(VARIANTS[1].recipe, False): [7.0]}
