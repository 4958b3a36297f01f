"""A process of the local engine: makes the runs that it is told on stdin, and says on stdout what became of them.

Both are lines of JSON, written and read by `process.py`:

    stdin    first what `Order.to_json` gives; then {"recipe": ..., "seed": ..., "compile": ...} for each run;
             {"stop": true} ends the one that goes on, at its next step
    stdout   {"ready": true}, or {"error": ...} if it cannot start; {"underway": share} each second of a run;
             {"record": ..., "seconds": ...} after it, or {"stopped": true}

The end of stdin ends the process at once, so that none is left when the sweep is killed. What libraries print goes to
stderr.
"""

import json
import os
import queue
import sys
import threading
import time
from dataclasses import asdict, dataclass
from typing import Any

import torch

from airbench_core.cli.terminal import every
from airbench_core.datasets import load_dataset
from airbench_core.devices import DTYPES, Runtime
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.training import Stopped
from airbench_lab.study.engines import Runner, Setting, Task

TICK = 1.0  # seconds between two words on how far a run is


@dataclass(frozen=True, kw_only=True)
class Order:
    """What a process needs to know once. cores: those that it is bound to, none: any."""

    scale: str
    device: str
    dtype: str
    threads: int
    alone: bool
    race: bool
    predictions: bool
    data: str
    root: str | None
    digest: str  # of what the scale keeps of the data
    cores: tuple[int, ...]

    def to_json(self) -> str:
        return json.dumps(asdict(self))

    def setting(self) -> Setting:
        runtime = Runtime(device=torch.device(self.device), dtype=DTYPES[self.dtype], threads=self.threads)
        return Setting(
            scale=self.scale, runtime=runtime, alone=self.alone, race=self.race, predictions=self.predictions
        )


class Worker:
    """`lines`: the orders that come in. `out`: where answers go."""

    def __init__(self, order: Order, lines, out):
        self.lines, self.out = lines, out
        self.writing = threading.Lock()
        self.tasks: queue.Queue[Task] = queue.Queue()
        self.stop = threading.Event()
        if order.cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, order.cores)  # threads that start later inherit it
        self.runner = Runner(order.setting(), load_dataset(order.data, order.root, download=False))
        if self.runner.data.digest != order.digest:
            raise UsageError(f"{order.data} on the disk is not the data that the sweep was given: other images")

    def say(self, **values: Any) -> None:
        with self.writing:
            self.out.write(json.dumps(values) + "\n")
            self.out.flush()

    def listen(self) -> None:
        for line in self.lines:
            values = json.loads(line)
            if values.get("stop"):
                self.stop.set()
            else:
                recipe = Recipe.from_json(json.dumps(values["recipe"]))
                self.tasks.put(Task("", recipe, values["seed"], values["compile"]))
        os._exit(0)  # also in the middle of a step

    def work(self) -> None:
        threading.Thread(target=self.listen, daemon=True).start()
        self.say(ready=True)
        while True:
            task = self.tasks.get()
            started = time.perf_counter()
            try:
                with every(TICK, lambda: self.say(underway=self.runner.underway())):
                    record = self.runner.attempt(task, self.stop)
                self.say(record=record, seconds=time.perf_counter() - started - self.runner.setup)
            except Stopped:
                self.say(stopped=True)


def main() -> None:
    out = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    first = sys.stdin.readline()
    if not first:
        return  # the sweep is gone already
    try:
        worker = Worker(Order(**json.loads(first)), sys.stdin, out)
    except (AirbenchError, RuntimeError) as error:  # such as a GPU without memory for the data
        out.write(json.dumps({"error": str(error).splitlines()[0]}) + "\n")
        out.flush()
        return
    worker.work()


if __name__ == "__main__":
    main()
