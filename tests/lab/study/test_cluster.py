"""The Ray engine on a real cluster: two nodes on this machine, one of which is killed while runs go on.

The tests after that have one node, and so one process at a time.
"""

import os
import re
import subprocess
import sys
import threading
import time
from collections import Counter
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from airbench_lab.study.engines import Task
from airbench_lab.study.keys import key

from airbench_core import RECIPES, AirbenchError, UsageError, load_dataset, runlog
from airbench_core.scales import SCALES

RUNS = 8


@pytest.fixture(scope="module")
def engine(unavailable):
    """RayEngine, whose module needs Ray."""
    try:
        from airbench_lab.study.cluster import RayEngine
    except UsageError as error:
        unavailable("ray", str(error))
    return RayEngine


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.0.0.1:1", r"at 127\.0\.0\.1:1 \(.*refused"),
        ("somewhere", r"at somewhere \(an address is HOST:PORT"),
        (None, "here "),
    ],
)
def test_without_a_cluster_the_remedy_is_named(address, where, engine, monkeypatch, tmp_path):
    """First in this file: before its own cluster is there."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # where Ray notes that a cluster runs here
    data = SCALES["smoke"].data(load_dataset("builtin"))
    with pytest.raises(AirbenchError, match=f"no Ray cluster answers {where}.*start one with `ray start --head`"):
        engine(data, scale="smoke", address=address)


@pytest.fixture(scope="module")
def cluster(engine):
    from ray.cluster_utils import Cluster

    # Else anything else that this machine does comes first.
    os.environ["RAY_worker_niceness"] = "0"  # noqa: SIM112
    small = {"num_cpus": 1, "object_store_memory": 200_000_000}
    cluster = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    cluster.spare = cluster.add_node(**small)
    yield cluster
    cluster.shutdown()


def test_a_node_that_dies_loses_no_run_and_counts_none_twice(cluster, tmp_path):
    log = tmp_path / "runs.jsonl"
    arguments = ["airbench94", "--set", "epochs=8", "--seeds", str(RUNS), "--out", str(log)]
    where = ["--scale", "smoke", "--data", "builtin", "--engine", "ray", "--address", cluster.address]
    command = [sys.executable, "-m", "airbench_core", "sweep", *arguments, *where]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not log.exists() or len(runlog.load(log)) < 2:
        assert process.poll() is None, process.communicate()
        time.sleep(0.1)
    before = len(runlog.load(log))
    cluster.remove_node(cluster.spare, allow_graceful=False)
    out, err = process.communicate(timeout=240)
    assert process.returncode == 0, err
    assert before < RUNS - 1, "the node died too late to matter"
    records = runlog.load(log)
    assert sorted(record["seed"] for record in records) == list(range(RUNS))
    assert Counter(key(record) for record in records).most_common(1)[0][1] == 1
    assert not runlog.load(log, failed=True)
    assert "a Ray cluster of 2 machine(s) with 2 process(es) of 1 thread(s)" in out
    assert "to do, as long as the first run shows" in out
    assert re.search(rf"^ +{RUNS}/{RUNS}  airbench94 epochs=8, seed \d: 0\.", out, re.MULTILINE)
    assert f"{RUNS} of {RUNS} runs are in {log}" in out


def test_a_cluster_without_room_for_a_run_is_refused(cluster, engine):
    data = SCALES["smoke"].data(load_dataset("builtin"))
    for wanted, message in (
        ({"threads": 64}, r"none of the cluster's \d machine\(s\) has 64 CPU\(s\), for one run"),
        ({"device": "cuda"}, r"none of the cluster's \d machine\(s\) has 1 GPU\(s\), for one run"),
        ({"device": "mps"}, "device=mps is not legal on a cluster: auto, cuda or cpu"),
    ):
        with pytest.raises(UsageError, match=message):
            engine(data, scale="smoke", address=cluster.address, **wanted)
        assert not sys.modules["ray"].is_initialized()


@pytest.fixture(scope="module")
def joined(cluster, engine):
    """An engine, as a sweep has it."""
    data = SCALES["smoke"].data(load_dataset("builtin"))
    with engine(data, scale="smoke", device="cpu", address=cluster.address) as made:
        yield made


def tasks(n: int) -> list[Task]:
    return [Task("a", replace(RECIPES["airbench94"], epochs=2), seed) for seed in range(n)]


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 60
    while not path.exists():
        assert time.monotonic() < deadline, path
        time.sleep(0.05)


def test_runs_share_a_process_and_stop_keeps_what_was_done(joined, tmp_path, monkeypatch):
    from airbench_lab.study import cluster

    class Actor(cluster._Actor):  # in here: so Ray sends it to its processes
        def attempt(self, task):
            (tmp_path / f"{task.seed} by {os.getpid()}").touch()
            if task.seed == 2:
                (tmp_path / "begun").touch()
                while not (tmp_path / "go on").exists():
                    time.sleep(0.05)
            answer = super().attempt(task)
            (tmp_path / f"{task.seed} done").touch()
            return answer

    monkeypatch.setattr(cluster, "_Actor", Actor)
    stop = threading.Event()
    with closing(joined.run(tasks(4), stop)) as outcomes:
        made = []
        while not (tmp_path / "begun").exists():
            made.append(next(outcomes))
        assert [outcome.task.seed for outcome in made if outcome] == [0, 1]
        (tmp_path / "go on").touch()
        wait_for(tmp_path / "2 done")
        time.sleep(1)  # the answer is on its way
        stop.set()
        made = [outcome for outcome in outcomes if outcome]
    assert [(outcome.task.seed, outcome.failed) for outcome in made] == [(2, None)]
    who = dict(path.name.split(" by ") for path in tmp_path.glob("* by *"))
    assert sorted(who) == ["0", "1", "2"]
    assert len(set(who.values())) == 1


def test_one_run_takes_its_processes_with_it_and_the_others_go_on(joined, tmp_path, monkeypatch, capfd):
    """Run 0 ends its process each time, run 1 raises what no run should, run 2 is a run; the first start fails."""
    from airbench_lab.study import cluster

    class Actor(cluster._Actor):
        def __init__(self, *arguments):
            if not (tmp_path / "started").exists():
                (tmp_path / "started").touch()
                raise MemoryError("there is none")
            super().__init__(*arguments)

        def attempt(self, task):
            (tmp_path / f"{task.seed} by {os.getpid()}").touch()
            if task.seed == 0:
                os._exit(1)
            if task.seed == 1:
                raise KeyError("nobody expects this")
            return super().attempt(task)

    monkeypatch.setattr(cluster, "_Actor", Actor)
    monkeypatch.setattr(cluster, "MACHINES_LOST", 1)
    died, raised, fine = [outcome for outcome in joined.run(tasks(3), threading.Event()) if outcome]
    assert died.failed["kind"] == "died"
    assert died.failed["message"].startswith("its process was lost 2 times (")
    assert died.seconds < 60
    assert raised.failed == {"kind": "error", "message": "KeyError: 'nobody expects this'"}
    assert not fine.failed
    assert [outcome.task.seed for outcome in (died, raised, fine)] == [0, 1, 2]
    assert len(list(tmp_path.glob("0 by *"))) == 2
    # What raised has left a process that nothing is done in any more.
    assert len({path.name.split()[-1] for path in tmp_path.glob("* by *")}) == 4
    err = capfd.readouterr().err
    assert (
        err.count("airbench: a process of the sweep could not start, 1 of 3 times: MemoryError: there is none\n") == 1
    )
    assert err.count("airbench: the process of a, seed 0 was lost (") == 2
    assert len(err.splitlines()) == 3, err


def test_when_nothing_can_start_the_cause_is_named(joined, monkeypatch):
    from airbench_lab.study import cluster

    class Actor(cluster._Actor):
        def __init__(self, *_):
            raise MemoryError("there is none")

    monkeypatch.setattr(cluster, "_Actor", Actor)
    monkeypatch.setattr(cluster, "STARTS", 1)
    with pytest.raises(AirbenchError, match="no process of the sweep can start on the cluster: MemoryError: there is"):
        list(joined.run(tasks(1), threading.Event()))


def test_a_machine_that_is_gone_is_left_out(joined):
    import ray
    from airbench_lab.study import machines

    (there,) = {node["NodeID"] for node in ray.nodes() if node["Alive"]}
    gone = next(node["NodeID"] for node in ray.nodes() if not node["Alive"])
    assert list(machines.ask([gone, there, gone], "cpu", "auto", 1)) == [there]
    with pytest.raises(AirbenchError, match="the machines of the cluster are gone"):
        machines.ask([gone], "cpu", "auto", 1)


def test_a_machine_that_does_not_answer_is_not_awaited_for_ever(joined, monkeypatch):
    import ray
    from airbench_lab.study import machines

    monkeypatch.setattr(machines, "PATIENCE", 0.0)
    with pytest.raises(
        AirbenchError, match="did not say within 0 s what it is: a process there is awaited; `ray status`"
    ):
        machines.ask([node["NodeID"] for node in ray.nodes() if node["Alive"]], "cpu", "auto", 1)
