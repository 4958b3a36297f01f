"""A student's notebook, run in a process of its own with limits; its names, as a grader's tests meet them.

    with Sandbox(cells, limits) as sandbox:
        names = sandbox.names()        # numbers and tensors as they are; functions as calls into that process
        names["my_whitening"](images, 5e-4)

The tests, their numbers and what they compare with never enter that process. A cell or a call that takes too long, or
that ends the process, is left out from then on, and the rest goes on in a new process.
"""

import os
import shutil
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from torch import Tensor

from airbench_core import Parts
from airbench_lab.grading import wire
from airbench_lab.grading.process import KEPT_OUTPUT, Limits, Process
from airbench_lab.grading.training import Request

NOT_WRITTEN = "not written yet"
START_SECONDS = 180


class StudentError(Exception):
    """What a student's code did wrong, in words for the student."""


class Ended(StudentError):
    """The process is no more."""


class NotStarted(Exception):
    """The process could not be started, before any of the student's code: a fault of the machine."""


class Sandbox:
    """The process for one notebook's cells (their sources, in order). To be used as a context."""

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
        self._process: Process | None = None

    def __enter__(self) -> "Sandbox":
        self.folder = Path(tempfile.mkdtemp(prefix="airbench-submission-"))
        self._deadline = time.monotonic() + self.limits.total
        return self

    def __exit__(self, *_: object) -> None:
        self._end()
        shutil.rmtree(self.folder, ignore_errors=True)

    def names(self) -> dict[str, Any]:
        """What the cells define: values, and functions as `Remote`. What cannot be sent is left out."""
        found: dict[str, Any] = {}
        for name, kind in self._ask("kinds", seconds=self.limits.seconds).items():
            if kind == "call":
                found[name] = Remote(self, name)
                continue
            try:
                if kind == "parts":
                    own = self._ask("parts", name, seconds=self.limits.seconds)
                    found[name] = Parts(**{part: Remote(self, f"{name}.{part}") for part in own})
                    continue
                found[name] = wire.restored(self._ask("value", name, seconds=self.limits.seconds))
            except Ended:
                raise
            except Exception:  # of a kind that no test reads, such as a widget; a recipe that is none; other bytes
                continue
        return found

    def call(self, name: str, arguments: tuple, named: dict) -> tuple[Any, Any, Any]:
        return self._of(name, "call", name, arguments, named, seconds=self.limits.seconds)

    def train(self, request: Request) -> dict:
        """Make a training there; its weights, losses and seconds as the process says."""
        name = ", ".join(sorted(request.functions.values()))
        result = self._of(name, "train", request, seconds=self.limits.training)
        if not isinstance(result, dict) or not {"losses", "seconds", "weights"} <= set(result):
            raise StudentError("the training gave no result")
        return result

    def _of(self, name: str, *message: Any, seconds: float) -> Any:
        if name in self._refused:
            raise StudentError(self._refused[name])
        try:
            return self._ask(*message, seconds=seconds)
        except Ended as error:
            self._refused[name] = str(error)
            raise

    def _ask(self, *message: Any, seconds: float) -> Any:
        """A request and its answer. Raises StudentError for the student's own error, Ended if the process has gone."""
        self._ready()
        return self._exchange(message, seconds)

    def _ready(self) -> None:
        """A process in which all cells have been run but those that end one."""
        while self._process is None:
            if self._started == self.limits.processes:
                raise Ended(f"the code ended or blocked its process {self._started} times: the rest was not run")
            self._start()
            with suppress(Ended):  # `errors` says so; once more, without that cell
                self._run_cells()

    def _run_cells(self) -> None:
        for number, source in enumerate(self.cells):
            if number in self._left_out:
                continue
            try:
                error = self._exchange(("cell", source, f"cell {number + 1}"), self.limits.training)
            except Ended as ended:
                self._left_out.add(number)
                self.errors[number] = f"{ended}; this cell was left out"
                raise
            except StudentError as refused:
                error = str(refused)
            if isinstance(error, str) and error:
                self.errors[number] = error

    def _exchange(self, message: tuple, seconds: float) -> Any:
        now = time.monotonic()
        deadline = min(now + seconds, self._deadline)
        if deadline <= now:
            self._end()
            raise Ended(f"the submission took more than {self.limits.total:g} s in all")
        try:
            answer = self._process.exchange(message, deadline)
            if not isinstance(answer, dict) or not ({"ok", "error"} & set(answer)):
                raise ValueError("neither a result nor an error")
        except TimeoutError:
            self._end()
            whole = "in all" if deadline == self._deadline else "for a single step"
            loop = "is there a loop that never ends?"
            raise Ended(f"not done after {deadline - now:.0f} s {whole}: {loop}") from None
        except (EOFError, BrokenPipeError):
            raise Ended(f"the code ended its own process ({self._end()})") from None
        except ValueError as error:
            self._end()
            raise Ended(f"the process sent something else than an answer ({error})") from None
        if "error" in answer:
            if answer.get("kind") == "NotImplementedError":
                raise StudentError(NOT_WRITTEN)
            raise StudentError(str(answer["error"]))
        return answer["ok"]

    def _start(self) -> None:
        if os.name != "posix":
            raise Ended("submissions are graded on Linux and macOS")
        self._started += 1
        self._process = Process(self.folder, self.limits, self.environment)
        try:  # to import torch takes seconds, many on a busy machine: they are nobody's
            self._process.exchange(("ready",), time.monotonic() + START_SECONDS)
        except (OSError, EOFError, ValueError) as error:
            how = self._end()
            raise NotStarted(f"the process for a submission did not start ({how}): {self.output[-500:]}") from error

    def _end(self) -> str:
        """End the process, if there is one; gives how it had ended."""
        process, self._process = self._process, None
        if process is None:
            return "it was not there"
        how = process.end()
        self.output = (self.output + process.output)[:KEPT_OUTPUT]
        return how


class Remote:
    """A function of the student's, called in the student's process; what it changes in place is changed here, too."""

    def __init__(self, sandbox: Sandbox, name: str):
        self._sandbox, self.__name__ = sandbox, name

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        result, positional, by_name = self._sandbox.call(self.__name__, arguments, named)
        _take_over(list(arguments), positional)
        _take_over(named, by_name)
        return wire.restored(result)

    def train_there(self, request: Request) -> dict:
        return self._sandbox.train(request)


def _take_over(here: Any, there: Any) -> None:
    """Copy what became of tensors, wherever the answer is of the form of the question."""
    if isinstance(here, Tensor) and isinstance(there, Tensor):
        if here.shape == there.shape and here.dtype == there.dtype:
            here.data.copy_(there)
    elif isinstance(here, dict) and isinstance(there, dict):
        for name in here.keys() & there.keys():
            _take_over(here[name], there[name])
    elif isinstance(here, list | tuple) and isinstance(there, list | tuple):
        for one, other in zip(here, there, strict=False):
            _take_over(one, other)
