"""Jobs that go on beside the notebook, one after another in one long-lived thread, each of which can be stopped.

A thread with an event is the one way to stop that answers within a second on every ipykernel that is supported, and it
is always the same thread because functions compiled into CUDA graphs may be called from one only (pytorch#123177).
Knows nothing of widgets, and of trainings only that they raise `Stopped`.
"""

import atexit
import math
import queue
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Literal

from airbench_core import AirbenchError, Stopped

State = Literal["running", "stopping", "stopped", "done", "failed"]
POLL_SECONDS = 0.2  # between two looks at whether the thread that one waits for is still alive
STUCK_SECONDS = 5  # after which a job that was asked to stop is thought never to
SHUTDOWN_SECONDS = 5  # that a job gets to end in when the interpreter does


class WorkerDied(AirbenchError):
    """The thread that did the job is gone, and with it the job."""

    def __init__(self) -> None:
        super().__init__("the thread that trained has died, and the run with it: run again, in a new one")


class Job:
    """Something to be done once: `work` is called with an event that is set when it is to stop.

    on_end: called with how it ends and what it raised, just before it is over; on_over: called when it is. Both in the
    thread that did it, or that found out that this died. may_stop: False while it does what nothing can interrupt.
    """

    def __init__(
        self,
        work: Callable[[threading.Event], Any],
        on_end: Callable[[State, BaseException | None], object] = lambda state, error: None,
        on_over: Callable[[], object] = lambda: None,
        may_stop: Callable[[], bool] = lambda: True,
    ):
        self._work, self._on_end, self._on_over, self._may_stop = work, on_end, on_over, may_stop
        self._stop_event, self._over = threading.Event(), threading.Event()
        self._lock, self._ends = threading.Lock(), False
        self._thread: threading.Thread | None = None  # that does it, from its beginning on
        self._value: Any = None
        self._error: BaseException | None = None
        self._where: TracebackType | None = None  # of the error: raised anew, it would be longer each time
        self._asked_at = math.inf

    @property
    def state(self) -> State:
        """Running from the start, also while it waits for its turn."""
        if not self._over.is_set() and self._thread is not None and not self._thread.is_alive():
            self._end(error=WorkerDied())
        if not self._over.is_set():
            return "stopping" if self._stop_event.is_set() else "running"
        return _state(self._error)

    @property
    def is_queued(self) -> bool:
        """Whether its turn has not come yet."""
        return self._thread is None and not self._over.is_set()

    @property
    def is_stuck(self) -> bool:
        """Whether it was asked to stop long ago, might, and has not."""
        late = time.monotonic() - self._asked_at > STUCK_SECONDS
        return late and not self._over.is_set() and self._may_stop()

    def stop(self) -> None:
        """Ask it to stop; what has not begun is over at once."""
        self._asked_at = min(self._asked_at, time.monotonic())
        self._stop_event.set()
        self._end(error=Stopped(()), begun=False)

    def wait(self, seconds: float | None = None) -> bool:
        """Whether it was over within so many seconds (None: in the end)."""
        while self.state in ("running", "stopping"):
            if self._over.wait(POLL_SECONDS if seconds is None else min(POLL_SECONDS, max(0, seconds))):
                break
            if seconds is not None and (seconds := seconds - POLL_SECONDS) <= 0:
                return self.state not in ("running", "stopping")
        return True

    def result(self) -> Any:
        """What `work` gave, or raised, when it is over."""
        self.wait()
        if self._error is not None:
            raise self._error.with_traceback(self._where)
        return self._value

    def run(self) -> None:
        """Do it in this thread, unless it was stopped before."""
        with self._lock:
            if self._ends:
                return
            self._thread = threading.current_thread()
        try:
            value = self._work(self._stop_event)
        except BaseException as error:  # also a SystemExit out of a student's function: the thread lives on
            self._end(error=error)
        else:
            self._end(value)

    def _end(self, value: Any = None, error: BaseException | None = None, begun: bool = True) -> None:
        with self._lock:
            if self._ends or (not begun and self._thread is not None):
                return
            self._ends = True
        try:
            self._on_end(_state(error), error)
        except BaseException as failure:  # whatever it is: who waits is let go
            error = failure
        if error is not None:
            self._where = error.__traceback__
            _clear_frames(error)
        self._value, self._error = value, error
        self._over.set()
        self._on_over()


def _clear_frames(error: BaseException) -> None:
    """Of the frames that it came through, and those of what led to it: networks, images."""
    seen: list[BaseException] = []
    further: list[BaseException | None] = [error]
    while further:
        one = further.pop()
        if one is not None and all(one is not other for other in seen):
            seen.append(one)
            traceback.clear_frames(one.__traceback__)
            further += [one.__cause__, one.__context__]


def _state(error: BaseException | None) -> State:
    if error is None:
        return "done"
    # A keyboard interrupt is how a job in the foreground is stopped.
    return "stopped" if isinstance(error, Stopped | KeyboardInterrupt) else "failed"


class Worker:
    """The thread; a dead one is replaced when it is needed."""

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[Job] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._current: Job | None = None

    def submit(self, job: Job) -> None:
        """Do `job` when those before it are over."""
        self._jobs.put(job)
        with self._lock:
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._work, name="airbench worker", daemon=True)
                self._thread.start()

    @property
    def is_stuck(self) -> bool:
        """Whether those that wait will wait for ever."""
        job = self._current
        return job is not None and job.is_stuck

    def is_busy_with_another(self, job: Job) -> bool:
        """Whether something else is being done."""
        return self._current not in (None, job)

    def shutdown(self) -> None:
        """Stop all jobs, and wait a little for the current one: an interpreter that ends under a training may crash."""
        with suppress(queue.Empty):
            while True:
                self._jobs.get_nowait().stop()
        job = self._current
        if job is not None and self._thread is not None and self._thread.is_alive():
            job.stop()
            job.wait(SHUTDOWN_SECONDS)

    def _work(self) -> None:
        while True:
            self._current = self._jobs.get()
            with suppress(Exception):  # of an `on_over`: the jobs behind it shall have their turn
                self._current.run()
            self._current = None  # what is over is not kept from being forgotten


class Foreground:
    """Does each job at once, in the thread that puts it: for notebooks that show nothing that a thread does."""

    is_stuck = False

    def is_busy_with_another(self, job: Job) -> bool:
        return False

    def submit(self, job: Job) -> None:
        job.run()


WORKER = Worker()  # of this process, whose panels take turns: two trainings side by side would slow each other
atexit.register(WORKER.shutdown)
