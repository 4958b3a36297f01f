"""Several experiments on one worker; what is left of one that is closed."""

import gc
import threading
import time
import weakref

import pytest
from airbench_lab.worker import Foreground, Job

from airbench_core import Parts


def said(experiment) -> tuple[str, str]:
    return tuple(experiment.now()[2])


def freed(worker, *weak: weakref.ref) -> bool:
    for _ in range(3):  # the worker lets go of a job just after it is over
        after = Job(lambda _: None)
        worker.put(after)
        after.wait(20)
        gc.collect()
    return all(one() is None for one in weak)


def test_two_experiments_take_turns(experiment, started):
    first, second = experiment(), experiment()
    hold = started(first)
    second.start()
    assert second.state == "running"
    assert [one.waits for one in (first, second)] == [False, True]
    hold.let_go()
    (result,) = second.result()
    assert first.state == "done"
    assert result.started >= first.result()[0].started + first.result()[0].seconds
    assert not second.waits


def test_what_waits_can_be_stopped_and_started_again(experiment, started):
    first, second = experiment(), experiment()
    hold = started(first)
    second.start()
    second.stop()
    assert (first.state, second.state) == ("running", "stopped")
    assert said(second) == ("warning", "stopped: the run, after 0.0 of 2.97 epochs")
    second.start()
    assert second.waits
    hold.let_go()
    assert second.result()
    assert first.state == "done"


def test_close_waits_until_nobody_looks(experiment, started):
    """A panel is painted in another thread, which asks the job for several things in a row."""
    one = experiment()
    hold = started(one)
    closing = threading.Thread(target=one.close)
    with one._lock:
        closing.start()
        closing.join(0.1)
        assert one._job is not None
    closing.join()
    hold.let_go()
    assert one.state == "idle"


def test_close_stops_the_run_and_frees_what_it_held(experiment, started, worker):
    one = experiment()
    one.start()
    network = weakref.ref(one.result()[0].network)
    hold = started(one, epochs=1)
    trainer = weakref.ref(one._trainers._last[2])
    job = one._job
    one.close()
    hold.let_go()
    assert job.wait(20)
    assert job.state == "stopped"
    del job
    assert one.state == "idle"
    assert freed(worker, trainer, network)


def test_close_frees_a_trainer_that_was_just_being_made(experiment, worker):
    """While the images were read."""
    one = experiment()
    reading, read, load, trainers = threading.Event(), threading.Event(), one.shelf.load, []

    def slow(name: str):
        reading.set()
        assert read.wait(20)
        return load(name)

    one.shelf.load = slow
    one.look = lambda: trainers.append(weakref.ref(one_training()._trainer))
    one.start()
    one_training = weakref.ref(one.now()[3])
    job = one._job
    assert reading.wait(20)
    one.close()
    read.set()
    assert job.wait(20)
    del job
    assert len(trainers) == 1  # stopped at its first step
    assert freed(worker, *trainers)


def test_in_the_foreground_it_is_over_when_start_returns(experiment):
    one = experiment(on=Foreground())
    threads = []
    one.look = lambda: threads.append((threading.current_thread(), one.waits))
    one.start()
    assert one.foreground
    assert one.state == "done"
    assert set(threads) == {(threading.current_thread(), False)}


def test_a_step_that_does_not_end_is_told_also_to_those_that_wait(experiment, gate, monkeypatch):
    """Only when it was asked to stop, and some time ago."""
    first, second = experiment(parts=gate.parts), experiment()
    first.start()
    assert gate.entered.wait(20)
    assert not first.waits
    second.start()
    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.0)
    assert (first.stuck, second.stuck) == (False, False)
    first.stop()
    time.sleep(0.01)
    told = "the step does not end: does a function of yours loop for ever? Only restarting the kernel helps"
    assert (first.stuck, second.stuck) == (True, True)
    assert first.snapshot().progress == second.snapshot().progress == told
    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 1000.0)
    assert (first.stuck, second.stuck) == (False, False)
    assert first.snapshot().progress == "stopping at the next step"
    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.0)
    gate.go.set()
    first.wait()
    assert (first.state, first.stuck) == ("stopped", False)
    assert second.result()
    assert not second.stuck


def test_a_run_that_fails_lets_go_of_its_trainer(experiment, worker):
    """Though its error is kept, with where it was raised."""
    trainers = []

    def flip(*_):
        trainers.append(weakref.ref(one._trainers._last[2]))
        raise ValueError("mine")

    one = experiment(parts=Parts(flip=flip))
    one.start()
    one.wait()
    assert one.state == "failed"
    assert one.snapshot().done < 1  # how far it came is known
    assert freed(worker, *trainers)
    assert len(trainers) == 1
    for _ in range(2):
        with pytest.raises(ValueError, match="mine") as raised:
            one.result()
        assert raised.traceback[-1].name == "flip"


def test_a_wait_may_be_limited(experiment, gate):
    one = experiment(parts=gate.parts)
    one.start()
    assert gate.entered.wait(20)
    one.wait(0.05)
    assert one.state == "running"
    gate.go.set()
    one.wait(20)
    assert one.state == "done"
