"""The engine for one machine: a process for each GPU, or for each group of a CPU's cores, which makes run after run.

Processes and not threads: they do not share Python's lock, a crash takes one of them, and the memory of each is its
own. They are started anew, not forked: a fork of a process that has used a GPU cannot use it.
"""

import json
import os
import queue
import sys
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from airbench_core import runlog
from airbench_core.datasets import Dataset
from airbench_core.devices import available_cores, available_memory
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.scales import scale_named
from airbench_core.speed import estimate_seconds, measure_speed
from airbench_lab.study.engines import Outcome, Setting, Task, choice, failure
from airbench_lab.study.process import Process
from airbench_lab.study.worker import Order

# Bytes that a process on a CPU may come to need: measured for airbench96 in bfloat16 at full scale, where airbench94 in
# float32 needs 3.7e9, and for the longest runs of the flip study at the laptop scale.
MEMORY = {"full": 4.5e9, "laptop": 1.7e9, "smoke": 1.0e9}
STARTS = 3  # how often in a row processes may fail to start


class LocalEngine:
    """Processes on this machine.

    data: what the scale keeps of it; each process loads it from the disk, from `root` if it is not where it usually is.

    workers: on a CPU, default as many as leave one core free and fit into memory; of GPUs, default all, or the one that
    the runtime's device names (cuda:1). Raises UsageError for more than there is room for.
    """

    def __init__(self, setting: Setting, data: Dataset, *, root: str | None = None, workers: int | None = None):
        self.data, self.root = data, root
        runtime = setting.runtime
        if runtime.device.type == "cpu":
            self.devices = [runtime.device] * _cpu_workers(setting, workers)
        else:
            self.devices = _gpus(runtime.device, workers)
        # On a CPU runs side by side share caches and memory, so that each takes longer than alone.
        self.setting = replace(setting, alone=runtime.device.type != "cpu" or len(self.devices) == 1)
        self.processes: list[Process] = []
        self.news: queue.Queue[tuple[Process, dict[str, Any] | None]] = queue.Queue()
        self.failed_starts = 0

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
        try:
            return estimate_seconds(recipe, scale, measure_speed(recipe, scale, self.setting.runtime, seconds=0.5))
        finally:
            if self.setting.runtime.device.type == "cuda":
                torch.cuda.empty_cache()  # a process of the sweep needs it

    def underway(self) -> float:
        return sum(process.share for process in self.processes if process.task is not None)

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome | None]:
        pending, told = list(tasks), False
        self.failed_starts = 0
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
                        self._end(process)
                try:
                    process, message = self.news.get(timeout=0.5)
                except queue.Empty:
                    yield None
                    continue
                if process in self.processes:  # else it was told to end, and did
                    outcome = self._heard(process, message)
                    yield outcome
                    if process not in self.processes and pending and (process.ready or not self.processes):
                        self._start(process.index)
        finally:
            for process in list(self.processes):
                self._end(process)

    def _start(self, index: int) -> None:
        runtime = self.setting.runtime
        order = Order(
            scale=self.setting.scale,
            device=str(self.devices[index]),
            dtype=str(runtime.dtype).removeprefix("torch."),
            threads=runtime.threads,
            alone=self.setting.alone,
            race=self.setting.race,
            predictions=self.setting.predictions,
            data=self.data.name,
            root=self.root,
            digest=self.data.digest,
            cores=self._cores(index),
        )
        self.processes.append(Process(index, order, self.news))

    def _cores(self, index: int) -> tuple[int, ...]:
        """The cores that a process is bound to, so that its threads do not meet another's; none: any.

        Only where several processes take all cores but one: else another sweep, or a container's neighbour that sees
        the same cores, would bind itself to the same ones, while the system finds free ones.
        """
        threads = self.setting.runtime.threads
        if self.setting.runtime.device.type != "cpu" or not hasattr(os, "sched_getaffinity"):
            return ()
        mine = sorted(os.sched_getaffinity(0))
        if (
            len(self.devices) == 1
            or len(self.devices) * threads < available_cores() - 1
            or available_cores() < len(mine)
        ):
            return ()
        last = len(mine) - index * threads  # the system's own work prefers the first
        return tuple(mine[last - threads : last])

    def _end(self, process: Process) -> None:
        self.processes.remove(process)
        process.end()

    def _heard(self, process: Process, message: dict[str, Any] | None) -> Outcome | None:
        """Take in what a process says; None: that it has ended."""
        if message is None or "error" in message:
            return self._died(process, None if message is None else message["error"])
        if "ready" in message:
            process.ready = True
            self.failed_starts = 0
        elif "underway" in message:
            process.share = message["underway"]
        elif "stopped" in message:
            process.task = None
        else:
            task, process.task = process.task, None
            outcome = Outcome(task, message["record"], message["seconds"])
            if outcome.failed and outcome.failed["kind"] == "error":
                self._end(process)  # it may be broken for good, as after an illegal access on a GPU: a new one follows
            return outcome
        return None

    def _died(self, process: Process, error: str | None) -> Outcome | None:
        """A process ended by itself: the run that it was at has failed. If it could not start, others do its share."""
        how = error or process.how_it_ended()
        self._end(process)
        if not process.ready:
            self.failed_starts += 1
            said = f"a process of the sweep could not start: {how}"
            if not self.processes and self.failed_starts >= STARTS:
                raise AirbenchError(said)
            print(f"airbench: {said}", file=sys.stderr)
            return None
        if process.task is None:
            return None
        failed = runlog.Failed("died", f"its process {how}")
        data, runtime = (self.data.name, self.data.digest), self.setting.runtime.describe()
        record = failure(process.task, self.setting.scale, data, runtime, process.since, failed)
        return Outcome(process.task, record, time.time() - process.since)


def _cpu_workers(setting: Setting, workers: int | None) -> int:
    cores, threads = available_cores(), setting.runtime.threads
    if workers is None:
        return max(1, min((cores - 1) // threads, int(available_memory() // MEMORY[setting.scale])))
    if not 1 <= workers * threads <= max(cores, threads):
        raise UsageError(
            f"workers={workers} is not legal: with {threads} thread(s) each, 1 to {max(1, cores // threads)} on the "
            f"{cores} core(s) here"
        )
    return workers


def _gpus(device: torch.device, workers: int | None) -> list[torch.device]:
    several = device.type == "cuda" and device.index is None
    devices = [torch.device("cuda", index) for index in range(torch.cuda.device_count())] if several else [device]
    if not 1 <= (1 if workers is None else workers) <= len(devices):
        raise UsageError(f"workers={workers} is not legal: one for each of the {len(devices)} device(s) here, at most")
    return devices[:workers]
