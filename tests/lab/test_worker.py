import gc
import threading
import time
import traceback
import weakref
from collections.abc import Callable

import pytest
from airbench_lab.worker import Foreground, Job, Worker, WorkerDied

from airbench_core import Stopped, UsageError

SOON = 10  # seconds in which what is to happen does, also on a busy machine


class Gate:
    """Work that is done when it is let go, or, as a training, when it is asked to stop."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.thread: threading.Thread | None = None

    def __call__(self, stop: threading.Event) -> str:
        self.thread = threading.current_thread()
        self.entered.set()
        for _ in range(100 * SOON):
            if stop.is_set():
                raise Stopped(())
            if self.go.wait(0.01):
                return "let go"
        raise TimeoutError


def put(worker: Worker | Foreground, work: Callable, **named) -> Job:
    job = Job(work, **named)
    worker.submit(job)
    return job


def begun(worker: Worker) -> tuple[Job, Gate]:
    """A job that is being done."""
    gate = Gate()
    job = put(worker, gate)
    assert gate.entered.wait(SOON)
    return job, gate


def raising(error: BaseException) -> Callable:
    def work(_: threading.Event) -> None:
        raise error

    return work


def test_jobs_are_done_one_after_another_in_one_thread(worker):
    """Also that which is put long after the one before was over."""
    inside, threads = [], []

    def work(_: threading.Event) -> int:
        threads.append(threading.current_thread())
        inside.append(True)
        time.sleep(0.02)
        assert inside == [True]
        inside.clear()
        return len(threads)

    jobs = [put(worker, work) for _ in range(3)]
    assert [job.result() for job in jobs] == [1, 2, 3]
    assert put(worker, work).result() == 4
    assert set(threads) == {threads[0]} != {threading.current_thread()}
    assert threads[0].daemon  # an interpreter that ends does not wait for a training


def test_a_job_runs_from_when_it_is_put_until_it_is_over(worker):
    first, gate = begun(worker)
    second = put(worker, lambda _: "second")
    assert (first.state, first.is_queued) == ("running", False)
    assert (second.state, second.is_queued) == ("running", True)
    assert [worker.is_busy_with_another(job) for job in (first, second)] == [False, True]
    assert not Worker().is_busy_with_another(Job(lambda _: None))  # whose turn comes next
    assert not second.wait(0)
    assert not first.wait(0.3)  # longer than one look
    gate.go.set()
    assert second.wait(SOON)
    assert (first.state, second.state, second.is_queued) == ("done", "done", False)
    assert (first.result(), second.result()) == ("let go", "second")


def test_a_running_job_is_asked_to_stop_and_is_over_when_it_has(worker):
    gate, began = Gate(), threading.Event()

    def slow(stop: threading.Event) -> None:
        began.set()
        assert stop.wait(SOON)
        assert gate.go.wait(SOON)
        raise Stopped(())

    job = put(worker, slow)
    assert began.wait(SOON)
    job.stop()
    assert job.state == "stopping"
    assert not job.wait(0)
    gate.go.set()
    with pytest.raises(Stopped):
        job.result()
    assert job.state == "stopped"


def test_a_waiting_job_is_over_at_once_and_never_begins(worker):
    first, gate = begun(worker)
    done = []
    second = put(worker, lambda _: done.append("second"))
    second.stop()
    assert second.state == "stopped"  # while the first goes on
    assert not second.is_queued
    with pytest.raises(Stopped):
        second.result()
    third = put(worker, lambda _: done.append("third"))
    gate.go.set()
    third.wait(SOON)
    assert first.state == "done"
    assert done == ["third"]


def test_a_turn_that_comes_while_a_job_is_being_stopped():
    """It is not over while it is being done."""
    entered, go, doing = threading.Event(), threading.Event(), []

    def work(_: threading.Event) -> None:
        entered.set()
        go.wait(SOON)

    job = Job(work)

    class Lock:
        """Whoever lets go of it is overtaken by the worker."""

        lock = threading.Lock()

        def __enter__(self) -> None:
            self.lock.acquire()

        def __exit__(self, *_) -> None:
            self.lock.release()
            if not doing:
                doing.append(threading.Thread(target=job.run))
                doing[0].start()
                entered.wait(0.1)

    job._lock = Lock()
    job.stop()
    assert not (entered.is_set() and job.state == "stopped")
    go.set()
    doing[0].join()


def test_what_asked_to_stop_comes_too_late_for_is_done(worker):
    job = put(worker, lambda _: 1)
    assert job.result() == 1
    job.stop()
    assert (job.state, job.result()) == ("done", 1)


@pytest.mark.parametrize("error", [UsageError("no"), ZeroDivisionError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_the_work_raises_is_raised_by_result_each_time_and_the_thread_lives_on(worker, error):
    before = put(worker, lambda _: threading.current_thread()).result()
    job = put(worker, raising(error))
    for _ in range(2):
        with pytest.raises(type(error)) as raised:
            job.result()
        assert raised.value is error
    assert job.state == ("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
    assert put(worker, lambda _: threading.current_thread()).result() is before


def test_a_dead_thread_is_noticed_and_replaced(worker, monkeypatch):
    job, gate = begun(worker)
    ends = []
    job._on_end = lambda state, error: ends.append((state, type(error)))
    monkeypatch.setattr(gate.thread, "is_alive", lambda: False)  # as after a fork
    with pytest.raises(WorkerDied, match="run again"):
        job.result()
    assert job.state == "failed"
    after = put(worker, lambda _: threading.current_thread())
    assert after.result() is not gate.thread
    gate.go.set()
    time.sleep(0.05)
    assert job.state == "failed"  # whatever comes of it
    assert ends == [("failed", WorkerDied)]  # once


def test_who_waits_finds_the_bookkeeping_done(worker):
    """A run that is over is in the table."""
    kept, told = [], []
    first, gate = begun(worker)

    def ending(state: str, error: BaseException | None) -> None:
        time.sleep(0.1)
        kept.append((state, error, job.state))

    job = put(worker, lambda _: 1, on_end=ending, on_over=lambda: told.append((list(kept), job.state)))
    gate.go.set()
    assert first.wait(SOON)
    assert job.wait(SOON)
    assert kept == [("done", None, "running")]
    put(worker, lambda _: None).wait(SOON)
    assert told == [(kept, "done")]


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(), KeyboardInterrupt()])
@pytest.mark.parametrize("work", [lambda _: 1, raising(Stopped(()))])
def test_bookkeeping_that_fails_fails_the_job(worker, error, work):
    """Nobody waits for ever, and the thread lives on."""
    before = put(worker, lambda _: threading.current_thread()).result()
    job = put(worker, work, on_end=lambda *_: (_ for _ in ()).throw(error))
    assert job.wait(SOON)
    with pytest.raises(type(error)):
        job.result()
    assert put(worker, lambda _: threading.current_thread()).result() is before


def test_the_foreground_does_it_here_and_at_once():
    job = put(Foreground(), lambda _: threading.current_thread())
    assert job.state == "done"
    assert job.result() is threading.current_thread()
    assert put(Foreground(), raising(ZeroDivisionError())).state == "failed"  # and put raises nothing


def test_an_interrupt_in_the_foreground_is_a_stop():
    states = []
    job = put(Foreground(), raising(KeyboardInterrupt()), on_end=lambda state, _: states.append(state))
    assert [job.state, *states] == ["stopped", "stopped"]
    with pytest.raises(KeyboardInterrupt):  # so that a cell that waits for it ends
        job.result()


def test_the_error_of_a_result_that_is_asked_for_again_and_again_says_the_same(worker):
    """Where it was raised, not how often it was asked for."""
    job = put(worker, raising(ZeroDivisionError()))
    lengths = set()
    for _ in range(3):
        with pytest.raises(ZeroDivisionError) as raised:
            job.result()
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
        assert raised.traceback[-1].name == "work"
    assert len(lengths) == 1


class Big:
    """As a network: what must not be kept."""


def plainly(_: Big) -> None:
    raise ZeroDivisionError


def from_another(big: Big) -> None:
    try:
        plainly(big)
    except ZeroDivisionError as error:
        raise UsageError("no") from error


def out_of_another(big: Big) -> None:
    try:
        plainly(big)
    except ZeroDivisionError:
        raise UsageError("no") from None


@pytest.mark.parametrize("failing", [plainly, from_another, out_of_another])
def test_what_failed_keeps_its_error_and_none_of_its_variables(worker, failing):
    weak = []

    def work(_: threading.Event) -> None:
        big = Big()
        weak.append(weakref.ref(big))
        failing(big)

    job = put(worker, work)
    assert job.wait(SOON)
    gc.collect()
    assert weak[0]() is None
    with pytest.raises((ZeroDivisionError, UsageError)) as raised:
        job.result()
    assert raised.traceback[-1].name == failing.__name__


def test_a_job_that_was_asked_to_stop_long_ago_is_stuck(worker, monkeypatch):
    gate, began = Gate(), threading.Event()

    def deaf(_: threading.Event) -> None:
        began.set()
        gate.go.wait(SOON)

    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.2)
    assert not worker.is_stuck
    job = put(worker, deaf)
    assert began.wait(SOON)
    time.sleep(0.3)
    assert (job.is_stuck, worker.is_stuck) == (False, False)  # nobody asked
    job.stop()
    assert (job.is_stuck, worker.is_stuck) == (False, False)  # it may still hear
    time.sleep(0.15)
    job.stop()  # again: it is the first time that counts
    time.sleep(0.1)
    assert (job.is_stuck, worker.is_stuck) == (True, True)
    gate.go.set()
    assert job.wait(SOON)
    assert not job.is_stuck
    put(worker, lambda _: None).wait(SOON)
    assert not worker.is_stuck


def test_what_is_told_after_a_job_may_fail(worker):
    """The jobs behind it have their turn, in the same thread, and the job itself is as it was."""
    before = put(worker, lambda _: threading.current_thread()).result()
    job = put(worker, lambda _: 1, on_over=lambda: 1 / 0)
    behind = put(worker, lambda _: threading.current_thread())
    assert behind.wait(SOON)
    assert behind.result() is before
    assert (job.state, job.result()) == ("done", 1)


def test_an_interpreter_that_ends_leaves_no_training_behind(worker):
    """Neither that which is on nor one that waits for its turn."""
    first, _ = begun(worker)
    done = []
    second = put(worker, lambda _: done.append("second"))
    worker.shutdown()
    assert (first.state, second.state) == ("stopped", "stopped")
    assert not done


def test_to_leave_what_does_nothing_is_no_error(worker):
    Worker().shutdown()
    put(worker, lambda _: 1).wait(SOON)
    worker.shutdown()


def test_what_is_over_is_forgotten(worker):
    """A result holds a network, and the thread waits for its next job for hours."""

    class Big:
        def __call__(self, _: threading.Event) -> "Big":
            return self

    big = Big()
    job = put(worker, big)
    assert job.result() is big
    forgotten = weakref.ref(big), weakref.ref(job)
    del big, job
    for _ in range(100 * SOON):
        gc.collect()
        if forgotten[0]() is None and forgotten[1]() is None:
            return
        time.sleep(0.01)
    pytest.fail("the worker keeps a job that is over")
