"""The engine for one machine: a process for each GPU, or for each group of a CPU's cores, which makes run after run.

Processes and not threads: they do not share Python's lock, a crash takes one of them, and the memory of each is its
own. They are started anew, not forked: a fork of a process that has used a GPU cannot use it.
"""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import airbench_core
from airbench_core.datasets import Dataset
from airbench_core.devices import available_cores
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.scales import scale_named
from airbench_core.speed import estimate_seconds, measure_speed
from airbench_core.study import runlog
from airbench_core.study.engines import Outcome, Setting, Task, choice, failure
from airbench_core.study.worker import Order

MEMORY = 2e9  # bytes that a process on a CPU may come to need, at full scale


class LocalEngine:
    """Processes on this machine.

    data: what the scale keeps of it; each process loads it from the disk, from `root` if it is not where it usually is.

    workers: on a CPU, default as many as leave one core free and fit into memory; of GPUs there is one for each, or
    one for all where the runtime's device names it (cuda:1). Raises UsageError for more than there is room for.
    """

    def __init__(self, setting: Setting, data: Dataset, *, root: str | None = None, workers: int | None = None):
        self.setting, self.data, self.root = setting, data, root
        runtime = setting.runtime
        if runtime.device.type == "cpu":
            self.devices = [runtime.device] * _cpu_workers(runtime.threads, workers)
        else:
            self.devices = _gpus(runtime.device)
            if workers not in (None, len(self.devices)):
                raise UsageError(f"workers={workers} is not legal: one for each device, here {len(self.devices)}")
        self.processes: list[_Process] = []
        self.news: queue.Queue[tuple[_Process, dict[str, Any] | None]] = queue.Queue()

    def __str__(self) -> str:
        n, runtime = len(self.devices), self.setting.runtime
        if runtime.device.type == "cpu":
            return f"{n} process{'es' * (n > 1)} of {runtime.threads} thread{'s' * (runtime.threads > 1)}"
        return f"{n} GPU{'s' * (n > 1)}"

    @property
    def slots(self) -> int:
        return len(self.devices)

    def runtimes(self) -> list[Mapping[str, Any]]:
        found = [replace(self.setting.runtime, device=device).describe() for device in dict.fromkeys(self.devices)]
        return list({json.dumps(runtime): runtime for runtime in found}.values())

    def measure(self, recipe: Recipe) -> float:
        scale = scale_named(self.setting.scale)
        return estimate_seconds(recipe, scale, measure_speed(recipe, scale, self.setting.runtime, seconds=0.5))

    def underway(self) -> float:
        return sum(process.share for process in self.processes if process.task is not None)

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome | None]:
        pending, told = list(tasks), False
        try:
            for index in range(min(len(self.devices), len(pending))):
                self._start(index)
            while self.processes:
                if stop.is_set() and not told:
                    told = True
                    pending.clear()
                    for process in self.processes:
                        process.send(stop=True)
                for process in [p for p in self.processes if p.ready and p.task is None]:
                    if pending:
                        others = [other.last for other in self.processes if other is not process]
                        process.begin(pending.pop(choice(pending, process.last, others)))
                    else:
                        self.processes.remove(process)
                        process.end()
                try:
                    process, message = self.news.get(timeout=0.5)
                except queue.Empty:
                    yield None
                else:
                    yield self._heard(process, message, more=bool(pending))
        finally:
            for process in self.processes:
                process.end()
            self.processes.clear()

    def _start(self, index: int) -> None:
        runtime, threads = self.setting.runtime, self.setting.runtime.threads
        cores: tuple[int, ...] = ()
        if runtime.device.type == "cpu" and hasattr(os, "sched_getaffinity"):
            # The last of the cores: the system's own work prefers the first.
            mine = sorted(os.sched_getaffinity(0))
            cores = tuple(mine[max(0, len(mine) - (index + 1) * threads) :][:threads])
        order = Order(
            scale=self.setting.scale,
            device=str(self.devices[index]),
            dtype=str(runtime.dtype).removeprefix("torch."),
            threads=threads,
            race=self.setting.race,
            predictions=self.setting.predictions,
            data=self.data.name,
            root=self.root,
            cores=cores,
        )
        self.processes.append(_Process(index, order, self.news))

    def _heard(self, process: "_Process", message: dict[str, Any] | None, more: bool) -> Outcome | None:
        if process not in self.processes:
            return None  # it was told to end, and did
        if message is None:
            return self._died(process, more)
        if "error" in message:
            raise AirbenchError(f"a process of the sweep could not start: {message['error']}")
        if "ready" in message:
            process.ready = True
        elif "underway" in message:
            process.share = message["underway"]
        elif "stopped" in message:
            process.task = None
        else:
            task, process.task = process.task, None
            return Outcome(task, message["record"], message["seconds"])
        return None

    def _died(self, process: "_Process", more: bool) -> Outcome | None:
        """A process that ended by itself is replaced; the run that it was at has failed."""
        self.processes.remove(process)
        how = process.how_it_ended()
        if not process.ready:
            raise AirbenchError(f"a process of the sweep {how} before it was ready: what it printed stands above")
        if more:
            self._start(process.index)
        if process.task is None:
            return None
        failed = runlog.Failed("died", f"its process {how}")
        data, runtime = (self.data.name, self.data.digest), self.setting.runtime.describe()
        record = failure(process.task, self.setting.scale, data, runtime, process.since, failed)
        return Outcome(process.task, record, time.time() - process.since)


class _Process:
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
            [sys.executable, "-P", "-m", "airbench_core.study.worker"],  # -P: nothing of the current folder
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
        with suppress(BrokenPipeError):
            self.process.stdin.close()
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:  # it may still be importing
            self.process.kill()
            self.process.wait()

    def how_it_ended(self) -> str:
        status = self.process.wait()
        self.end()
        if status >= 0:
            return f"ended with status {status}"
        hint = " (is there enough memory?)" if -status == signal.SIGKILL else ""
        return f"was killed by signal {-status}{hint}"

    def _write(self, line: str) -> None:
        with suppress(BrokenPipeError, ValueError):  # it died: the reader will say so
            self.process.stdin.write(line + "\n")
            self.process.stdin.flush()

    def _read(self, news: queue.Queue) -> None:
        try:
            with self.process.stdout as lines:
                for line in lines:
                    news.put((self, json.loads(line)))
        finally:  # also after a line that was cut off when the process was killed
            news.put((self, None))


def _cpu_workers(threads: int, workers: int | None) -> int:
    cores = available_cores()
    if workers is None:
        return max(1, min((cores - 1) // threads, int(_memory() // MEMORY)))
    if not 1 <= workers * threads <= max(cores, threads):
        raise UsageError(
            f"workers={workers} is not legal: with {threads} thread(s) each, 1 to {max(1, cores // threads)} on the "
            f"{cores} core(s) here"
        )
    return workers


def _memory() -> float:
    """Bytes of this machine's memory; where the system does not tell, enough."""
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):
        return float("inf")


def _gpus(device: torch.device) -> list[torch.device]:
    if device.type == "cuda" and device.index is None:
        return [torch.device("cuda", index) for index in range(torch.cuda.device_count())]
    return [device]
