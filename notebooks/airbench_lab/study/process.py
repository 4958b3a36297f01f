"""One of the local engine's processes, seen from the engine: what it is at, what it is told, how it ended."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import airbench_core
from airbench_lab.study.engines import Task
from airbench_lab.study.worker import Order


class Process:
    """One of the processes, and the task that it is at."""

    def __init__(self, index: int, order: Order, news: queue.Queue):
        self.index = index
        self.ready = False
        self.task: Task | None = None
        self.last: Task | None = None  # its recipe is set up, and maybe compiled
        self.share, self.since = 0.0, 0.0
        root = str(Path(airbench_core.__file__).parents[1])  # the same code, wherever the sweep was started
        paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
        environment = os.environ | {"OMP_NUM_THREADS": str(order.threads), "PYTHONPATH": os.pathsep.join(paths)}
        # In a session of its own: Ctrl-C in the terminal is for the sweep, which then says what is to be done.
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "airbench_lab.study.worker"],  # -P: nothing of the current folder
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            start_new_session=True,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),  # the same on Windows
        )
        threading.Thread(target=self._read, args=(news,), daemon=True).start()
        self._write(order.to_json())

    def begin(self, task: Task) -> None:
        self.task = self.last = task
        self.share, self.since = 0.0, time.time()
        self.send(recipe=task.recipe.changes(), seed=task.seed, compile=task.compile)

    def send(self, **values: Any) -> None:
        self._write(json.dumps(values))

    def end(self) -> None:
        """Its stdin ends, and with it the process."""
        with suppress(OSError):
            self.process.stdin.close()
        try:
            self.process.wait(10 if self.ready else 0.1)
        except subprocess.TimeoutExpired:  # it may still be importing
            self.process.kill()
            self.process.wait()

    def how_it_ended(self) -> str:
        try:
            status = self.process.wait(1)
        except subprocess.TimeoutExpired:
            return "closed its output"
        if status >= 0:
            return f"ended with status {status}"
        hint = " (is there enough memory?)" if -status == signal.SIGKILL else ""
        return f"was killed by signal {-status}{hint}"

    def _write(self, line: str) -> None:
        with suppress(OSError, ValueError):  # it died: the reader will say so
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _read(self, news: queue.Queue) -> None:
        with self.process.stdout as lines:
            for line in lines:
                try:
                    message = json.loads(line)
                except ValueError:  # a library printed it before it could be stopped, or the process was killed at it
                    print(line, end="", file=sys.stderr)
                else:
                    news.put((self, message))
        news.put((self, None))
