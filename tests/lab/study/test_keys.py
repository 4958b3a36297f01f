import json
from dataclasses import replace

import pytest
import torch
from airbench_lab import runlog
from airbench_lab.replay import FOLDER
from airbench_lab.study.keys import key, planned_key, recipe_of

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, SCALES, Parts, Runtime, train
from airbench_core.tricks.whitening import whitening_filters

CPU = Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=2)


def planned(recipe=AIRBENCH94, scale="laptop", digest="cifar10", seed=0, **runtime):
    return planned_key(recipe, scale=SCALES[scale], digest=digest, runtime=CPU.describe() | runtime, seed=seed)


def own_whiten(images, eps):
    return whitening_filters(images, eps)


@pytest.mark.parametrize("parts", [None, Parts(whiten=own_whiten)], ids=["none", "own"])
def test_a_run_has_one_key_before_and_after(parts, noise, tiny, tmp_path):
    recipe = replace(AIRBENCH94, epochs=1, flip="random")
    result = train(recipe, noise, scale=tiny, runtime=CPU, seed=3, parts=parts)
    runlog.append(tmp_path / "log", runlog.record(result))
    (record,) = runlog.load(tmp_path / "log")
    digest = tiny.data(noise).digest
    before = planned_key(recipe, scale=tiny, digest=digest, runtime=CPU.describe(), seed=3)
    assert key(record) == key(runlog.record(result))
    assert (before == key(record)) == (parts is None)
    assert json.loads(key(record)) == json.loads(before) | ({"parts": ["whiten"]} if parts else {})


def test_whatever_decides_the_outcome_changes_the_key(record):
    others = [
        planned(replace(AIRBENCH94, lookahead=False)),
        planned(AIRBENCH94_MUON),
        planned(scale="smoke"),
        planned(digest="e"),
        planned(seed=1),
        *(planned(**{name: value}) for name, value in {"threads": 1, "dtype": "bfloat16", "compile": True}.items()),
        planned(name="another processor"),
        planned(device="mps"),
        key(record(**CPU.describe()) | {"parts": ["whiten"]}),
        key(record(**CPU.describe()) | {"parts": ["flip", "whiten"]}),
        *(key(record(**CPU.describe()) | {"seeds": {name: 1}}) for name in ("init", "order", "augment")),
    ]
    assert planned() == key(record(**CPU.describe()))
    assert len({planned(), *others}) == 1 + len(others)


def test_graphs_scales_names_versions_and_outcomes_do_not_change_the_key(record):
    outcome = {"schema": 9, "scale": "mine", "accuracy": 0.9, "seconds": 3.0, "versions": {"torch": "3"}, "epochs": []}
    assert key(record() | outcome) == key(record()) == key(record(graphs=True))


def test_threads_matter_on_a_cpu_only(record):
    gpu = {"device": "cuda", "name": "a GPU"}
    assert key(record(**gpu, threads=1)) == key(record(**gpu, threads=15)) != key(record())
    assert key(record(threads=1)) != key(record(threads=15))


def test_equal_values_and_defaults_that_are_lacking_have_one_form(record):
    run, other = record(replace(AIRBENCH94, lr=9)), record(replace(AIRBENCH94, lr=9))
    run["recipe"] |= {"lr": 12, "depth": 3.0, "widths": (64, 128, 256)}
    other["recipe"] |= {"lr": 12.0, "depth": 3, "widths": [64, 128, 256]}
    del other["recipe"]["network"], other["recipe"]["proxy_widths"]  # as of before there were these
    assert key(run) == key(other)
    assert recipe_of(run["recipe"]) == recipe_of(other["recipe"])


def test_recorded_runs_have_the_keys_of_the_runs_that_one_would_plan_today():
    records = runlog.load(FOLDER / "laptop-switches.jsonl")
    runtime, digest = records[0]["runtime"], records[0]["data"]["digest"]
    wanted = planned_key(AIRBENCH94, scale=SCALES["laptop"], digest=digest, runtime=runtime, seed=2)
    (ours,) = (record for record in records if key(record) == wanted)
    assert (ours["seed"], ours["recipe"]["flip"]) == (2, "alternating")
    assert len({key(record) for record in records}) == len(records) == 30
