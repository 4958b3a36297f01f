"""Presses of Run, stopped, failed, repeated, queued; and what a snapshot says of each."""

import gc
import threading
import time
import traceback
import weakref
from types import SimpleNamespace

import pandas as pd
import pytest
from airbench_lab import runlog
from airbench_lab.panel import runner as runners
from airbench_lab.panel.experiment import Experiment
from airbench_lab.panel.runs import InterruptedRun, rows_frame
from airbench_lab.panel.snapshot import Snapshot, take_snapshot
from airbench_lab.worker import Foreground, Job

from airbench_core import AIRBENCH94, AirbenchError, DataError, Parts, Stopped, UsageError
from airbench_core.tricks.flip import flip_mask

AGAIN = "these seeds were run before: the same comes out again. For new runs raise `first seed`"


def said(one: Experiment) -> tuple[str, str]:
    return tuple(one.status().message)


def finish(one: Experiment, **changed) -> Snapshot:
    one.set(**changed)
    one.start()
    one.wait()
    return take_snapshot(one)


def drawn(lines) -> list[tuple]:
    return [(line.label, line.state, len(line.epochs)) for line in lines]


def after_those_before(worker, times: int = 1) -> None:
    """Until the worker has done all that it was given."""
    for _ in range(times):
        last = Job(lambda _: None)
        worker.submit(last)
        assert last.wait(20)


def freed(worker, *weak: weakref.ref) -> bool:
    after_those_before(worker, 3)  # it lets go of a job just after this is over
    gc.collect()
    return all(one() is None for one in weak)


def test_done_and_again_with_other_values(experiment, recorded):
    one = experiment(seeds=2)
    assert (one.state, take_snapshot(one).progress, take_snapshot(one).fraction_done) == ("idle", "", 0)
    with pytest.raises(UsageError, match="nothing was run yet"):
        one.result()
    one.stop()
    assert one.state == "idle"
    now = finish(one)
    assert [result.seed for result in one.result()] == [0, 1]
    assert (one.state, said(one), now.progress, now.fraction_done) == ("done", ("info", ""), "done", 1)
    assert drawn([now.live]) == [("airbench94, seed 1", "done", 3)]  # of several seeds the last
    assert [(line.label, len(line.accuracies)) for line in now.others] == [("airbench94", 2)]  # their mean
    now = finish(one, whiten=False, seeds=1)
    assert [result.recipe.whiten for result in one.result()] == [False]
    assert drawn([now.live]) == [("airbench94 whiten=false", "done", 3)]
    assert [line.label for line in now.others] == ["airbench94"]  # not drawn twice
    assert rows_frame(now.rows)[["recipe", "n", "where"]].values.tolist() == [
        ["airbench94", 2, "here"],
        ["airbench94 whiten=false", 1, "here"],
    ]


def test_a_stop_keeps_the_curve_so_far_and_is_drawn_once(experiment, started):
    one = experiment()
    hold = started(one, epochs=1)
    assert one.state == "running"
    assert drawn([take_snapshot(one).live]) == [("airbench94", "running", 1)]
    one.set(whiten=False)  # for the next
    for state in "running", "stopping":
        assert one.state == state
        with pytest.raises(UsageError, match="a run is on: stop it first"):
            one.start()
        one.stop()
    assert take_snapshot(one).progress == "stopping at the next step"
    hold.let_go()
    one.wait()
    with pytest.raises(Stopped):
        one.result()
    assert said(one) == ("warning", "the run was stopped after 1.0 of 2.97 epochs")
    now = take_snapshot(one)
    assert (now.progress, now.rows, now.others, drawn([now.live])) == (
        "stopped", (), (), [("airbench94", "stopped", 1)]
    )  # fmt: skip
    assert 0.2 < now.fraction_done < 0.5
    assert drawn(finish(one).others) == [("airbench94", "stopped", 1)]
    assert one.result()[0].recipe.whiten is False


def test_a_stop_or_a_failure_among_several_keeps_the_runs_before_it(experiment):
    how = None

    def flip(kind, epoch, *rest):
        if len(one.status().runner.progress.results) == 1 and epoch == 2:
            how(one)
        return flip_mask(kind, epoch, *rest)

    def fail(_):
        raise ValueError("mine\nsecond line")

    kept = "; the 1 before it is kept"
    for ending, state, message in (
        (Experiment.stop, "stopped", ("warning", f"run 2 of 3 was stopped after 2.0 of 2.97 epochs{kept}")),
        (fail, "failed", ("error", f"run 2 of 3 failed: ValueError: mine (panel.result() shows where){kept}")),
    ):
        how = ending
        one = experiment(seeds=3, parts=Parts(flip=flip))
        now = finish(one)
        assert said(one) == message
        assert [row["n"] for row in one.runs.rows()] == [1]
        own = "airbench94 with own flip"
        assert drawn(one.runs.lines(one.settings)) == [(own, "done", 3), (own, state, 2)]
        assert drawn([now.live, *now.others]) == [(f"{own}, seed 1", state, 2), (own, "done", 3)]


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AirbenchError("lower lr"), "the run failed: lower lr"),
        (AssertionError(), "the run failed: AssertionError: no message (panel.result() shows where)"),
        (SystemExit("bye"), "the run failed: SystemExit: bye (panel.result() shows where)"),
    ],
)
def test_what_fails_is_said_raised_with_its_place_and_forgotten(experiment, worker, error, text):
    """A student reads what went wrong, sees where, mends it and runs again."""
    trainers = []

    def broken(*_):
        trainers.append(weakref.ref(one._trainers._last[2]))
        raise error

    one = experiment(parts=Parts(whiten=broken))
    finish(one)
    assert said(one) == ("error", text)
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            one.result()
        assert raised.value is error
        assert "in broken" in "".join(traceback.format_exception(raised.value))
    assert freed(worker, *trainers)  # who knows in what state it is
    finish(one, whiten=False)  # so that it is not asked
    assert (one.state, said(one)) == ("done", ("info", ""))


def test_a_press_that_only_repeats_says_so(experiment):
    """While it goes on, and when it is over; a race of the same seeds is something new, and so is one more seed."""
    one = experiment(seeds=2)
    messages = []
    one.on_step = lambda: messages.append(said(one)[1])
    for changed, text in (
        ({}, ""),
        ({"seeds": 1}, AGAIN),
        ({"race": True}, ""),
        ({"seeds": 2, "race": False}, AGAIN),
        ({"first_seed": 1}, ""),
    ):
        finish(one, **changed)
        assert said(one) == ("info", text)
        assert set(messages) == (set() if one.settings.race else {text})
        messages.clear()


def test_a_set_that_is_refused_changes_nothing_and_a_message_stays_until_it_is_no_longer_true(experiment):
    one = experiment(epochs=5.0)
    before, painted = one.settings, []
    one.show_error(UsageError("epochs=-1 is not legal"))
    one.on_change = lambda: painted.append(True)
    for values in ({"whiten": False, "epochs": -1}, {"seeds": 3, "data": "mnist"}, {"scale": "huge"}, {"whitn": True}):
        with pytest.raises(UsageError):
            one.set(**values)
    one.set(whiten=True)  # as it is
    assert (one.settings, painted, said(one)) == (before, [], ("error", "epochs=-1 is not legal"))
    one.set(whiten=False, data="builtin", scale="laptop")
    assert painted
    assert said(one) == ("info", "")
    assert one.settings == before.changed(whiten=False, data="builtin", scale="laptop")
    one.set(data="auto", scale="auto")
    assert one.settings.scale_and_data == ("smoke", "noise")
    one.set(seeds=3, race=True)
    one.reset()
    assert one.settings == before
    assert "stays" in said(one)[1]


def test_own_parts_train_and_are_never_under_the_plain_name(experiment):
    own = "airbench94 with own flip"
    one = experiment(parts=Parts(flip=lambda *args: flip_mask(*args)))
    now = finish(one)
    assert [result.parts for result in one.result()] == [("flip",)]
    assert (one.name, now.live.label, one.runs.rows()[0]["recipe"]) == (own, own, own)
    assert now.title.startswith(f"airbench94 on {one.device}")


def test_images_that_are_not_here_are_not_trained_on_and_recorded_runs_are_found(
    experiment, recorded, made, monkeypatch, tmp_path
):
    for name in "AIRBENCH_DATA", "XDG_CACHE_HOME", "HOME":
        monkeypatch.setenv(name, str(tmp_path))
    recorded(made(AIRBENCH94, [0.7, 0.71]))
    one = experiment("cifar10", scale="laptop")
    with pytest.raises(DataError, match=r"cifar10 is not on this machine.*`airbench data cifar10`"):
        one.start()
    one.measure_cost()  # nothing to be measured with
    assert (one.state, one.is_measuring) == ("idle", False)
    now = take_snapshot(one)
    assert [(row["n"], row["where"] == "here") for row in now.rows] == [(2, False)]
    assert now.cost.startswith("cifar10 is not on this machine")


def test_the_cost_is_that_of_what_is_chosen(experiment, run_costs, noise, cpu, chosen):
    one = experiment(seeds=5)
    unknown = "cost: known after the first run"
    assert take_snapshot(one).cost == unknown
    run_costs.add(chosen, cpu, noise, 40.0)
    for changed, cost in (
        ({}, "cost here: about 40 s a run of 2.97 epochs, 5 runs: about 3 min"),
        ({"seeds": 1}, "cost here: about 40 s a run of 2.97 epochs"),
        ({"epochs": 2 * chosen.recipe.epochs}, "cost here: about 71 s a run of 5.94 epochs"),  # one inference in both
        ({"scale": "laptop"}, unknown),
        ({"compile": True}, "cost: known after the first compiled run, which compiles before its clock starts"),
    ):
        one.set(**changed)
        assert take_snapshot(one).cost == cost


def test_a_network_of_ones_own_costs_what_its_runs_cost_and_others_what_they_did(experiment, run_costs, noise, cpu):
    plain, own = experiment(), experiment(parts=Parts(network=lambda recipe, classes: None))
    run_costs.add(plain.settings, cpu, noise, 40.0)
    assert take_snapshot(plain).cost.startswith("cost here: about 40 s")
    assert take_snapshot(own).cost == "cost: known after the first run"
    own.measure_cost()  # which could only measure the recipe's
    assert not own.is_measuring
    own.costs.add(own.settings, cpu, noise, 80.0)
    assert [take_snapshot(one).cost[17:21] for one in (plain, own)] == ["40 s", "80 s"]


def test_a_watched_run_costs_what_one_waits_and_a_race_its_clock(experiment, run_costs):
    one = experiment()
    for race in False, True:
        assert finish(one, race=race).cost.startswith("cost here: ")
        (result,) = one.result()
        cost = run_costs.estimate(one.settings, one.runtime)
        assert (cost == result.seconds) == race
        assert cost >= result.seconds


@pytest.fixture
def measuring(run_costs, monkeypatch):
    """Measurements that take until they are let go; each notes its place."""
    about = SimpleNamespace(places=[], entered=threading.Event(), go=threading.Event())

    def measure(settings, *_) -> None:
        about.places.append(settings.scale_and_data)
        about.entered.set()
        assert about.go.wait(20)

    monkeypatch.setattr(run_costs, "measure", measure)
    yield about
    about.go.set()


def test_what_is_chosen_during_a_measurement_is_measured_after_it(experiment, measuring, worker):
    one = experiment()
    for _ in range(2):
        one.measure_cost()
    assert take_snapshot(one).cost == "cost: being measured"
    assert measuring.entered.wait(20)
    one.start()
    assert take_snapshot(one).progress == "first this machine is measured"
    one.set(data="builtin")
    one.measure_cost()  # as the widgets do
    measuring.go.set()
    assert one.result()
    after_those_before(worker, 2)  # the second is submitted when the first is over
    assert measuring.places == [("smoke", "noise"), ("smoke", "builtin")]
    assert not one.is_measuring


@pytest.mark.parametrize("begun", [True, False])
def test_a_closed_panel_measures_nothing_more(experiment, measuring, worker, gate, begun):
    if not begun:
        experiment(parts=gate.parts).start()
    one = experiment()
    one.measure_cost()
    assert measuring.entered.wait(20 if begun else 0) == begun
    one.set(data="builtin")
    one.close()
    measuring.go.set()
    gate.go.set()
    after_those_before(worker, 2)
    assert measuring.places == [("smoke", "noise")] * begun


@pytest.mark.parametrize("changed", [{"compile": True}, {"on": Foreground()}])
def test_a_cost_that_is_not_measured(experiment, run_costs, monkeypatch, changed):
    """A compiled run would take minutes; in the foreground, the notebook would wait."""
    monkeypatch.setattr(run_costs, "measure", lambda *_: pytest.fail("measured"))
    one = experiment(**changed)
    one.measure_cost()
    assert not one.is_measuring


def test_progress_in_words(experiment, started, run_costs, noise, cpu):
    one = experiment(seeds=3, first_seed=7)
    hold = started(one)
    assert take_snapshot(one).progress == "run 1 of 3, 0.0 of 2.97 epochs"
    run_costs.add(one.settings, cpu, noise, 1000.0)
    assert take_snapshot(one).progress == "run 1 of 3, 0.0 of 2.97 epochs, about 50 min left"
    hold.let_go()
    one.stop()
    one.wait()
    hold = started(one, epochs=2)
    now = take_snapshot(one)
    assert now.progress.startswith("run 1 of 3, 2.0 of 2.97 epochs, about ")
    assert 0.15 < now.fraction_done < 0.33
    hold.let_go()


def test_between_two_runs_nothing_wrong_is_said(experiment):
    """A panel is painted whenever it likes: the bar never goes back, and there is no third run of two."""
    one, seen = experiment(seeds=2), []

    def paint() -> None:
        now = take_snapshot(one)
        if now.state == "running":
            seen.append((now.fraction_done, now.progress.split(" epochs")[0], now.live.label, now.live.state))

    one.on_step = one.on_change = paint
    finish(one)
    done, progress, labels, _ = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == 1
    assert len({round(share, 2) for share in done}) > 30  # it moves at each step
    assert list(progress) == sorted(progress)  # "run 1 of 2, 2.97 of 2.97" and "run 2 of 2, 0.0 of 2.97"
    assert {text.split(",")[0] for text in progress} == {"run 1 of 2", "run 2 of 2"}
    assert "run 1 of 2, 1.2 of 2.97" in progress
    assert set(labels) == {"airbench94, seed 0", "airbench94, seed 1"}
    between = {about[1:] for about in seen if about[0] == 0.5}
    assert ("run 2 of 2, 0.0 of 2.97", "airbench94, seed 0", "done") in between
    assert ("run 2 of 2, 0.0 of 2.97", "airbench94, seed 1", "running") in between
    assert seen[-1][1:] == ("run 2 of 2, 2.97 of 2.97", "airbench94, seed 1", "done")


def test_a_race_is_not_drawn_until_it_is_over_and_takes_no_curve_away(experiment, gate):
    one = experiment(seeds=2, parts=gate.parts)
    gate.go.set()
    finish(one)
    gate.entered.clear()
    gate.go.clear()
    one.set(race=True)
    one.start()
    assert gate.entered.wait(20)
    now = take_snapshot(one)
    assert now.racing
    assert now.live is None
    assert now.progress == "racing: run 1 of 2, nothing is drawn until it is over"
    one.stop()
    assert not take_snapshot(one).racing  # to say that it stops
    gate.go.set()
    one.wait()
    assert take_snapshot(one).live is None  # stopped before one of its runs was over
    now = finish(one)
    assert (drawn([now.live]), now.racing) == ([("airbench94 with own flip", "race", 0)], False)
    assert [(line.state, len(line.accuracies)) for line in now.others] == [("done", 2)]
    assert [(row["n"], row["timed"]) for row in now.rows] == [(2, "race")]


def test_a_run_in_progress_is_not_drawn_among_those_of_another_scale(experiment, started):
    one = experiment()
    started(one, epochs=1)
    room = take_snapshot(one).epochs
    one.set(epochs=40.0)
    assert take_snapshot(one).epochs == room == one.status().runner.settings.scaled.epochs  # of what runs
    one.set(scale="laptop")
    now = take_snapshot(one)
    assert (now.live, now.epochs, now.state) == (None, one.settings.scaled.epochs, "running")


def test_two_experiments_take_turns_and_what_waits_can_be_stopped(experiment, started):
    first, second = experiment(), experiment()
    hold = started(first)
    second.start()
    assert (second.state, first.is_queued, second.is_queued) == ("running", False, True)
    assert take_snapshot(second).progress == "waiting: another panel is at work"
    second.stop()
    assert (first.state, second.state) == ("running", "stopped")
    assert said(second) == ("warning", "the run was stopped after 0.0 of 2.97 epochs")
    second.start()
    hold.let_go()
    (result,) = second.result()
    assert first.state == "done"
    assert result.started >= first.result()[0].started + first.result()[0].seconds
    assert not second.is_queued


def test_in_the_foreground_it_is_over_when_start_returns_and_it_is_said_how_to_stop(experiment):
    for race in False, True:
        one, threads, seen = experiment(on=Foreground(), race=race), set(), []
        one.on_step = lambda threads=threads: threads.add(threading.current_thread())
        one.on_change = lambda one=one, seen=seen: seen.append(take_snapshot(one))
        one.start()
        assert (one.state, take_snapshot(one).progress) == ("done", "done")
        assert threads == (set() if race else {threading.current_thread()})
        on = [now.progress for now in seen if now.state == "running"]
        assert on
        assert all(text.endswith("; to stop, interrupt the cell") for text in on)


def test_a_step_that_does_not_end_is_told_also_to_those_that_wait(experiment, gate, monkeypatch):
    """Only when it was asked to stop, and some time ago."""

    def stuck_after(seconds: float) -> list[bool]:
        monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", seconds)
        return [first.is_stuck, second.is_stuck]

    first, second = experiment(parts=gate.parts), experiment()
    first.start()
    assert gate.entered.wait(20)
    first.wait(0.05)  # may be limited
    assert first.state == "running"
    second.start()
    assert stuck_after(0.0) == [False, False]
    first.stop()
    time.sleep(0.01)
    assert stuck_after(1000.0) == [False, False]
    assert take_snapshot(first).progress == "stopping at the next step"
    assert stuck_after(0.0) == [True, True]
    told = "the step does not end: does a function of yours loop for ever? Only restarting the kernel helps"
    assert take_snapshot(first).progress == take_snapshot(second).progress == told
    gate.go.set()
    first.wait()
    assert (first.state, first.is_stuck) == ("stopped", False)
    assert second.result()


def test_a_run_that_compiles_says_so_and_is_not_taken_for_one_that_does_not_end(experiment, gate, monkeypatch):
    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.0)
    monkeypatch.setattr(runners.Trainer, "warm_up", lambda trainer: gate.entered.set() or gate.go.wait(20))
    first, second = experiment(compile=True), experiment()
    first.start()
    assert gate.entered.wait(20)
    second.start()
    assert take_snapshot(first).progress == "compiling, which can take minutes; no run's clock is on yet"
    first.stop()
    time.sleep(0.01)
    assert not first.is_stuck
    assert not second.is_stuck
    assert take_snapshot(first).progress == "stopping as soon as all is compiled"
    assert take_snapshot(second).progress == "waiting: another panel is at work"
    gate.go.set()
    first.wait()
    assert first.state == "stopped"
    assert second.result()


def test_close_waits_until_nobody_looks_stops_the_run_and_frees_what_it_held(experiment, started, worker):
    """A panel is painted in another thread, which asks the job for several things in a row."""
    one = experiment()
    finish(one)
    network = weakref.ref(one.result()[0].network)
    hold = started(one, epochs=1)
    trainer, job = weakref.ref(one._trainers._last[2]), one._job
    closing = threading.Thread(target=one.close)
    with one._lock:
        closing.start()
        closing.join(0.1)
        assert one._job is job
    closing.join()
    hold.let_go()
    assert job.wait(20)
    assert (job.state, one.state) == ("stopped", "idle")
    del job
    assert freed(worker, trainer, network)


def test_close_frees_a_trainer_that_was_just_being_made(experiment, worker, monkeypatch):
    """While the images were read."""
    one, trainers = experiment(), []
    reading, read, load, make = threading.Event(), threading.Event(), one.datasets.load, runners.Trainer

    def slow(name: str):
        reading.set()
        assert read.wait(20)
        return load(name)

    one.datasets.load = slow
    monkeypatch.setattr(runners, "Trainer", lambda *of, **how: trainers.append(made := make(*of, **how)) or made)
    one.start()
    job = one._job
    assert reading.wait(20)
    one.close()
    read.set()
    assert job.wait(20)
    assert trainers.pop().steps_done == 0  # stopped at its first step
    del job
    assert trainers == []
    assert all(freed(worker, weakref.ref(one)) for one in trainers)


def test_many_presses_keep_the_networks_of_the_last_alone(experiment, worker, monkeypatch):
    one, networks = experiment(), []
    run = runners.Trainer.run

    def noted(trainer, *of, **how):
        result = run(trainer, *of, **how)
        networks.append(weakref.ref(result.network))
        return result

    monkeypatch.setattr(runners.Trainer, "run", noted)
    for seed in range(10):
        finish(one, first_seed=seed, whiten=seed % 2 == 0)
    assert freed(worker, *networks[:-1])
    assert networks[-1]() is one.result()[0].network


@pytest.fixture
def full(experiment, result):
    """An experiment with runs at two scales, one of them with two seeds, and one that was stopped."""
    one = experiment("cifar10", scale="laptop")
    smoke = one.settings.changed(scale="smoke", whiten=False)
    for settings, seed, accuracy in ((one.settings, 0, 0.51234567), (one.settings, 1, 0.6), (smoke, 0, 0.3)):
        one.runs.add(settings, Parts(), result(settings, accuracy, seed))
    one.runs.add_interrupted(one.settings.changed(lr=1.0), Parts(), InterruptedRun(result(smoke).epochs, "stopped"))
    return one


def test_an_export_is_a_table_and_a_log(full, recorded, made, tmp_path):
    """The log holds every finished run, also of other scales; the table the recorded ones of what is chosen too."""
    recorded(made(AIRBENCH94, [0.7, 0.72]))
    csv, log = full.export(tmp_path)
    table = pd.read_csv(csv)
    assert list(table) == list(rows_frame(take_snapshot(full).rows))
    assert table[["recipe", "scale", "n"]].values.tolist() == [
        ["airbench94", "laptop", 2],
        ["airbench94 whiten=false", "smoke", 1],
        ["airbench94", "laptop", 2],
    ]
    assert table["accuracy, %"][0] == pytest.approx(50 * (0.51234567 + 0.6), abs=1e-9)  # unrounded
    assert [where == "here" for where in table["where"]] == [True, True, False]
    assert table["95 % low"].isna().tolist() == [False, True, False]
    finished = [("laptop", 0, 0.51234567), ("laptop", 1, 0.6), ("smoke", 0, 0.3)]
    assert [(one["scale"], one["seed"], one["accuracy"]) for one in runlog.load(log)] == finished
    assert {csv.name, log.name} <= set(said(full)[1].replace(",", " ").split())
    again = full.export(str(tmp_path))  # also within a second the log of the first is not written on
    assert len({csv, log, *again}) == 4
    assert [len(runlog.load(one)) for one in (log, again[1])] == [3, 3]


def test_an_export_that_cannot_be_is_refused_with_the_reason(full, experiment, recorded, tmp_path):
    with pytest.raises(UsageError, match="nothing to export yet: press Run"):
        experiment("cifar10", scale="laptop").export(tmp_path)  # recorded runs alone are nothing of one's own
    (tmp_path / "file").write_text("a file")
    for folder in tmp_path / "missing", tmp_path / "file":
        with pytest.raises(AirbenchError, match=r"cannot write the run log .*; name another file or folder") as error:
            full.export(folder)
        assert str(folder) in str(error.value)
        assert "None" not in str(error.value)
    assert said(full)[1] == ""
