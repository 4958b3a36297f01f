"""The Ray engine on a real cluster: two nodes on this machine, one of which is lost while runs go on."""

import sys
import threading
from collections import Counter
from contextlib import closing
from dataclasses import replace
from types import SimpleNamespace

import pytest
from airbench_lab.data import load_dataset
from airbench_lab.study.engines import Outcome, Task

from airbench_core import AIRBENCH94, AirbenchError, UsageError
from airbench_core.scales import SCALES

RUNS = 6
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def cluster(unavailable):
    """The module, which needs Ray."""
    try:
        from airbench_lab.study import cluster
    except UsageError as error:
        unavailable("ray", str(error))
    return cluster


@pytest.fixture(scope="module")
def data():
    return SCALES["smoke"].data(load_dataset("builtin"))


@pytest.mark.parametrize(
    ("address", "where"),
    [
        ("127.0.0.1:1", r"at 127\.0\.0\.1:1 \(.*refused"),
        ("somewhere", r"at somewhere \(an address is HOST:PORT"),
        ("auto", "here "),
    ],
)
def test_without_a_cluster_the_remedy_is_named(address, where, cluster, data, monkeypatch, tmp_path):
    """First in this file: before its own cluster is there."""
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))  # where Ray notes that a cluster runs here
    with pytest.raises(AirbenchError, match=f"no Ray cluster answers {where}.*start one with `ray start --head`"):
        cluster.RayEngine(data, scale="smoke", address=address)


@pytest.fixture(scope="module")
def nodes(cluster):
    from ray.cluster_utils import Cluster

    small = {"num_cpus": 1, "object_store_memory": 200_000_000}
    found = Cluster(initialize_head=True, head_node_args={**small, "include_dashboard": False})
    found.spare = found.add_node(**small)
    yield found
    found.shutdown()


def test_a_cluster_without_room_for_a_run_is_refused(nodes, cluster, data):
    for wanted, message in (
        ({"threads": 64}, r"none of the cluster's 2 machine\(s\) has 64 CPU\(s\), for one run"),
        ({"device": "cuda"}, r"none of the cluster's 2 machine\(s\) has 1 GPU\(s\), for one run"),
        ({"device": "mps"}, "device=mps is not legal on a cluster: auto, cuda or cpu"),
    ):
        with pytest.raises(UsageError, match=message):
            cluster.RayEngine(data, scale="smoke", address=nodes.address, **wanted)
        assert not sys.modules["ray"].is_initialized()


def tasks(n: int, epochs: float = 2) -> list[Task]:
    return [Task("a", replace(AIRBENCH94, epochs=epochs), seed) for seed in range(n)]


def test_a_node_that_is_lost_loses_no_run_and_one_that_fails_ends_no_other(nodes, cluster, data, capsys):
    bad = Task("bad", replace(AIRBENCH94, lr=1e8), 0)
    with cluster.RayEngine(data, scale="smoke", address=nodes.address) as engine:
        assert str(engine) == "a Ray cluster of 2 machine(s) with 2 process(es) of 1 thread(s)"
        (runtime,) = engine.runtimes()
        assert (runtime["device"], runtime["threads"]) == ("cpu", 1)
        found: list[Outcome] = []
        for outcome in engine.run([bad, *tasks(RUNS)], threading.Event()):
            found.append(outcome)
            if len(found) == 2:
                nodes.remove_node(nodes.spare, allow_graceful=False)
    assert Counter(outcome.task for outcome in found) == Counter([bad, *tasks(RUNS)])
    for outcome in found:
        assert (outcome.failed is not None) == (outcome.task == bad), outcome.failed
        assert outcome.record.get("seconds") is None  # others run on the same processors
    assert "airbench: the process of a, seed " in capsys.readouterr().err


def test_stop_ends_what_runs(nodes, cluster, data):
    stop = threading.Event()
    with cluster.RayEngine(data, scale="smoke", address=nodes.address, device="cpu", dtype="float32") as engine:
        assert engine.runtimes()[0]["dtype"] == "float32"
        with closing(engine.run([*tasks(1), *tasks(3, epochs=5_000)], stop)) as outcomes:
            assert next(outcomes).task.seed == 0
            stop.set()
            assert list(outcomes) == []
    assert not sys.modules["ray"].is_initialized()


def test_several_runs_at_a_time_here_have_a_ray_of_their_own(cluster, data, monkeypatch):
    asked = {}

    def init(**options):
        asked.update(options)
        raise RuntimeError("no space is left\nfor its store")

    monkeypatch.setattr(sys.modules["ray"], "init", init)
    with pytest.raises(AirbenchError, match=r"^Ray does not start: no space is left$"):
        cluster.RayEngine(data, scale="smoke", device="cpu", workers=2, threads=3)
    assert (asked["address"], asked["num_cpus"], asked["num_gpus"]) == ("local", 6, 0)


def test_a_process_that_is_killed_early_ends_no_sweep_and_where_all_are_it_is_one_line(cluster, monkeypatch):
    ray = sys.modules["ray"]
    died = ray.exceptions.ActorUnavailableError("the process\nwas killed", None)
    answers = {"first": {"dtype": "float32"}, "second": died}

    def get(name: str):
        if isinstance(answers[name], Exception):
            raise answers[name]
        return answers[name]

    monkeypatch.setattr(ray, "wait", lambda asked, **_: (asked, []))
    monkeypatch.setattr(ray, "get", get)
    engine = object.__new__(cluster.RayEngine)
    describe = [SimpleNamespace(remote=lambda *_, name=name: name) for name in answers]
    engine.actors = [SimpleNamespace(describe=one) for one in describe]
    assert engine._described("cpu", "auto", 1) == [{"dtype": "float32"}]
    answers["first"] = died
    with pytest.raises(AirbenchError, match=r"cannot make runs: .*the process") as error, cluster._in_a_line():
        engine._described("cpu", "auto", 1)
    assert str(error.value).isprintable()
