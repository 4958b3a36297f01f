"""The engine for many machines: a Ray cluster, each run a Ray task that asks for one GPU, or for a CPU's cores.

Ray brings what a cluster needs: it finds free devices, starts processes there and keeps them for the next run (so that
compilation is paid once in each), and gives a run whose machine was lost to another. This process alone writes the
log, so a run is in it once or not at all. How a cluster is started, on a few machines, SLURM, Kubernetes or a cloud:
README.md beside this file.
"""

import os
import socket
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch

from airbench_core.datasets import Dataset
from airbench_core.devices import DTYPES, Runtime
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.study import runlog
from airbench_core.study.engines import Outcome, Runner, Setting, Task, failure

# What Ray will do by itself one day, and warns of until then: tasks without a GPU keep what they see of GPUs.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise UsageError('Ray is not installed: pip install -e ".[cluster]", here and on the machines') from missing

MACHINES_LOST = 5  # how often a run is begun again, elsewhere, when its process is lost


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
        _join(address or "auto")
        try:
            self._look_around(device, dtype, threads)
        except BaseException:
            ray.shutdown()
            raise
        runtime = Runtime(device=torch.device(self.device), dtype=DTYPES[self.described[0]["dtype"]], threads=threads)
        self.setting = Setting(scale=scale, runtime=runtime, race=race, predictions=predictions)

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
        self.device, self.machines = device, len(able)
        self._slots = sum(int(node["Resources"][kind]) // each for node in able)
        self.needs = {"num_gpus": 1, "num_cpus": 1} if device == "cuda" else {"num_cpus": threads}
        self.described = _ask([node["NodeID"] for node in able], device, dtype, threads)

    def __enter__(self) -> "RayEngine":
        return self

    def __exit__(self, *exception: object) -> None:
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
        remote = ray.remote(max_retries=MACHINES_LOST, **self.needs)(_attempt)
        shared = [ray.put(self.data)]  # in a list it is fetched by processes that lack it, not for every run
        # Compiled runs of one recipe follow each other, since a process keeps what it compiled last.
        order = {recipe: index for index, recipe in enumerate(dict.fromkeys(task.recipe for task in tasks))}
        ordered = sorted(tasks, key=lambda task: order[task.recipe] if task.compile else -1)
        running = {remote.remote(self.setting, shared, task): task for task in ordered}
        try:
            while running and not stop.is_set():
                done, _ = ray.wait(list(running), timeout=1)
                for reference in done:
                    yield self._outcome(reference, running.pop(reference))
                yield None
        finally:
            for reference in running:
                ray.cancel(reference)

    def _outcome(self, reference: "ray.ObjectRef", task: Task) -> Outcome:
        try:
            return Outcome(task, *ray.get(reference))
        except ray.exceptions.RayError as error:
            first = str(error).strip().splitlines()[0]
            failed = runlog.Failed("died", f"its process was lost {MACHINES_LOST + 1} times ({first})")
            data = self.data.name, self.data.digest
            return Outcome(task, failure(task, self.setting.scale, data, self.described[0], time.time(), failed), 0.0)


_runner: Runner | None = None  # of this process, which Ray keeps for one sweep


def _attempt(setting: Setting, shared: list, task: Task) -> tuple[dict[str, Any], float]:
    """On one of the machines: the run's record, and its seconds."""
    global _runner
    started = time.perf_counter()
    if _runner is None:
        _runner = Runner(setting, ray.get(shared[0]))
    return _runner.attempt(task), time.perf_counter() - started


def _join(address: str) -> None:
    where = "here" if address == "auto" else f"at {address}"
    remedy = "start one with `ray start --head`, or name one by --address"
    try:
        if address != "auto":
            _knock(address)  # Ray itself would try for minutes
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise AirbenchError(f"no Ray cluster answers {where} ({reason}): {remedy}") from error


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at `address`, HOST:PORT or ray://HOST:PORT; ValueError if it is neither."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def _ask(nodes: Sequence[str], device: str, dtype: str, threads: int) -> list[Mapping[str, Any]]:
    """What the machines are, without repetitions, all in the precision of the first."""
    needs = {"num_gpus": 0.01, "num_cpus": 0} if device == "cuda" else {"num_cpus": 0}
    answers: list[Mapping[str, Any]] = []
    for node in nodes:
        there = NodeAffinitySchedulingStrategy(node, soft=False)
        remote = ray.remote(scheduling_strategy=there, **needs)(_describe)
        try:
            about = ray.get(remote.remote(device, answers[0]["dtype"] if answers else dtype, threads))
        except ray.exceptions.RayTaskError as error:
            reason = str(error.cause if error.cause is not None else error).strip().splitlines()[-1]
            raise AirbenchError(f"a machine of the cluster cannot make runs: {reason}") from error
        if about not in answers:
            answers.append(about)
    return answers


def _describe(device: str, dtype: str, threads: int) -> dict[str, Any]:
    return Runtime.detect(device, dtype=dtype, threads=threads).describe()
