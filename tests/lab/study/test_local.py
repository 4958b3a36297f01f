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
from airbench_lab.study import local
from airbench_lab.study.engines import Setting, Task, choice
from airbench_lab.study.local import LocalEngine

from airbench_core import AIRBENCH94, AirbenchError, UsageError, load_dataset, train
from airbench_core.scales import SCALES

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
        process for process in psutil.Process().children() if "airbench_lab.study.worker" in " ".join(process.cmdline())
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


CORES = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0


@pytest.mark.skipif(CORES < 2, reason="there is one core, or a system that does not bind processes to cores")
def test_processes_do_not_share_cores_and_share_the_work(setting, pictures):
    engine = LocalEngine(replace(setting, race=True), pictures, workers=CORES)
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
    assert all(len(cores) == 1 for cores in bound.values())
    assert len(set(bound.values())) == len(bound) > 1
    assert 0 < max(shares) <= CORES
    assert all(outcome.record["seconds"] is None for outcome in found)  # they ran side by side
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


def test_a_process_takes_no_other_data_than_the_sweep_was_given(setting, pictures, capfd):
    engine = LocalEngine(setting, pictures.head(100, None), workers=1)
    with pytest.raises(AirbenchError, match="could not start: builtin on the disk is not the data that the sweep was"):
        outcomes(engine, [Task("a", SHORT, 0)])
    assert capfd.readouterr().err.count("a process of the sweep could not start") == local.STARTS - 1


def fake(tmp_path, script: str) -> str:
    path = tmp_path / "python"
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the processes here are shell scripts")
def test_processes_that_cannot_start_end_the_sweep(setting, pictures, monkeypatch, tmp_path):
    monkeypatch.setattr(sys, "executable", fake(tmp_path, "exit 3"))
    with pytest.raises(AirbenchError, match="could not start: ended with status 3"):
        outcomes(LocalEngine(setting, pictures, workers=1), [Task("a", SHORT, 0)])


@pytest.mark.skipif(CORES < 2, reason="there is one core, or a system that does not bind processes to cores")
def test_one_process_that_cannot_start_leaves_the_runs_to_the_others(setting, pictures, monkeypatch, tmp_path, capfd):
    once = f'if mkdir {tmp_path}/once 2>/dev/null; then exit 3; fi; exec {sys.executable} "$@"'
    monkeypatch.setattr(sys, "executable", fake(tmp_path, once))
    found = outcomes(LocalEngine(setting, pictures, workers=2), [Task("a", SHORT, seed) for seed in range(3)])
    assert {outcome.task.seed for outcome in found if not outcome.failed} == {0, 1, 2}
    assert capfd.readouterr().err.strip() == "airbench: a process of the sweep could not start: ended with status 3"


@pytest.mark.skipif(sys.platform == "win32", reason="the processes here are shell scripts")
def test_what_a_library_prints_and_a_line_that_was_cut_off_are_no_answers(setting, pictures, monkeypatch, tmp_path):
    """The second process answers as a worker would, amid noise; each is gone after its run."""
    script = """read order; echo 'Welcome!'; echo '{"ready": true}'; read task; printf '{"record": {"sche'; exit 0"""
    monkeypatch.setattr(sys, "executable", fake(tmp_path, script))
    found = outcomes(LocalEngine(setting, pictures, workers=1), [Task("a", SHORT, seed) for seed in range(2)])
    assert [outcome.failed for outcome in found] == [{"kind": "died", "message": "its process ended with status 0"}] * 2


def test_a_process_is_replaced_after_a_run_that_broke_it_may_be(setting, pictures, monkeypatch, tmp_path):
    answer = """echo '{"record": {"seed": 0, "failed": {"kind": "error", "message": "CUDA error"}}, "seconds": 1}'"""
    script = f"""read order; echo '{{"ready": true}}'; read task; echo $$ >> {tmp_path}/pids; {answer}; read more"""
    monkeypatch.setattr(sys, "executable", fake(tmp_path, script))
    found = outcomes(LocalEngine(setting, pictures, workers=1), [Task("a", SHORT, seed) for seed in range(2)])
    assert len(found) == 2
    assert len(set((tmp_path / "pids").read_text().split())) == 2


@pytest.mark.parametrize(
    ("cores", "threads", "memory", "workers"),
    [(8, 1, 64e9, 7), (8, 3, 64e9, 2), (1, 1, 64e9, 1), (2, 4, 64e9, 1), (64, 1, 16e9, 3), (8, 1, 1e9, 1)],
)
def test_as_many_processes_as_leave_a_core_free_and_fit_into_memory(
    setting, pictures, monkeypatch, cores, threads, memory, workers
):
    monkeypatch.setattr(local, "available_cores", lambda: cores)
    monkeypatch.setattr(local, "available_memory", lambda: memory)
    several = replace(setting, scale="full", runtime=replace(setting.runtime, threads=threads))
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
    assert [str(device) for device in engine("cuda", workers=2).devices] == ["cuda:0", "cuda:1"]
    for workers in (0, 4):
        with pytest.raises(UsageError, match=f"workers={workers} is not legal: one for each of the 3 device"):
            engine("cuda", workers=workers)


def test_compiled_runs_stay_with_the_process_that_compiled_them():
    a, b, eager = Task("a", SHORT, 1, True), Task("b", FOREVER, 1, True), Task("c", SHORT, 1)
    did_a, did_b = a._replace(seed=0), b._replace(seed=0)
    assert choice([a, b, eager], did_b, [did_a, None]) == 1
    assert choice([b, a, eager], did_a, [did_b, None]) == 1
    assert choice([a, b, eager], None, [did_a, did_b]) == 2  # neither compiles again what another has
    assert choice([a, b], None, [did_a, did_b]) == 0  # unless nothing else is left
    assert choice([eager, a], None, [did_a, did_b]) == 0
