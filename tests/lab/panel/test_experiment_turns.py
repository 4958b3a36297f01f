"""Several experiments on one worker; what is left of one that is closed."""

import gc
import threading
import weakref

from airbench_lab.worker import Foreground, Job


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
    assert [one.now()[4] for one in (first, second)] == [False, True]
    hold.let_go()
    (result,) = second.result()
    assert first.state == "done"
    assert result.started >= first.result()[0].started + first.result()[0].seconds
    assert not second.now()[4]


def test_what_waits_can_be_stopped_and_started_again(experiment, started):
    first, second = experiment(), experiment()
    hold = started(first)
    second.start()
    second.stop()
    assert (first.state, second.state) == ("running", "stopped")
    assert said(second) == ("warning", "stopped: the run, after 0 complete epochs")
    second.start()
    assert second.now()[4]
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
    one.look = lambda: threads.append(threading.current_thread())
    one.start()
    assert one.state == "done"
    assert set(threads) == {threading.current_thread()}
