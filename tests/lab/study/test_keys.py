import json
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest
import torch
from airbench_lab.study import keys
from airbench_lab.study.keys import key, one_setting, planned_key

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    RECIPES,
    SCALES,
    Parts,
    Recipe,
    Runtime,
    UsageError,
    lines,
    runlog,
    train,
)
from airbench_core.fields import switch
from airbench_core.network import whitening_filters

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
CPU = Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=2)


@dataclass(frozen=True, kw_only=True)
class Later(Recipe):
    """What Recipe may be one day."""

    sharpness_aware: bool = switch(False, "a trick that is not there yet")


def planned(recipe=AIRBENCH94, scale="laptop", digest="d", runtime=CPU, seed=0, parts=None):
    return planned_key(recipe, scale=scale, digest=digest, runtime=runtime, seed=seed, parts=parts)


def logged(recipe=AIRBENCH94, **runtime):
    """What a log holds of a run of the scaled `recipe`: through JSON, as read."""
    values = {"recipe": asdict(recipe), "data": {"digest": "d"}, "runtime": CPU.describe() | runtime, "seed": 0}
    return json.loads(json.dumps(values))


def own_whiten(images, eps):
    return whitening_filters(images, eps)


@pytest.mark.parametrize("parts", [None, Parts(), Parts(whiten=own_whiten)], ids=["none", "stock", "own"])
def test_a_run_has_one_key_before_during_and_after(parts, noise, tiny, tmp_path):
    recipe = replace(AIRBENCH94, epochs=1, flip="random")
    result = train(recipe, noise, scale=tiny, runtime=CPU, seed=3, parts=parts)
    runlog.append(tmp_path / "log", result)
    (record,) = runlog.load(tmp_path / "log")
    before = planned_key(recipe, scale=tiny, digest=tiny.data(noise).digest, runtime=CPU, seed=3, parts=parts)
    assert before == key(result) == key(record)
    assert ("whiten" in json.loads(before).get("parts", ())) == (parts == Parts(whiten=own_whiten))


def test_the_key_is_readable_and_holds_what_differs_from_the_defaults():
    recipe = replace(AIRBENCH94, flip="random", epochs=8, widths=(64, 128, 256))
    where = {"device": "cpu", "name": CPU.device_name, "dtype": "float32", "compile": False, "threads": 2}
    changed = {"flip": "random", "epochs": 8, "widths": [64, 128, 256]}
    found = planned(recipe, scale="full", digest="abc", seed=7)
    assert json.loads(found) == {"recipe": changed, "data": "abc", "runtime": where, "seed": 7}


def test_a_key_stays_as_it_is_byte_for_byte():
    """Logs are looked up by the keys of their runs, also by what was written before there were `parts`."""
    where = {"device": "cpu", "name": "a CPU", "dtype": "bfloat16", "threads": 2, "compile": False, "graphs": False}
    expected = (
        '{"data":"abc","recipe":{"epochs":3.96,"flip":"random","widths":[24,96,96]},"runtime":{"compile":false,'
        '"device":"cpu","dtype":"bfloat16","name":"a CPU","threads":2},"seed":7}'
    )
    recipe = replace(AIRBENCH94, flip="random", epochs=3.96, widths=(24, 96, 96))
    run = logged(recipe) | {"data": {"digest": "abc"}, "runtime": where, "seed": 7}
    stock = planned(recipe, scale="full", digest="abc", runtime=where, seed=7, parts=Parts())
    assert key(run) == key(run | {"parts": []}) == stock == expected
    own = expected.replace(',"recipe"', ',"parts":["flip","whiten"],"recipe"')
    assert key(run | {"parts": ["flip", "whiten"]}) == own
    mine = Parts(whiten=own_whiten, flip=lambda *args: None)
    assert planned(recipe, scale="full", digest="abc", runtime=where, seed=7, parts=mine) == own


def test_whatever_decides_the_outcome_changes_the_key():
    others = [
        planned(replace(AIRBENCH94, lookahead=False)),
        planned(AIRBENCH94_MUON),
        planned(scale="smoke"),
        planned(digest="e"),
        planned(seed=1),
        planned(parts=Parts(whiten=own_whiten)),
        planned(parts=Parts(flip=own_whiten)),
        planned(parts=Parts(whiten=own_whiten, flip=own_whiten)),
        planned(runtime=replace(CPU, threads=1)),
        planned(runtime=replace(CPU, dtype=torch.bfloat16)),
        planned(runtime=replace(CPU, compile=True)),
        key(logged(SCALES["laptop"].recipe(AIRBENCH94), name="another processor")),
        key(logged(SCALES["laptop"].recipe(AIRBENCH94), device="mps")),
    ]
    assert len({planned(), *others}) == 1 + len(others)


def test_graphs_versions_and_outcomes_do_not_change_the_key():
    run = logged()
    outcome = {"schema": 1, "scale": "full", "accuracy": 0.94, "seconds": 3.0, "versions": {"torch": "3"}, "epochs": []}
    assert key(run | outcome) == key(run) == key(logged(graphs=True)) == key(logged(graphs=False))


def test_threads_matter_on_a_cpu_only():
    gpu = {"device": "cuda", "name": "a GPU"}
    assert key(logged(**gpu, threads=1)) == key(logged(**gpu, threads=15)) != key(logged())
    assert key(logged(threads=1)) != key(logged(threads=15))


def test_equal_values_have_one_form():
    run, other = logged(), logged()
    run["recipe"] |= {"lr": 12, "bias_scale": 64, "epochs": 9.9, "widths": (64, 128, 256), "depth": 3.0}
    other["recipe"] |= {"lr": 12.0, "bias_scale": 64.0, "epochs": 9.9, "widths": [64.0, 128, 256], "depth": 3}
    assert key(run) == key(other)
    assert json.loads(key(run))["recipe"] == {"lr": 12, "widths": [64, 128, 256], "depth": 3}
    assert '"depth":3,"lr":12,' in key(run)


@pytest.mark.parametrize("recipe", RECIPES.values(), ids=list(RECIPES))
def test_a_field_added_later_leaves_the_keys_of_old_records(recipe, monkeypatch):
    old = logged(recipe)
    before = key(old)
    monkeypatch.setattr(keys, "Recipe", Later)
    new = Later(**asdict(recipe))
    assert key(old) == key(logged(new)) == before
    assert planned(new, scale="full") == before
    assert key(logged(replace(new, sharpness_aware=True))) != before


def test_a_record_that_lacks_a_field_has_the_key_of_its_default():
    """As those of benchmarks/results that were made before there was `network`."""
    old, new = logged(replace(AIRBENCH94, lr=9)), logged(replace(AIRBENCH94, lr=9))
    del old["recipe"]["network"], old["recipe"]["proxy_widths"]
    assert key(old) == key(new)


def test_recorded_runs_have_the_keys_of_the_runs_that_one_would_plan_today():
    records = runlog.load(RESULTS / "laptop-cifar10.jsonl")
    assert len({key(record) for record in records}) == len(records) == 30
    wanted = logged(SCALES["laptop"].recipe(AIRBENCH94)) | {"data": records[0]["data"], "seed": 2}
    wanted |= {"runtime": records[0]["runtime"]}
    (ours,) = (record for record in records if key(record) == key(wanted))
    assert (ours["seed"], ours["recipe"]["flip"]) == (2, "alternating")


@pytest.mark.parametrize("log", sorted(RESULTS.glob("*-*.jsonl")), ids=lambda path: path.name)
def test_every_record_of_a_run_has_a_key_of_its_own(log):
    records = [values for values in lines.load(log) if "schema" in values]
    assert len({key(record) for record in records}) == len(records)


def test_what_is_no_record_is_refused_in_one_line():
    with pytest.raises(UsageError, match=r"^not the record of a run \(KeyError\('recipe'\)\)$"):
        key({"turn": 3})
    with pytest.raises(UsageError, match=r"^not the record of a run"):
        key(logged() | {"data": None})


def run_of(scale="laptop", data="cifar10", digest="d", name="a CPU"):
    return {"scale": scale, "data": {"name": data, "digest": digest}, "runtime": {"name": name}}


def test_runs_of_one_setting_may_be_compared():
    one_setting([run_of(), run_of()])
    one_setting(iter([run_of(), run_of(name="a GPU")]), device=False)


@pytest.mark.parametrize(
    ("other", "device", "told"),
    [
        (run_of(scale="smoke"), False, r"these 3 runs mix scales (laptop: 2, smoke: 1): compare runs of one"),
        (run_of(digest="e"), False, "these 3 runs mix data sets (cifar10 (d): 2, cifar10 (e): 1): compare runs of one"),
        (run_of(name="a GPU"), True, "these 3 runs mix devices (a CPU: 2, a GPU: 1): compare runs of one"),
    ],
)
def test_mixed_settings_are_refused_in_one_line(other, device, told):
    with pytest.raises(UsageError) as error:
        one_setting([run_of(), other, run_of()], device=device)
    assert str(error.value) == told


def test_there_is_something_to_compare():
    with pytest.raises(UsageError, match="no runs to compare"):
        one_setting([])
