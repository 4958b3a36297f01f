"""The Ray engine on a real cluster: two nodes on this machine, one of which is killed while runs go on."""

import os
import re
import subprocess
import sys
import time
from collections import Counter

import pytest

from airbench_core import AirbenchError, UsageError, load_dataset
from airbench_core.scales import SCALES
from airbench_core.study import runlog
from airbench_core.study.keys import key

RUNS = 8


@pytest.fixture(scope="module")
def engine(unavailable):
    """RayEngine, whose module needs Ray."""
    try:
        from airbench_core.study.cluster import RayEngine
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
