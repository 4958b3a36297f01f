"""The engine for many machines: Ray actors, each a process that has one GPU, or a CPU's cores, and makes run after run.

Ray finds free devices, starts processes there and says when one is lost. What each does next is decided here: a run is
given to a process that is ready, and to the next one if that is lost. Ray's own retries are off, and this process alone
writes the log, so a run is in it once or not at all. How a cluster is started, on a few machines, SLURM, Kubernetes or
a cloud: README.md beside this file.
"""

import math
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

import torch

from airbench_core import runlog
from airbench_core.datasets import Dataset
from airbench_core.devices import DTYPES, Runtime
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_lab.study.engines import Outcome, Runner, Setting, Task, choice, failure
from airbench_lab.study.machines import PATIENCE, ask, join, ray, reason  # ray: from where its absence is explained

MACHINES_LOST = 5  # how often a run is begun again, in another process, when its process is lost
STARTS = 3  # how often in a row a process may fail to start, until its place is given up


class RayEngine:
    """A running Ray cluster, joined until the end of a `with` block.

    data: as scaled; it travels to the machines, which need only the project. device: cuda, cpu, or auto: GPUs if there
    are any. dtype: or auto, what suits the first of the machines. address: None, of the cluster that this machine is
    in. Raises AirbenchError where no cluster answers, and UsageError where it has no room for a run.
    """

    def __init__(
        self,
        data: Dataset,
        *,
        scale: str,
        race: bool = False,
        predictions: bool = False,
        device: str = "auto",
        dtype: str = "auto",
        threads: int = 1,
        address: str | None = None,
    ):
        self.data = data
        join(address or "auto")
        try:
            self._look_around(device, dtype, threads)
        except BaseException:
            ray.shutdown()
            raise
        runtime = Runtime(device=torch.device(self.device), dtype=DTYPES[self.described[0]["dtype"]], threads=threads)
        alone = self.device == "cuda"  # on a CPU others, of this cluster or not, may be busy on the same machine
        self.setting = Setting(scale=scale, runtime=runtime, alone=alone, race=race, predictions=predictions)

    def _look_around(self, device: str, dtype: str, threads: int) -> None:
        """What the machines are, and how many runs have room on them."""
        nodes = [node for node in ray.nodes() if node["Alive"]]
        if device == "auto":
            device = "cuda" if any(node["Resources"].get("GPU") for node in nodes) else "cpu"
        if device not in ("cuda", "cpu"):
            raise UsageError(f"device={device} is not legal on a cluster: auto, cuda or cpu")
        kind, each = ("GPU", 1) if device == "cuda" else ("CPU", threads)
        able = [node for node in nodes if node["Resources"].get(kind, 0) >= each]
        if not able:
            raise UsageError(f"none of the cluster's {len(nodes)} machine(s) has {each} {kind}(s), for one run")
        answers = ask([node["NodeID"] for node in able], device, dtype, threads)
        able = [node for node in able if node["NodeID"] in answers]
        self.device, self.machines = device, len(able)
        self._slots = sum(int(node["Resources"][kind]) // each for node in able)
        self.needs = {"num_gpus": 1, "num_cpus": 0} if device == "cuda" else {"num_cpus": threads}
        found = list(answers.values())
        self.described = [about for index, about in enumerate(found) if about not in found[:index]]

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(Exception):  # it would hide the error that ended the sweep
            ray.shutdown()

    def __str__(self) -> str:
        runtime = self.setting.runtime
        what = "GPU(s)" if runtime.device.type == "cuda" else f"process(es) of {runtime.threads} thread(s)"
        return f"a Ray cluster of {self.machines} machine(s) with {self._slots} {what}"

    @property
    def slots(self) -> int:
        return self._slots

    def runtimes(self) -> list[Mapping[str, Any]]:
        return self.described

    def measure(self, recipe: Recipe) -> None:
        """None: this machine's speed says nothing of the cluster's."""

    def underway(self) -> float:
        return 0.0

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome | None]:
        work = _Work(self, tasks)
        try:
            while work.left and not stop.is_set():
                work.hand_out()
                yield from work.news(timeout=1)
                yield None
            yield from work.news(timeout=0)  # after `stop`: what was done already
        finally:
            work.end()


class _Work:
    """The tasks of a sweep, and the slots that they are given to."""

    def __init__(self, engine: RayEngine, tasks: Sequence[Task]):
        self.engine, self.pending = engine, list(tasks)
        self.lost: Counter[Task] = Counter()  # how often the process of each was lost
        # In a list it is fetched by the actor itself. Ray would start an actor again, and its run, on its own account.
        shared, once = [ray.put(engine.data)], {"max_restarts": 0, "max_task_retries": 0}
        actor = ray.remote(**once, **engine.needs)(_Actor)
        self.slots = [
            _Slot(lambda: actor.remote(engine.setting, shared)) for _ in range(min(engine.slots, len(self.pending)))
        ]
        self.idle_since = time.monotonic()  # when a process was last ready; never, once a person was told

    @property
    def left(self) -> bool:
        return bool(self.pending) or any(slot.task for slot in self.slots)

    def hand_out(self) -> None:
        """Give tasks to the slots that are free."""
        for slot in self.slots:
            if slot.ready and slot.task is None and self.pending:
                others = [other.last for other in self.slots if other is not slot]
                slot.begin(self.pending.pop(choice(self.pending, slot.last, others)))
        if any(slot.ready for slot in self.slots):
            self.idle_since = time.monotonic()
        elif time.monotonic() - self.idle_since > PATIENCE:
            _tell(f"no process has started for {PATIENCE:.0f} s: is there room? `ray status` shows what is in use")
            self.idle_since = math.inf

    def news(self, timeout: float) -> Iterator[Outcome]:
        """The outcomes there are, awaited until there is any news; what was lost goes back, and is replaced."""
        slots = {slot.awaited: slot for slot in self.slots if slot.awaited is not None}
        if not slots:
            return
        ray.wait(list(slots), timeout=timeout)
        done, _ = ray.wait(list(slots), num_returns=len(slots), timeout=0)
        for reference in done:
            outcome = self._heard(slots[reference])
            if outcome is not None:
                yield outcome

    def end(self) -> None:
        for slot in self.slots:
            slot.end()

    def _heard(self, slot: "_Slot") -> Outcome | None:
        task, reference = slot.task, slot.awaited
        slot.task = slot.awaited = None
        try:
            answer = ray.get(reference)
        except ray.exceptions.RayError as error:
            if task is None:
                self._not_started(slot, reason(error))
                return None
            if isinstance(error, ray.exceptions.RayTaskError):  # raised, so that another process would do so too
                outcome = self._failed(slot, task, "error", reason(error))
            else:
                outcome = self._lost(slot, task, reason(error))
        else:
            if task is None:
                slot.ready, slot.failed_starts = True, 0
                return None
            outcome = Outcome(task, *answer)
            if not outcome.failed or outcome.failed["kind"] != "error":
                return outcome
        self._replace(slot)  # after an error too: a GPU's context may be broken for good
        return outcome

    def _lost(self, slot: "_Slot", task: Task, why: str) -> Outcome | None:
        self.lost[task] += 1
        _tell(f"the process of {task.label}, seed {task.seed} was lost ({why})")
        if self.lost[task] > MACHINES_LOST:
            return self._failed(slot, task, "died", f"its process was lost {self.lost[task]} times ({why})")
        self.pending.insert(0, task)
        return None

    def _failed(self, slot: "_Slot", task: Task, kind: str, message: str) -> Outcome:
        engine, failed = self.engine, runlog.Failed(kind, message)
        data = engine.data.name, engine.data.digest
        record = failure(task, engine.setting.scale, data, engine.described[0], slot.since, failed)
        return Outcome(task, record, time.time() - slot.since)

    def _not_started(self, slot: "_Slot", why: str) -> None:
        slot.failed_starts += 1
        _tell(f"a process of the sweep could not start, {slot.failed_starts} of {STARTS} times: {why}")
        if slot.failed_starts < STARTS:
            self._replace(slot)
            return
        self.slots.remove(slot)
        if not self.slots:
            raise AirbenchError(f"no process of the sweep can start on the cluster: {why}")

    def _replace(self, slot: "_Slot") -> None:
        slot.end()
        if self.pending:
            slot.start()
        else:
            self.slots.remove(slot)


class _Slot:
    """Where one run goes on at a time: an actor, which may wait for room yet, and what it was told last.

    A method of an actor is called when its `__init__` is done. So it is `ready` when an answer to that is there.
    """

    def __init__(self, make):
        self.make = make
        self.failed_starts = 0
        self.start()

    def start(self) -> None:
        self.ready = False
        self.task: Task | None = None
        self.last: Task | None = None  # its recipe is set up, and maybe compiled
        self.since = 0.0
        self.actor = self.make()
        self.awaited: ray.ObjectRef | None = self.actor.ready.remote()

    def begin(self, task: Task) -> None:
        self.task = self.last = task
        self.since = time.time()
        self.awaited = self.actor.attempt.remote(task)

    def end(self) -> None:
        with suppress(Exception):  # it may be gone, or the cluster
            ray.kill(self.actor)


class _Actor:
    """A process on one of the machines."""

    def __init__(self, setting: Setting, shared: list):
        self.runner = Runner(setting, ray.get(shared[0]))

    def ready(self) -> None:
        pass

    def attempt(self, task: Task) -> tuple[dict[str, Any], float]:
        """The run's record, and its seconds."""
        started = time.perf_counter()
        record = self.runner.attempt(task)
        return record, time.perf_counter() - started - self.runner.setup


def _tell(line: str) -> None:
    print(f"airbench: {line}", file=sys.stderr, flush=True)
