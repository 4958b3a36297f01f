"""The local engine with real processes, on the built-in pictures; each takes seconds to start."""

import os
import signal
import sys
import threading
import time
from dataclasses import replace

import psutil
import pytest
import torch

from airbench_core import AIRBENCH94, AirbenchError, UsageError, load_dataset, train
from airbench_core.scales import SCALES
from airbench_core.study import local
from airbench_core.study.engines import Setting, Task, choice
from airbench_core.study.local import LocalEngine

SHORT = replace(AIRBENCH94, epochs=2)
FOREVER = replace(AIRBENCH94, epochs=5_000)


@pytest.fixture(scope="module")
def pictures():
    return SCALES["smoke"].data(load_dataset("builtin"))


@pytest.fixture
def setting(float32):
    return Setting(scale="smoke", runtime=float32)


def outcomes(engine: LocalEngine, tasks: list[Task], stop: threading.Event | None = None, tick=lambda: None) -> list:
    found = []
    for outcome in engine.run(tasks, stop or threading.Event()):
        tick()
        if outcome is not None:
            found.append(outcome)
    return found


def children() -> list[psutil.Process]:
    return [
        process
        for process in psutil.Process().children()
        if "airbench_core.study.worker" in " ".join(process.cmdline())
    ]


def test_processes_make_run_after_run_as_train_does(setting, pictures, float32):
    engine = LocalEngine(setting, pictures, workers=1)
    tasks = [Task("a", SHORT, 0), Task("b", replace(SHORT, flip="random"), 0), Task("a", SHORT, 1)]
    workers = set()
    found = outcomes(engine, tasks, tick=lambda: workers.update(process.process.pid for process in engine.processes))
    assert [outcome.task for outcome in found] == tasks
    assert len(workers) == 1
    assert not children()
    for outcome in found:
        alone = train(outcome.task.recipe, pictures, runtime=float32, scale="smoke", seed=outcome.task.seed)
        assert outcome.record["accuracies"] == alone.accuracies
        assert outcome.record["data"]["digest"] == alone.data_digest
        assert all(epoch["accuracy"] is not None for epoch in outcome.record["epochs"])
        assert outcome.seconds >= outcome.record["seconds"]


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="only Linux binds processes to cores")
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="there is one core")
def test_processes_do_not_share_cores_and_share_the_work(setting, pictures):
    engine = LocalEngine(replace(setting, race=True), pictures, workers=2)
    bound, shares = {}, []

    def look() -> None:
        bound.update(
            {
                process.index: tuple(os.sched_getaffinity(process.process.pid))
                for process in engine.processes
                if process.ready and process.task
            }
        )
        shares.append(engine.underway())

    middling = replace(SHORT, epochs=60)
    found = outcomes(engine, [Task("a", middling, seed) for seed in range(4)], tick=look)
    assert {outcome.task.seed for outcome in found} == {0, 1, 2, 3}
    first, second = bound.values()
    assert len(first) == len(second) == 1
    assert first != second
    assert 0 < max(shares) <= 2
    assert {epoch["accuracy"] for outcome in found for epoch in outcome.record["epochs"]} == {None}


def test_a_killed_process_costs_its_run_alone(setting, pictures):
    engine = LocalEngine(setting, pictures, workers=1)
    killed = []

    def kill() -> None:
        if not killed and engine.underway() > 0:
            killed.append(engine.processes[0].process.pid)
            os.kill(killed[0], signal.SIGKILL)

    tasks = [Task("long", FOREVER, 0), Task("a", SHORT, 0), Task("a", SHORT, 1)]
    found = outcomes(engine, tasks, tick=kill)
    assert [outcome.task for outcome in found] == tasks
    assert found[0].failed == {
        "kind": "died",
        "message": "its process was killed by signal 9 (is there enough memory?)",
    }
    assert found[0].record["recipe"]["epochs"] == SCALES["smoke"].recipe(FOREVER).epochs
    assert not found[1].failed
    assert not found[2].failed


def test_stop_ends_a_run_in_the_middle(setting, pictures):
    engine, stop, asked = LocalEngine(setting, pictures, workers=1), threading.Event(), []

    def when_underway() -> None:
        if engine.underway() > 0 and not stop.is_set():
            asked.append(time.monotonic())
            stop.set()

    assert outcomes(engine, [Task("long", FOREVER, seed) for seed in range(3)], stop, when_underway) == []
    assert time.monotonic() - asked[0] < 20
    assert not children()


def test_an_iterator_that_is_closed_leaves_no_process(setting, pictures):
    runs = LocalEngine(setting, pictures, workers=1).run([Task("long", FOREVER, 0)], threading.Event())
    next(runs)
    assert children()
    runs.close()
    assert not children()


def test_a_process_that_cannot_start_says_why(setting, pictures, tmp_path, monkeypatch):
    nowhere = replace(pictures, name="cifar10")
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    with pytest.raises(AirbenchError, match=r"a process of the sweep could not start: .*cifar10"):
        outcomes(LocalEngine(setting, nowhere, root=str(tmp_path)), [Task("a", SHORT, 0)])


def test_a_process_that_dies_before_it_is_ready_ends_the_sweep(setting, pictures, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    with pytest.raises(AirbenchError, match="ended with status 1 before it was ready"):
        outcomes(LocalEngine(setting, pictures), [Task("a", SHORT, 0)])


@pytest.mark.parametrize(
    ("cores", "threads", "memory", "workers"),
    [(8, 1, 64e9, 7), (8, 3, 64e9, 2), (1, 1, 64e9, 1), (2, 4, 64e9, 1), (64, 1, 16e9, 8), (8, 1, 1e9, 1)],
)
def test_as_many_processes_as_leave_a_core_free_and_fit_into_memory(
    setting, pictures, monkeypatch, cores, threads, memory, workers
):
    monkeypatch.setattr(local, "available_cores", lambda: cores)
    monkeypatch.setattr(local, "_memory", lambda: memory)
    several = replace(setting, runtime=replace(setting.runtime, threads=threads))
    engine = LocalEngine(several, pictures)
    assert engine.slots == workers
    assert str(engine).startswith(f"{workers} process")


@pytest.mark.parametrize("workers", [0, 5])
def test_more_processes_than_cores_are_refused(setting, pictures, monkeypatch, workers):
    monkeypatch.setattr(local, "available_cores", lambda: 4)
    with pytest.raises(
        UsageError, match=f"workers={workers} is not legal: with 1 thread.s. each, 1 to 4 on the 4 core"
    ):
        LocalEngine(setting, pictures, workers=workers)


def test_one_process_a_gpu(setting, pictures, monkeypatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 3)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: "A" if device.index == 1 else "B")

    def engine(device: str, workers: int | None = None) -> LocalEngine:
        runtime = replace(setting.runtime, device=torch.device(device))
        return LocalEngine(replace(setting, runtime=runtime), pictures, workers=workers)

    assert [str(device) for device in engine("cuda").devices] == ["cuda:0", "cuda:1", "cuda:2"]
    assert [str(device) for device in engine("cuda:1").devices] == ["cuda:1"]
    assert [runtime["name"] for runtime in engine("cuda").runtimes()] == ["B", "A"]
    assert str(engine("cuda")) == "3 GPUs"
    with pytest.raises(UsageError, match="one for each device, here 3"):
        engine("cuda", workers=2)


def test_compiled_runs_stay_with_the_process_that_compiled_them():
    a, b, eager = Task("a", SHORT, 1, True), Task("b", FOREVER, 1, True), Task("c", SHORT, 1)
    did_a, did_b = a._replace(seed=0), b._replace(seed=0)
    assert choice([a, b, eager], did_b, [did_a, None]) == 1
    assert choice([b, a, eager], did_a, [did_b, None]) == 1
    assert choice([a, b, eager], None, [did_a, did_b]) == 2  # neither compiles again what another has
    assert choice([a, b], None, [did_a, did_b]) == 0  # unless nothing else is left
    assert choice([eager, a], None, [did_a, did_b]) == 0
