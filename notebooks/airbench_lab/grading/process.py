"""The process of a student's code, seen from the grader: started with its limits, asked, and ended with all it left.

Nothing that it does can keep the grader waiting beyond a deadline: both pipes are read and written without blocking.
"""

import os
import select
import signal
import subprocess
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from airbench_core.cache import cache_folder
from airbench_lab.grading import confined, wire

KEPT_OUTPUT = 20_000  # characters of what the code prints


@dataclass(frozen=True, kw_only=True)
class Limits:
    """seconds: of one call of a function. training: of a training, or of a cell, which may train.

    total: of a whole submission. memory, disk: gigabytes that are the process's own, and of what it writes in all.
    processes: how often it may be started.
    """

    seconds: float = 60
    training: float = 600
    total: float = 1800
    memory: float = 8
    disk: float = 1
    processes: int = 4


class Process:
    """A running process of a module, whose only folder is `folder`. Raises OSError if it cannot be started."""

    def __init__(self, module: str, folder: Path, limits: Limits, environment: dict[str, str]):
        self.output = ""  # what it prints, the beginning
        (read_there, write_here), (read_here, write_there) = os.pipe(), os.pipe()
        cores = os.cpu_count() or 1
        pipes = read_there, write_there
        self._process = subprocess.Popen(
            confined.command(
                folder, module, pipes, memory=limits.memory, disk=limits.disk, cpu_seconds=limits.total * cores
            ),
            cwd=folder,
            env=_environment(folder) | environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            pass_fds=pipes,
            start_new_session=True,
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

    def stop(self) -> None:
        """From another thread than its own, for which `exchange` then raises EOFError, and which has to `end` it."""
        self._process.terminate()

    def end(self, *, ending: bool = False) -> str:
        """End it, and what it started; gives how it ended. ending: it is just doing so by itself."""
        if ending:
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(5)
        self._process.terminate()  # confinement/__main__.py ends all below
        try:
            status = self._process.wait(10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            status = self._process.wait()
        self._pipe.close()
        self._listener.join(5)
        if status <= 128:
            return f"status {status}"
        return f"signal {status - 128}{': out of memory?' * (status == 128 + signal.SIGKILL)}"

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
    own = dict.fromkeys(("HOME", "TMPDIR", "MPLCONFIGDIR", "IPYTHONDIR"), str(folder))
    cache = {
        "XDG_CACHE_HOME": str(cache_folder().parent),
        "PYTHONDONTWRITEBYTECODE": "1",
        "MPLBACKEND": "agg",
        "USER": "student",
        "PIP_RETRIES": "0",  # there is no network
    }
    return kept | own | cache | {"PYTHONPATH": os.pathsep.join(confined.listed())}
