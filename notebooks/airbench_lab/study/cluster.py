"""The engine for several runs at a time, by Ray: a process for each GPU, or for some of a CPU's cores, on any machine.

Ray finds free devices, starts processes there, and says when one is lost. What each does next is decided here: a run
is given to a process, and to a new one if that is lost. Ray's own retries are off, since they also count its moments
of not reaching a process. This process alone writes the log, so a run is in it once or not at all. How a cluster is
started, on a few machines, SLURM, Kubernetes or a cloud: README.md beside this file.
"""

import os
import socket
import textwrap
import threading
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import torch

from airbench_core import Dataset, Runtime
from airbench_core.devices import DTYPES
from airbench_core.errors import AirbenchError, UsageError
from airbench_lab import tell
from airbench_lab.study.engines import Here, Outcome, Setting, Task, failure, following

# What Ray will do by itself one day, and warns of until then: tasks without a GPU keep what they see of GPUs.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
# Else what Ray starts here comes after all else that this machine does.
os.environ.setdefault("RAY_worker_niceness", "0")

try:
    import ray
except ImportError as missing:
    raise UsageError(
        "several runs at a time are made by Ray, which is not installed: `pip install -e '.[cluster]'`, on all "
        "machines, or one run at a time by --workers 1"
    ) from missing

LOST = 5  # how often a run is begun again, in another process, when its process is lost
PATIENCE = 120.0  # seconds that a process may take to start


class RayEngine:
    """Processes on this machine, or on those of a cluster, until the end of a `with` block.

    data: as scaled; it travels to the machines, which need only the project. workers: so many processes, by a Ray of
    their own on this machine; None: as many as have room on the cluster at `address` ("auto": that which this machine
    is in). device: cuda, cpu, or auto: GPUs if there are any. dtype: or auto, what suits the first of the machines.
    Raises AirbenchError where no cluster answers, and UsageError where it has no room for a run.
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
        address: str = "auto",
        workers: int | None = None,
    ):
        self.data, self.workers = data, workers
        if workers is None:
            _connect(address)
        else:
            _connect("local", num_cpus=workers * threads, num_gpus=workers if device == "cuda" else 0)
        try:
            with _in_a_line():
                device = self._start(device, threads)
                found = self._described(device, dtype, threads)
        except BaseException:
            ray.shutdown()
            raise
        self.described = [about for index, about in enumerate(found) if about not in found[:index]]
        runtime = Runtime(device=torch.device(device), dtype=DTYPES[found[0]["dtype"]], threads=threads)
        # On a CPU runs side by side share caches and memory, so that each takes longer than alone.
        self.setting = Setting(scale=scale, runtime=runtime, alone=device == "cuda", race=race, predictions=predictions)

    def _start(self, device: str, threads: int) -> str:
        """Start as many processes as there is room for; gives the device."""
        nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
        if device == "auto":
            device = "cuda" if any(node.get("GPU") for node in nodes) else "cpu"
        if device not in ("cuda", "cpu"):
            raise UsageError(f"device={device} is not legal on a cluster: auto, cuda or cpu")
        kind, each = ("GPU", 1) if device == "cuda" else ("CPU", threads)
        room = [int(node.get(kind, 0)) // each for node in nodes]
        self.machines, self.slots = sum(n > 0 for n in room), sum(room)
        if not self.slots:
            raise UsageError(f"none of the cluster's {len(nodes)} machine(s) has {each} {kind}(s), for one run")
        needs = {"num_gpus": 1, "num_cpus": 0} if device == "cuda" else {"num_cpus": threads}
        actor = ray.remote(max_restarts=0, max_task_retries=0, **needs)(_Actor)
        shared = [ray.put(self.data)]  # in a list it is fetched by the actor itself, when it needs it
        self.new = lambda: actor.remote(shared)
        self.actors = [self.new() for _ in range(self.slots)]
        return device

    def _described(self, device: str, dtype: str, threads: int) -> list[Mapping[str, Any]]:
        """What the processes run on, all in the precision of the first; without those that have not started yet."""
        asked = [actor.describe.remote(device, dtype, threads) for actor in self.actors]
        if not ray.wait(asked, timeout=PATIENCE)[0]:
            raise AirbenchError(
                f"no process of the sweep has started for {PATIENCE:.0f} s: is there room? `ray status` shows what is "
                "in use"
            )
        started, _ = ray.wait(asked, num_returns=len(asked), timeout=10)
        found = []
        for one in started:
            try:
                found.append(ray.get(one))
            except ray.exceptions.RayActorError:  # killed already; `run` begins another in its place
                if one is started[-1] and not found:
                    raise
        return [{**about, "dtype": found[0]["dtype"]} for about in found]

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *exception: object) -> None:
        with suppress(Exception):  # it would hide the error that ended the sweep
            ray.shutdown()

    def __str__(self) -> str:
        runtime = self.setting.runtime
        what = "GPU(s)" if runtime.device.type == "cuda" else f"process(es) of {runtime.threads} thread(s)"
        where = f"a Ray cluster of {self.machines} machine(s) with " if self.workers is None else ""
        return f"{where}{self.slots} {what}"

    def runtimes(self) -> list[Mapping[str, Any]]:
        return self.described

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome]:
        pending, lost = list(tasks), Counter()
        working: dict[ray.ObjectRef, tuple[Any, Task, float]] = {}  # what is awaited: of whom, of what, since when

        def submit(actor: Any, last: Task | None) -> None:
            if pending and not stop.is_set():
                task = pending.pop(following(pending, last))
                working[actor.attempt.remote(self.setting, task)] = actor, task, time.time()
            else:  # its room may be what another one waits for
                ray.kill(actor)

        with _in_a_line():
            for actor in self.actors:
                submit(actor, None)
            while working:
                done, _ = ray.wait(list(working), timeout=1)
                if stop.is_set() and not done:
                    return
                for reference in done:
                    actor, task, since = working.pop(reference)
                    outcome = self._outcome(reference, task, since, lost)
                    if outcome is None:
                        pending.insert(0, task)
                    else:
                        yield outcome
                    if outcome is None or (outcome.failed and outcome.failed["kind"] != "diverged"):
                        ray.kill(actor)  # after an error too: a GPU's context may be broken for good
                        actor, task = self.new(), None
                    submit(actor, task)

    def _outcome(self, reference: "ray.ObjectRef", task: Task, since: float, lost: Counter) -> Outcome | None:
        """None if the process was lost, so that the run is to be made again."""
        try:
            return ray.get(reference)
        except ray.exceptions.RayTaskError as error:  # raised, so that another process would do so too
            failed = ("error", _reason(error))
        except ray.exceptions.RayError as error:
            lost[task] += 1
            tell(f"airbench: the process of {task} was lost ({_reason(error)})")
            if lost[task] <= LOST:
                return None
            failed = ("died", f"its process was lost {lost[task]} times ({_reason(error)})")
        return failure(task, self.setting.scale, self.data, self.described[0], since, *failed)


@contextmanager
def _in_a_line() -> Iterator[None]:
    """What Ray raises, as AirbenchError."""
    try:
        yield
    except ray.exceptions.RayError as error:
        raise AirbenchError(f"a machine of the cluster cannot make runs: {_reason(error)}") from error


class _Actor:
    """A process on one of the machines. shared: the data's reference."""

    def __init__(self, shared: list):
        self.shared, self.here = shared, None

    def describe(self, device: str, dtype: str, threads: int) -> dict[str, Any]:
        return Runtime.detect(device, dtype=dtype, threads=threads).describe()

    def attempt(self, setting: Setting, task: Task) -> Outcome:
        if self.here is None:
            self.here = Here(setting, ray.get(self.shared[0]))
        return self.here.attempt(task)


def _connect(address: str, **resources: Any) -> None:
    """Start a Ray here ("local"), or join the cluster at `address`, or "auto". Raises AirbenchError, one line."""
    try:
        if address not in ("auto", "local"):  # Ray itself would try for minutes
            host, _, port = address.removeprefix("ray://").rpartition(":")
            if not (host and port.isdigit()):
                raise ValueError("an address is HOST:PORT")
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        quiet = {"include_dashboard": False} if address == "local" else {}
        ray.init(address=address, log_to_driver=False, logging_level="ERROR", **quiet, **resources)
    except Exception as error:  # Ray raises several kinds
        why = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if address == "local":
            raise AirbenchError(f"Ray does not start: {why}") from error
        where = "here" if address == "auto" else f"at {address}"
        remedy = "start one with `ray start --head`, or name one by --address"
        raise AirbenchError(f"no Ray cluster answers {where} ({why}): {remedy}") from error


def _reason(error: Exception) -> str:
    """What went wrong, in a line: Ray says it in many."""
    cause = getattr(error, "cause", None) or error
    kind = "" if isinstance(cause, AirbenchError | ray.exceptions.RayError) else f"{type(cause).__name__}: "
    lines = [line for line in str(cause).splitlines() if line.strip()]
    return textwrap.shorten(f"{kind}{lines[0] if lines else cause!r}", 200, placeholder=" ...")
