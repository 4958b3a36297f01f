from dataclasses import replace

import pytest
from airbench_lab import replay
from airbench_lab.runlog import lines
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, UsageError
from airbench_core.published import BASELINE
from airbench_core.scales import SCALES

RANDOM = replace(AIRBENCH94, flip="random")
LEVELS = {"none": 0.6, "mirror": 0.65, "mirror+translate": 0.7}


@pytest.fixture
def folder(record, tmp_path):
    """Two logs: airbench94 with three seeds and with other epochs, flip=random by mirrors alone, a second machine."""

    def log(name: str, *records: dict) -> None:
        for one in records:
            lines.append(tmp_path / name, one | {"epochs": []}, "")

    levels = {"accuracies": LEVELS}
    log("a.jsonl", *(record(seed=seed, accuracy=0.7 + seed / 100) | levels for seed in (2, 0, 1)))
    short = replace(AIRBENCH94, epochs=5)
    log(
        "b.jsonl",
        *(record(short, seed=seed, accuracy=0.6) | levels for seed in (0, 1)),
        record(seed=1, accuracy=0.71) | levels,
    )
    mirrors = record(replace(RANDOM, tta="mirror"), accuracy=0.64)
    log("c.jsonl", mirrors | {"accuracies": {"none": 0.6, "mirror": 0.64}})
    log("d.jsonl", record(seed=7, name="another CPU"), record(seed=9, compile=True))
    return tmp_path


def test_the_runs_of_exactly_that_recipe_one_a_seed_in_order(folder):
    found = replay.lookup(AIRBENCH94, "laptop", "cifar10", folder=folder)
    assert found.accuracies == {0: 0.70, 1: 0.71, 2: 0.72}  # of two copies of seed 1 one, and no other machine's
    assert {record["recipe"]["epochs"] for record in found.records} == {SCALES["laptop"].recipe(AIRBENCH94).epochs}
    assert "another CPU" not in found.hardware
    assert str(found) == f"3 run(s) recorded on {found.hardware}"
    assert replay.lookup(AIRBENCH94, SCALES["laptop"], "cifar10", folder=folder) == found


@pytest.mark.parametrize(
    "recipe", [BASELINE, replace(AIRBENCH94, epochs=7), replace(AIRBENCH94, lr=11.4), replace(RANDOM, epochs=5)]
)
def test_nothing_is_found_for_what_lies_near_or_between(folder, recipe):
    found = replay.lookup(recipe, "laptop", "cifar10", folder=folder)
    assert not found
    assert found.accuracies == {}
    assert str(found) == "no runs of this recipe are recorded: run it"


def test_a_lower_level_of_tta_is_read_off_and_has_no_seconds(folder):
    found = replay.lookup(replace(AIRBENCH94, tta="mirror"), "laptop", "cifar10", folder=folder)
    assert found.accuracies == {0: 0.65, 1: 0.65, 2: 0.65}
    for record in found.records:
        assert record["seconds"] is None
        assert record["recipe"]["tta"] == "mirror"
        assert set(record["accuracies"]) == {"none", "mirror"}
    assert replay.lookup(RANDOM, "laptop", "cifar10", folder=folder).reason  # a higher one is not
    exact = replay.lookup(replace(RANDOM, tta="mirror"), "laptop", "cifar10", folder=folder)
    assert [record["seconds"] for record in exact.records] == [10.0]


def test_compiled_runs_are_others(folder):
    assert replay.lookup(AIRBENCH94, "laptop", "cifar10", compile=True, folder=folder).accuracies.keys() == {9}
    found = replay.lookup(RANDOM, "laptop", "cifar10", compile=True, folder=folder)
    assert found.reason == "no runs of this recipe, compiled, are recorded: run it"


def test_runs_with_parts_of_somebody_s_own_are_of_no_recipe(folder, record, tmp_path):
    """Neither a seed more, nor in place of one, nor another length, nor all that there is."""
    own = [record(seed=seed, accuracy=0.9) | {"parts": ["whiten"]} for seed in (0, 5)]
    own.append(record(replace(AIRBENCH94, epochs=20)) | {"parts": ["flip"]})
    (tmp_path / "own").mkdir()
    for log in (folder / "e.jsonl", tmp_path / "own" / "log.jsonl"):
        for one in own:
            lines.append(log, one | {"accuracies": LEVELS, "epochs": []}, "")
    found = replay.lookup(AIRBENCH94, "laptop", "cifar10", folder=folder)
    assert found.accuracies == {0: 0.70, 1: 0.71, 2: 0.72}
    lengths = {SCALES["laptop"].recipe(replace(AIRBENCH94, epochs=epochs)).epochs for epochs in (5, 9.9)}
    assert replay.curve(AIRBENCH94, "laptop", "cifar10", folder=folder).keys() == lengths
    nothing = replay.lookup(AIRBENCH94, "laptop", "cifar10", folder=tmp_path / "own")
    assert nothing.reason.endswith("there are: none")


def test_scale_and_data_are_those_asked_for(folder):
    there = "there are: scale laptop on cifar10"
    for scale, data in (("full", "cifar10"), ("laptop", "cifar100")):
        found = replay.lookup(AIRBENCH94, scale, data, folder=folder)
        assert found.reason == f"no runs are recorded at scale {scale} on {data}; {there}"
    nothing = replay.lookup(AIRBENCH94, "full", "cifar10", folder=folder / "empty")
    assert nothing.reason.endswith("there are: none")
    with pytest.raises(UsageError, match="scale=huge"):
        replay.lookup(AIRBENCH94, "huge", "cifar10", folder=folder)


def test_a_name_does_not_mix_data_sets(folder, record):
    other = [record(seed=seed) | {"data": {"name": "cifar10", "digest": "other"}, "epochs": []} for seed in (3, 4)]
    for one in other:
        lines.append(folder / "e.jsonl", one, "")
    found = replay.lookup(AIRBENCH94, "laptop", "cifar10", folder=folder)
    assert found.accuracies.keys() == {0, 1, 2}
    assert {record["data"]["digest"] for record in found.records} == {"cifar10"}


def test_a_data_set_is_known_by_its_images(folder, record, tmp_path):
    data = replace(random_dataset(192, 48), name="cifar10")
    found = replay.lookup(AIRBENCH94, "laptop", data, folder=folder)
    assert found.reason == "the runs recorded at scale laptop on cifar10 used other images than these"
    own = record(seed=5) | {"data": {"name": "cifar10", "digest": data.digest}, "epochs": []}
    (tmp_path / "own").mkdir()
    lines.append(tmp_path / "own" / "log.jsonl", own, "")
    assert replay.lookup(AIRBENCH94, "laptop", data, folder=tmp_path / "own").accuracies.keys() == {5}


def test_a_curve_is_every_length_of_one_recipe(folder):
    found = replay.curve(AIRBENCH94, "laptop", "cifar10", folder=folder)
    assert found == {8.0: {0: 0.6, 1: 0.6}, SCALES["laptop"].recipe(AIRBENCH94).epochs: {0: 0.70, 1: 0.71, 2: 0.72}}
    assert replay.curve(replace(AIRBENCH94, epochs=400), "laptop", "cifar10", folder=folder) == found
    assert replay.curve(BASELINE, "laptop", "cifar10", folder=folder) == {}
    assert replay.curve(AIRBENCH94, "full", "cifar10", folder=folder) == {}
