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
    """Work that is done when it is let go, or, as a training, when it is asked to stop; a deaf one is not asked."""

    def __init__(self, deaf: bool = False) -> None:
        self.entered, self.go, self.deaf = threading.Event(), threading.Event(), deaf
        self.thread: threading.Thread | None = None

    def __call__(self, stop: threading.Event) -> str:
        self.thread = threading.current_thread()
        self.entered.set()
        for _ in range(100 * SOON):
            if stop.is_set() and not self.deaf:
                raise Stopped(())
            if self.go.wait(0.01):
                return "let go"
        raise TimeoutError


def submit(worker: Worker | Foreground, work: Callable, **named) -> Job:
    job = Job(work, **named)
    worker.submit(job)
    return job


def begun(worker: Worker, **how) -> tuple[Job, Gate]:
    """A job that is being done."""
    gate = Gate(**how)
    job = submit(worker, gate)
    assert gate.entered.wait(SOON)
    return job, gate


def raising(error: BaseException) -> Callable:
    def work(_: threading.Event) -> None:
        raise error

    return work


def which_thread(_: threading.Event) -> threading.Thread:
    return threading.current_thread()


def test_jobs_are_done_one_after_another_in_one_thread(worker):
    """Also that which is submitted long after the one before was over."""
    inside = []

    def work(_: threading.Event) -> threading.Thread:
        inside.append(True)
        time.sleep(0.02)
        assert inside == [True]
        inside.clear()
        return threading.current_thread()

    threads = {job.result() for job in [submit(worker, work) for _ in range(3)]} | {submit(worker, work).result()}
    assert len(threads) == 1
    (thread,) = threads
    assert thread is not threading.current_thread()
    assert thread.daemon  # an interpreter that ends does not wait for a training


def test_a_job_runs_from_when_it_is_submitted_until_it_is_over(worker):
    first, gate = begun(worker)
    second = submit(worker, lambda _: "second")
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
    second.stop()  # too late
    assert (second.state, second.result()) == ("done", "second")


def test_a_running_job_is_asked_to_stop_and_a_waiting_one_never_begins(worker):
    done = []
    first, gate = begun(worker, deaf=True)
    second = submit(worker, lambda _: done.append("second"))
    second.stop()
    assert (second.state, second.is_queued) == ("stopped", False)  # at once, while the first goes on
    first.stop()
    assert first.state == "stopping"
    assert not first.wait(0)
    gate.go.set()
    assert submit(worker, lambda _: done.append("third")).wait(SOON)
    assert done == ["third"]
    hearing, _ = begun(worker)
    hearing.stop()
    for job in second, hearing:
        with pytest.raises(Stopped):
            job.result()
    assert hearing.state == "stopped"


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


@pytest.mark.parametrize("error", [UsageError("no"), ZeroDivisionError("no"), SystemExit(3), KeyboardInterrupt()])
def test_what_the_work_raises_is_raised_by_result_each_time_and_the_thread_lives_on(worker, error):
    """It says where it was raised, not how often it was asked for."""
    before = submit(worker, which_thread).result()
    job, lengths = submit(worker, raising(error)), set()
    for _ in range(3):
        with pytest.raises(type(error)) as raised:
            job.result()
        assert raised.value is error
        assert raised.traceback[-1].name == "work"
        lengths.add(len(traceback.extract_tb(raised.value.__traceback__)))
    assert len(lengths) == 1
    assert job.state == ("stopped" if isinstance(error, KeyboardInterrupt) else "failed")
    assert submit(worker, which_thread).result() is before


def test_a_dead_thread_is_noticed_and_replaced(worker, monkeypatch):
    job, gate = begun(worker)
    ends = []
    job._on_end = lambda state, error: ends.append((state, type(error)))
    monkeypatch.setattr(gate.thread, "is_alive", lambda: False)  # as after a fork
    with pytest.raises(WorkerDied, match="run again"):
        job.result()
    assert job.state == "failed"
    assert submit(worker, which_thread).result() is not gate.thread
    gate.go.set()
    time.sleep(0.05)
    assert job.state == "failed"  # whatever comes of it
    assert ends == [("failed", WorkerDied)]  # once


def test_who_waits_finds_the_bookkeeping_done(worker):
    """A run that is over is in the table."""
    kept, told = [], []
    first, gate = begun(worker)

    def on_end(state: str, error: BaseException | None) -> None:
        time.sleep(0.1)
        kept.append((state, error, job.state))

    job = submit(worker, lambda _: 1, on_end=on_end, on_over=lambda: told.append((list(kept), job.state)))
    gate.go.set()
    assert first.wait(SOON)
    assert job.wait(SOON)
    assert kept == [("done", None, "running")]
    submit(worker, lambda _: None).wait(SOON)
    assert told == [(kept, "done")]


@pytest.mark.parametrize("error", [ZeroDivisionError(), SystemExit(), KeyboardInterrupt()])
@pytest.mark.parametrize("work", [lambda _: 1, raising(Stopped(()))])
def test_bookkeeping_that_fails_fails_the_job_and_what_is_told_after_it_does_not(worker, error, work):
    """Nobody waits for ever, and the thread lives on."""
    before = submit(worker, which_thread).result()
    job = submit(worker, work, on_end=lambda *_: (_ for _ in ()).throw(error))
    assert job.wait(SOON)
    with pytest.raises(type(error)):
        job.result()
    told = submit(worker, lambda _: 1, on_over=lambda: 1 / 0)
    assert submit(worker, which_thread).result() is before
    assert (told.state, told.result()) == ("done", 1)


def test_the_foreground_does_it_here_and_at_once_and_an_interrupt_is_a_stop():
    job = submit(Foreground(), which_thread)
    assert (job.state, job.result()) == ("done", threading.current_thread())
    assert submit(Foreground(), raising(ZeroDivisionError())).state == "failed"  # and submit raises nothing
    states = []
    job = submit(Foreground(), raising(KeyboardInterrupt()), on_end=lambda state, _: states.append(state))
    assert [job.state, *states] == ["stopped", "stopped"]
    with pytest.raises(KeyboardInterrupt):  # so that a cell that waits for it ends
        job.result()


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

    job = submit(worker, work)
    assert job.wait(SOON)
    gc.collect()
    assert weak[0]() is None
    with pytest.raises((ZeroDivisionError, UsageError)) as raised:
        job.result()
    assert raised.traceback[-1].name == failing.__name__


def test_a_job_that_was_asked_to_stop_long_ago_is_stuck(worker, monkeypatch):
    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.2)
    assert not worker.is_stuck
    job, gate = begun(worker, deaf=True)
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
    submit(worker, lambda _: None).wait(SOON)
    assert not worker.is_stuck


def test_an_interpreter_that_ends_leaves_no_training_behind(worker):
    """Neither that which is on nor one that waits for its turn; and to leave what does nothing is no error."""
    first, _ = begun(worker)
    done = []
    second = submit(worker, lambda _: done.append("second"))
    for one in worker, worker, Worker():
        one.shutdown()
    assert (first.state, second.state, done) == ("stopped", "stopped", [])


def test_what_is_over_is_forgotten(worker):
    """A result holds a network, and the thread waits for its next job for hours."""

    class Result:
        def __call__(self, _: threading.Event) -> "Result":
            return self

    result = Result()
    job = submit(worker, result)
    assert job.result() is result
    forgotten = weakref.ref(result), weakref.ref(job)
    del result, job
    for _ in range(100 * SOON):
        gc.collect()
        if all(one() is None for one in forgotten):
            return
        time.sleep(0.01)
    pytest.fail("the worker keeps a job that is over")
