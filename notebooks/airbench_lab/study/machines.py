"""The machines of a Ray cluster: joined, and asked what they are."""

import os
import socket
import textwrap
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from airbench_core.devices import Runtime
from airbench_core.errors import AirbenchError, UsageError

# What Ray will do by itself one day, and warns of until then: tasks without a GPU keep what they see of GPUs.
os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")

try:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy
except ImportError as missing:
    raise UsageError('Ray is not installed: pip install -e ".[cluster]", here and on the machines') from missing

PATIENCE = 120.0  # seconds that a machine may take to answer, and that pass until a person is told what is awaited


def reason(error: Exception) -> str:
    """What went wrong, in a line: Ray says it in many."""
    if isinstance(error, ray.exceptions.RayTaskError):
        kind = "" if isinstance(error.cause, AirbenchError) else f"{type(error.cause).__name__}: "
        said = f"{kind}{error.cause}".strip().splitlines()[0]
    else:
        lines = [line for line in str(error).splitlines() if line.strip() and not line.startswith("\t")]
        # The last of a traceback; or else the first says that an actor died, the second how.
        said = lines[-1 if getattr(error, "actor_init_failed", False) else min(1, len(lines) - 1)]
    return textwrap.shorten(said, 200, placeholder=" ...")


def join(address: str) -> None:
    """Join the cluster at `address`, or "auto". Raises AirbenchError if none answers."""
    where = "here" if address == "auto" else f"at {address}"
    remedy = "start one with `ray start --head`, or name one by --address"
    try:
        if address != "auto":
            _knock(address)  # Ray itself would try for minutes
        ray.init(address=address, log_to_driver=False, logging_level="ERROR")
    except (OSError, ValueError, RuntimeError) as error:
        why = str(error).strip().splitlines()[0]
        raise AirbenchError(f"no Ray cluster answers {where} ({why}): {remedy}") from error


def _knock(address: str) -> None:
    """Raise OSError if nobody listens at `address`, HOST:PORT or ray://HOST:PORT; ValueError if it is neither."""
    host, colon, port = address.removeprefix("ray://").rpartition(":")
    if not colon or not port.isdigit():
        raise ValueError("an address is HOST:PORT")
    socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()


def ask(nodes: Sequence[str], device: str, dtype: str, threads: int) -> dict[str, Mapping[str, Any]]:
    """What each of the machines is, all in the precision of the first; without those that are gone meanwhile."""
    needs = {"num_gpus": 0.01, "num_cpus": 0} if device == "cuda" else {"num_cpus": 0}
    answers: dict[str, Mapping[str, Any]] = {}

    def ask_all(nodes: Sequence[str], dtype: str) -> None:
        there = {node: NodeAffinitySchedulingStrategy(node, soft=False) for node in nodes}
        asked = {node: ray.remote(scheduling_strategy=at, **needs)(_describe) for node, at in there.items()}
        awaited = {node: remote.remote(device, dtype, threads) for node, remote in asked.items()}
        until = time.monotonic() + PATIENCE
        for node, reference in awaited.items():
            with suppress(ray.exceptions.TaskUnschedulableError):
                answers[node] = ray.get(reference, timeout=max(0.0, until - time.monotonic()))

    try:
        for index, node in enumerate(nodes):
            ask_all([node], dtype)
            if answers:
                ask_all(nodes[index + 1 :], answers[node]["dtype"])
                break
    except ray.exceptions.GetTimeoutError as error:
        what = "a GPU that is not in use" if device == "cuda" else "a process"
        raise AirbenchError(
            f"a machine of the cluster did not say within {PATIENCE:.0f} s what it is: {what} there is awaited; "
            "`ray status` shows what is in use: start the sweep again when there is room"
        ) from error
    except ray.exceptions.RayError as error:
        raise AirbenchError(f"a machine of the cluster cannot make runs: {reason(error)}") from error
    if not answers:
        raise AirbenchError("the machines of the cluster are gone: `ray status` shows which are left")
    return answers


def _describe(device: str, dtype: str, threads: int) -> dict[str, Any]:
    return Runtime.detect(device, dtype=dtype, threads=threads).describe()
