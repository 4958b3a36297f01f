"""A student's notebook, run in a process of its own with limits; its names, as a grader's tests meet them.

    with Sandbox(cells, limits) as sandbox:
        names = sandbox.names()        # numbers and tensors as they are; functions as calls into that process
        names["my_whitening"](images, 5e-4)

The tests, their numbers and what they compare with never enter that process. A cell or a call that takes too long, or
that ends the process, is left out from then on, and the rest goes on in a new process.
"""

import json
import os
import shutil
import signal
import site
import subprocess
import sys
import sysconfig
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

import airbench_core
import airbench_lab
from airbench_core import Parts
from airbench_core.downloads import cache_folder
from airbench_lab.grading import limits as limits_script
from airbench_lab.grading import wire
from airbench_lab.grading.training import Request

KEPT_OUTPUT = 20_000  # characters of what the code prints
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/opt", "/proc", "/sys", "/dev", "/nix")
GPUS = ("/dev/kfd", "/dev/dri", *map(str, Path("/dev").glob("nvidia*")))  # their drivers are spoken to by files
GIGABYTE = 1 << 30
NOT_WRITTEN = "not written yet"


@dataclass(frozen=True, kw_only=True)
class Limits:
    """seconds: of one cell or one call of a function. training: of a training, or of a cell, which may train.

    total: of a whole submission. memory: gigabytes that are the process's own. processes: how often it may be started.
    """

    seconds: float = 60
    training: float = 600
    total: float = 1800
    memory: float = 8
    processes: int = 4


class StudentError(Exception):
    """What a student's code did wrong, in words for the student."""


class Ended(StudentError):
    """The process is no more."""


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
        self._process: subprocess.Popen | None = None
        self._late = threading.Event()

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
        left = self._deadline - time.monotonic()
        seconds_here = min(seconds, left)
        if seconds_here <= 0:
            self._end()
            raise Ended(f"the submission took more than {self.limits.total:g} s in all")
        timer = threading.Timer(seconds_here, self._kill)
        late = self._late = threading.Event()
        timer.start()
        try:
            wire.send(self._to, message)
            answer = wire.read_reply(self._from)
        except (EOFError, OSError):
            how = self._end()
            if late.is_set():
                whole = "in all" if seconds_here < seconds else "for a single step"
                raise Ended(f"not done after {seconds_here:.0f} s {whole}: is there a loop that never ends?") from None
            raise Ended(f"the code ended its own process ({how})") from None
        except ValueError as error:
            self._end()
            raise Ended(f"the process sent something else than an answer ({error})") from None
        finally:
            timer.cancel()
        if not isinstance(answer, dict) or not ({"ok", "error"} & set(answer)):
            self._end()
            raise Ended("the process sent something else than an answer")
        if "error" in answer:
            if answer.get("kind") == "NotImplementedError":
                raise StudentError(NOT_WRITTEN)
            raise StudentError(str(answer["error"]))
        return answer["ok"]

    def _start(self) -> None:
        self._started += 1
        if os.name != "posix":
            raise Ended("submissions are graded on Linux and macOS")
        (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
        asked = {
            "limits": {
                "memory": int(self.limits.memory * GIGABYTE),
                "file_size": GIGABYTE // 4,
                "cpu_seconds": int(self.limits.total * (os.cpu_count() or 1)),
            },
            "files": {"write": [str(self.folder), "/dev/null", *GPUS], "read": _readable(), "lists": _listed()},
        }
        command = [sys.executable, "-P", limits_script.__file__, json.dumps(asked)]
        self._process = subprocess.Popen(
            [*command, "airbench_lab.grading.student", str(read_there), str(write_there)],
            cwd=self.folder,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(read_there, write_there),
            start_new_session=True,  # so that all that it starts can be ended with it
        )
        os.close(read_there)
        os.close(write_there)
        self._to, self._from = os.fdopen(write_here, "wb"), os.fdopen(read_here, "rb")
        self._reader = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._reader.start()

    def _environment(self) -> dict[str, str]:
        """Little of the grader's own: nothing that is secret there."""
        kept = {
            name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES") if name in os.environ
        }
        kept |= {name: value for name, value in os.environ.items() if name.startswith("OPENBLAS_")}
        if data := os.environ.get("AIRBENCH_DATA"):
            kept["AIRBENCH_DATA"] = str(Path(data).resolve())
        here, there = str(self.folder), cache_folder()
        roots = [str(Path(module.__file__).parents[1]) for module in (airbench_core, airbench_lab)]
        return (
            kept
            | {"HOME": here, "TMPDIR": here, "MPLCONFIGDIR": here, "IPYTHONDIR": here, "MPLBACKEND": "agg"}
            | {"XDG_CACHE_HOME": str(there.parent), "PYTHONPATH": os.pathsep.join(dict.fromkeys(roots))}
            | {"PYTHONDONTWRITEBYTECODE": "1"}
            | self.environment
        )

    def _listen(self, stream: Any) -> None:
        """Keep the beginning of what is printed and forget the rest: no amount of it blocks or fills anything."""
        with stream:
            while some := stream.read1(1 << 16):
                if len(self.output) < KEPT_OUTPUT:
                    self.output += some.decode(errors="replace")[: KEPT_OUTPUT - len(self.output)]

    def _kill(self) -> None:
        self._late.set()
        self._kill_all()

    def _kill_all(self) -> None:
        if self._process is not None:
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(self._process.pid, signal.SIGKILL)

    def _end(self) -> str:
        """End the process, if there is one; gives how it had ended."""
        process, self._process = self._process, None
        if process is None:
            return "it was not there"
        with suppress(subprocess.TimeoutExpired):  # it may be just ending by itself
            process.wait(0.5)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
        status = process.wait()
        for stream in (self._to, self._from):
            with suppress(OSError):
                stream.close()
        self._reader.join(5)
        if status >= 0:
            return f"status {status}"
        hint = ": out of memory?" if -status == signal.SIGKILL else ""
        return f"signal {-status}{hint}"


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


def _readable() -> list[str]:
    """Programs, libraries, the data and this project's code: neither its notebooks nor its tests."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()]
    python += [site.getusersitepackages(), str(Path(sys.executable).resolve().parent)]
    code = [str(Path(module.__file__).parent) for module in (airbench_core, airbench_lab)]
    data = [str(cache_folder()), *filter(None, [os.environ.get("AIRBENCH_DATA")])]
    return list(dict.fromkeys([*SYSTEM, *python, *code, *(str(Path(path).resolve()) for path in data)]))


def _listed() -> list[str]:
    """Where Python looks for this project: names alone."""
    return list(dict.fromkeys(str(Path(module.__file__).parents[1]) for module in (airbench_core, airbench_lab)))
