"""The process of a student's code, seen from the grader: started with its limits, asked, and ended with all it left.

Nothing that it does can keep the grader waiting beyond a deadline: both pipes are read and written without blocking.
"""

import json
import os
import select
import signal
import site
import subprocess
import sys
import sysconfig
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import airbench_core
import airbench_lab
from airbench_core.cache import cache_folder
from airbench_lab.grading import limits as limits_script
from airbench_lab.grading import wire

KEPT_OUTPUT = 20_000  # characters of what the code prints
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/nix", "/opt/nvidia", "/opt/rocm")
GPUS = ("/dev/kfd", "/dev/dri", *map(str, Path("/dev").glob("nvidia*")))  # their drivers are spoken to by files
MARK = "AIRBENCH_SUBMISSION"  # in the environment of all that it starts: what is left over is known by it
GIGABYTE = 1 << 30


@dataclass(frozen=True, kw_only=True)
class Limits:
    """seconds: of one call of a function. training: of a training, or of a cell, which may train.

    total: of a whole submission. memory: gigabytes that are the process's own. processes: how often it may be started.
    """

    seconds: float = 60
    training: float = 600
    total: float = 1800
    memory: float = 8
    processes: int = 4


class Process:
    """A running process of a module, whose only folder is `folder`. Raises OSError if it cannot be started."""

    def __init__(self, module: str, folder: Path, limits: Limits, environment: dict[str, str]):
        self.output = ""  # what it prints, the beginning
        self._folder = folder
        (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
        asked = {
            "limits": {
                "memory": int(limits.memory * GIGABYTE),
                "file_size": GIGABYTE // 4,
                "cpu_seconds": int(limits.total * (os.cpu_count() or 1)),
            },
            "files": {"write": [str(folder), "/dev/null", *GPUS], "read": readable(), "lists": _listed()},
        }
        command = [sys.executable, "-P", limits_script.__file__, json.dumps(asked), module]
        self._process = subprocess.Popen(
            [*command, str(read_there), str(write_there)],
            cwd=folder,
            env=_environment(folder) | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=(read_there, write_there),
            start_new_session=True,  # so that all that it starts can be ended with it
        )
        os.close(read_there)
        os.close(write_there)
        self._pipe = _Pipe(read_here, write_here)
        self._listener = threading.Thread(target=self._listen, args=(self._process.stdout,), daemon=True)
        self._listener.start()

    def exchange(self, content: bytes, deadline: float) -> bytes:
        """Send a message and give the answer. deadline: on time.monotonic().

        Raises TimeoutError, EOFError or BrokenPipeError if it has gone, ValueError for what is no answer.
        """
        self._pipe.deadline = deadline
        wire.write(self._pipe, content)
        return wire.read(self._pipe)

    def end(self) -> str:
        """End it, and what it started; gives how it had ended by itself."""
        with suppress(subprocess.TimeoutExpired):  # it may be just ending by itself
            self._process.wait(0.5)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(self._process.pid, signal.SIGKILL)
        status = self._process.wait()
        _end_marked(self._folder)
        self._pipe.close()
        self._listener.join(5)
        if status >= 0:
            return f"status {status}"
        return f"signal {-status}{': out of memory?' * (-status == signal.SIGKILL)}"

    def _listen(self, stream: IO[bytes]) -> None:
        """Keep the beginning of what is printed and forget the rest: no amount of it blocks or fills anything."""
        with stream:
            while some := stream.read1(1 << 16):
                if len(self.output) < KEPT_OUTPUT:
                    self.output += some.decode(errors="replace")[: KEPT_OUTPUT - len(self.output)]


class _Pipe:
    """Two ends of pipes as one stream, none of whose calls lasts beyond `deadline`."""

    def __init__(self, source: int, sink: int):
        self.source, self.sink, self.deadline = source, sink, 0.0
        os.set_blocking(sink, False)

    def read(self, size: int) -> bytes:
        """So many bytes, fewer if the other end has gone."""
        parts = bytearray()
        while len(parts) < size:
            self._wait(self.source, select.POLLIN)
            some = os.read(self.source, min(size - len(parts), 1 << 20))
            if not some:
                break
            parts += some
        return bytes(parts)

    def write(self, content: bytes | memoryview) -> None:
        left = memoryview(content)
        while left:
            self._wait(self.sink, select.POLLOUT)
            with suppress(BlockingIOError):
                left = left[os.write(self.sink, left[: 1 << 20]) :]

    def flush(self) -> None:
        """Nothing is kept back."""

    def close(self) -> None:
        for end in (self.source, self.sink):
            os.close(end)

    def _wait(self, end: int, event: int) -> None:
        poll = select.poll()  # unlike select, it takes numbers of any size
        poll.register(end, event)
        if not poll.poll(max(0.0, self.deadline - time.monotonic()) * 1000):
            raise TimeoutError


def _environment(folder: Path) -> dict[str, str]:
    """Little of the grader's own: nothing that is secret there. What decides how numbers are computed is the same."""
    names = ("PATH", "LANG", "LC_ALL", "CUDA_VISIBLE_DEVICES", "CC")
    starts = ("OPENBLAS_", "ONEDNN_", "ATEN_", "MKL_")
    kept = {name: value for name, value in os.environ.items() if name in names or name.startswith(starts)}
    if data := os.environ.get("AIRBENCH_DATA"):
        kept["AIRBENCH_DATA"] = str(Path(data).resolve())
    own = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR", MARK), str(folder))
    cache = {"XDG_CACHE_HOME": str(cache_folder().parent), "PYTHONDONTWRITEBYTECODE": "1", "MPLBACKEND": "agg"}
    return kept | own | cache | {"PYTHONPATH": os.pathsep.join(_listed())}


def readable() -> list[str]:
    """What submissions may read: programs, libraries, the data and this project's code, not its notebooks and tests."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()]
    python += [site.getusersitepackages(), str(Path(sys.executable).resolve().parent)]
    code = [str(Path(module.__file__).parent) for module in (airbench_core, airbench_lab)]
    data = [str(cache_folder()), *filter(None, [os.environ.get("AIRBENCH_DATA")])]
    return list(dict.fromkeys([*SYSTEM, *python, *code, *(str(Path(path).resolve()) for path in data)]))


def _listed() -> list[str]:
    """Where Python looks for this project: names alone."""
    return list(dict.fromkeys(str(Path(module.__file__).parents[1]) for module in (airbench_core, airbench_lab)))


def _end_marked(folder: Path) -> None:
    """End what a submission has started in sessions of its own. Linux tells; elsewhere nothing is found."""
    mark = f"{MARK}={folder}".encode()
    for about in Path("/proc").glob("[0-9]*/environ"):
        with suppress(OSError):  # it may be gone, or another user's
            if mark in about.read_bytes().split(b"\0"):
                os.kill(int(about.parent.name), signal.SIGKILL)
