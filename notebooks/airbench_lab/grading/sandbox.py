"""A student's notebook, run in a process of its own with limits; its names, as a grader's tests meet them.

    with Sandbox(cells, limits) as sandbox:
        names = sandbox.names()        # numbers and tensors as they are; functions as calls into that process
        names["my_whitening"](images, 5e-4)

The tests, their numbers and what they compare with never enter that process. A cell or a call that takes too long, or
that ends the process, is left out from then on, and the rest goes on in a new process.
"""

import os
import pickle
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, ClassVar

from airbench_core import Parts
from airbench_lab.grading import wire
from airbench_lab.grading.process import KEPT_OUTPUT, Limits, Process
from airbench_lab.grading.remote import Remote, StudentError, result_of
from airbench_lab.grading.training import Request, Trained

START_SECONDS = 180


class Ended(StudentError):
    """The process is no more."""


class NotStarted(Exception):
    """The process could not be started, before any of the student's code: a fault of the machine."""


class Sandbox:
    """The process for one notebook's cells (their sources, in order). To be used as a context."""

    in_use: ClassVar[set["Sandbox"]] = set()  # by any thread

    def __init__(
        self, cells: Sequence[str], limits: Limits | None = None, *, environment: dict[str, str] | None = None
    ):
        self.cells, self.limits = list(cells), limits or Limits()
        self.environment = environment or {}
        self.errors: dict[int, str] = {}  # what went wrong in which cell, counted from 0
        self.output = ""  # what it printed, the beginning
        self._left_out: set[int] = set()
        self._refused: dict[str, str] = {}  # functions that ended a process, and how
        self._started = 0
        self._trained: dict[Request, Trained] = {}
        self._process: Process | None = None
        self._trainer: Process | None = None

    def __enter__(self) -> "Sandbox":
        self.folder = Path(tempfile.mkdtemp(prefix="airbench-submission-"))
        self.folder.chmod(0o711)  # what is in it may be another account's
        self._deadline = time.monotonic() + self.limits.total
        self.in_use.add(self)
        return self

    def __exit__(self, *_: object) -> None:
        self.in_use.discard(self)
        self._end()
        self._end_trainer()
        shutil.rmtree(self.folder, ignore_errors=True)

    @classmethod
    def stop_all(cls) -> None:
        """For another thread: end the processes of all, none of which starts another. Who waits for one gets Ended."""
        for sandbox in list(cls.in_use):
            sandbox._deadline = 0.0
            for process in filter(None, [sandbox._process, sandbox._trainer]):
                process.stop()

    def names(self) -> dict[str, Any]:
        """What the cells define: values, and functions as `Remote`. What cannot be sent is left out."""
        found: dict[str, Any] = {}
        kinds = self._ask("kinds", seconds=self.limits.seconds)
        if not (isinstance(kinds, dict) and all(isinstance(name, str) for name in kinds)):
            raise self._forged("no names")
        for name, kind in kinds.items():
            if kind == "empty":
                found[name] = ...
                continue
            if kind == "call":
                found[name] = Remote(name, self.call)
                continue
            try:
                if kind == "parts":
                    own = self._ask("parts", name, seconds=self.limits.seconds)
                    found[name] = Parts(**{part: Remote(f"{name}.{part}", self.call) for part in own})
                    continue
                found[name] = wire.restored(self._ask("value", name, seconds=self.limits.seconds))
            except Ended:
                raise
            except Exception:  # of a kind that no test reads, such as a widget; a recipe that is none; other bytes
                continue
        return found

    def printed(self) -> str:
        """What has been printed so far, the beginning."""
        time.sleep(0.1)  # it comes through a pipe of its own
        return (self.output + (self._process.output if self._process else ""))[:KEPT_OUTPUT]

    def call(self, name: str, arguments: tuple, named: dict) -> tuple[Any, Any, Any]:
        answer = self._called(name, pickle.dumps(("call", name, arguments, named)))
        return result_of(self._answer_in(answer))

    def train(self, request: Request) -> Trained:
        """Make a training, in a process that never ran the notebook: only the functions are called where they are.

        The same one is made once. Raises StudentError.
        """
        if request in self._trained:
            return self._trained[request]
        self._trainer = self._trainer or self._process_for("trainer")
        deadline = min(time.monotonic() + self.limits.training, self._deadline)
        asked = pickle.dumps(("train", request))
        try:
            while True:
                kind, *answer = pickle.loads(self._trainer.exchange(asked, deadline))
                if kind != "call":
                    break
                asked = self._called(*answer)
        except TimeoutError:
            self._end_trainer()
            raise StudentError(f"the training was not done after {self.limits.training:.0f} s") from None
        except (EOFError, BrokenPipeError):
            raise StudentError(f"the training ended its process ({self._end_trainer(ending=True)})") from None
        except BaseException:
            self._end_trainer()  # it waits for an answer
            raise
        if kind == "failed":
            raise StudentError(*answer)
        (self._trained[request],) = answer
        return self._trained[request]

    def _called(self, name: str, content: bytes) -> bytes:
        """The answer of the student's process to the call of a function, unread."""
        if name in self._refused:
            raise StudentError(self._refused[name])
        try:
            self._ready()
            return self._exchange(content, self.limits.seconds)
        except Ended as error:
            self._refused[name] = str(error)
            raise

    def _ask(self, *message: Any, seconds: float) -> Any:
        """A request and its answer. Raises StudentError for the student's own error, Ended if the process has gone."""
        self._ready()
        return self._answered(message, seconds)

    def _ready(self) -> None:
        """A process in which all cells have been run but those that end one."""
        while self._process is None:
            self._check_time()
            if self._started == self.limits.processes:
                raise Ended(f"the code ended or blocked its process {self._started} times: the rest was not run")
            self._started += 1
            self._process = self._process_for("student")
            with suppress(Ended):  # `errors` says so; once more, without that cell
                self._run_cells()

    def _run_cells(self) -> None:
        for number, source in enumerate(self.cells):
            if number in self._left_out:
                continue
            try:
                error = self._answered(("cell", source, f"cell {number + 1}"), self.limits.training)
            except Ended as ended:
                self._left_out.add(number)
                self.errors[number] = f"{ended}; this cell was left out"
                raise
            except StudentError as refused:
                error = str(refused)
            if isinstance(error, str) and error:
                self.errors[number] = error

    def _answered(self, message: tuple, seconds: float) -> Any:
        return result_of(self._answer_in(self._exchange(pickle.dumps(message), seconds)))

    def _answer_in(self, content: bytes) -> dict:
        try:
            return wire.answer_in(content)
        except ValueError as error:
            raise self._forged(error) from None

    def _check_time(self) -> None:
        if self._deadline <= time.monotonic():
            self._end()
            raise Ended(f"the submission took more than {self.limits.total:g} s in all")

    def _forged(self, why: object) -> Ended:
        self._end()
        return Ended(f"the process sent something else than an answer ({why})")

    def _exchange(self, content: bytes, seconds: float) -> bytes:
        self._check_time()
        now = time.monotonic()
        deadline = min(now + seconds, self._deadline)
        try:
            return self._process.exchange(content, deadline)
        except TimeoutError:
            self._end()
            whole = "in all" if deadline == self._deadline else "for a single step"
            loop = "is there a loop that never ends?"
            raise Ended(f"not done after {deadline - now:.0f} s {whole}: {loop}") from None
        except (EOFError, BrokenPipeError):
            raise Ended(f"the code ended its own process ({self._end(ending=True)})") from None
        except ValueError as error:
            raise self._forged(error) from None

    def _process_for(self, module: str) -> Process:
        """A process that is ready, for this module of the folder grading."""
        if os.name != "posix":
            raise NotStarted("submissions are graded on Linux and macOS")
        folder = self.folder / module
        folder.mkdir(exist_ok=True)
        process = Process(f"airbench_lab.grading.{module}", folder, self.limits, self.environment)
        try:  # to import torch takes seconds, many on a busy machine: they are nobody's
            process.exchange(pickle.dumps(("ready",)), time.monotonic() + START_SECONDS)
        except (OSError, EOFError, ValueError) as error:
            how = process.end(ending=True)
            raise NotStarted(f"the process {module} did not start ({how}): {process.output[-500:]}") from error
        return process

    def _end_trainer(self, *, ending: bool = False) -> str:
        trainer, self._trainer = self._trainer, None
        return trainer.end(ending=ending) if trainer else ""

    def _end(self, *, ending: bool = False) -> str:
        """End the process, if there is one; gives how it had ended."""
        process, self._process = self._process, None
        if process is None:
            return "it was not there"
        how = process.end(ending=ending)
        self.output = (self.output + process.output)[:KEPT_OUTPUT]
        return how
