from dataclasses import replace

import numpy as np
import pytest
from airbench_lab.panel.settings import DataSets, Settings, trick_names
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, RECIPES, SCALES, UsageError


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"whitening": False}, "did you mean whiten"),
        ({"epochs": -1}, "epochs=-1"),
        ({"scale": "huge"}, "scale=huge is not legal: full, quarter, laptop, smoke"),
        ({"seeds": 0}, "seeds=0 is not legal: a whole number, 1 to 100"),
        ({"seeds": 2.0}, "seeds=2.0"),
        ({"seeds": True}, "seeds=True"),  # else a run more would be a run less clear
        ({"seeds": 101}, "seeds=101"),
        ({"first_seed": -1}, "first_seed=-1"),
        ({"first_seed": 2**31 - 99}, "first_seed="),
        ({"race": 1}, "race=1 is not legal: true or false"),
        ({"compile": "no"}, "compile='no'"),
    ],
)
def test_what_is_not_legal_is_refused_with_what_is(chosen, values, said):
    with pytest.raises(UsageError) as error:
        chosen.changed(**values)
    assert said in str(error.value)


def test_what_is_illegal_only_as_scaled_is_refused_before_run_is_pressed():
    legal = Settings(recipe=replace(AIRBENCH94, lr=5e8), scale="full", data="cifar10")
    with pytest.raises(UsageError, match="at scale smoke"):
        legal.changed(scale="smoke")


def test_values_of_the_panel_and_of_the_recipe_are_set_by_one_call(chosen):
    now = chosen.changed(whiten=False, seeds=3, epochs=5, recipe=replace(AIRBENCH94, flip="random"), first_seed=4)
    assert now.recipe == replace(AIRBENCH94, flip="random", whiten=False, epochs=5)
    assert list(now.all_seeds) == [4, 5, 6]
    assert [now.value(name) for name in ("whiten", "seeds", "epochs", "scale")] == [False, 3, 5, "smoke"]
    assert (chosen.recipe, chosen.seeds) == (AIRBENCH94, 1)
    assert chosen.changed(seeds=np.int64(2)).all_seeds == range(2)
    assert chosen.changed(first_seed=2**31 - 100, seeds=100).all_seeds[-1] == 2**31 - 1  # as on the command line
    full = chosen.changed(scale="full")  # the recipe is kept as asked for, and scaled when it trains
    assert full.changed(scale="smoke").changed(scale="full") == full
    assert full.scaled == AIRBENCH94 != chosen.scaled == SCALES["smoke"].recipe(AIRBENCH94)
    as_list = chosen.changed(widths=list(AIRBENCH94.widths))  # equal choices are one key, by which runs are grouped
    assert len({as_list, chosen}) == 1


def test_names_of_tricks():
    """Each once; Lookahead brings the momentum that it needs."""
    momentum = "batchnorm_momentum"
    assert trick_names("whiten") == ["whiten"]
    assert trick_names(["recipe", "lookahead", "compile"]) == ["recipe", "lookahead", momentum, "compile"]
    assert trick_names([momentum, "lookahead", "lookahead"]) == [momentum, "lookahead"]
    for wrong in "whitening", ["whiten", "whitening"]:
        with pytest.raises(UsageError, match="did you mean whiten"):
            trick_names(wrong)


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data set is on this machine."""
    for name in "AIRBENCH_DATA", "XDG_CACHE_HOME", "HOME":
        monkeypatch.setenv(name, str(tmp_path))
    return tmp_path


def test_auto_is_cifar10_where_it_is_and_the_built_in_pictures_elsewhere(nowhere):
    datasets = DataSets("auto")
    assert datasets.default == "builtin"
    assert datasets.is_available("builtin")
    assert not datasets.is_available("cifar10")
    (nowhere / "cifar-10-batches-py").mkdir()
    assert datasets.is_available("cifar10")  # it came meanwhile
    assert DataSets("auto").default == "cifar10"


@pytest.mark.parametrize("name", ["noise", "cifar10"])
def test_images_of_one_s_own_go_by_their_name_not_by_those_on_disk(nowhere, name):
    """A part of CIFAR-10 is called cifar10 too."""
    own = replace(random_dataset(64, 32), name=name)
    datasets = DataSets(own)
    assert datasets.default == datasets.names[0] == name
    assert {"builtin", "cifar10"} <= set(datasets.names)
    assert len(datasets.names) == len(set(datasets.names))
    assert datasets.is_available(name)
    assert datasets.load(name) is datasets.for_lookup(name, "full") is own
    assert datasets.for_lookup("cifar100", "full") == "cifar100"


@pytest.mark.parametrize("data", ["noise", ["noise"], 3, None, random_dataset(8, 8)])
def test_what_is_no_name_of_a_data_set_is_refused_in_one_line(data):
    with pytest.raises(UsageError, match="is not legal") as error:
        DataSets("builtin").check(data)
    assert "\n" not in str(error.value)


def test_a_published_recipe_goes_by_its_name(chosen):
    assert chosen.changed(recipe="airbench95").recipe == RECIPES["airbench95"]
    with pytest.raises(UsageError, match="unknown recipe 'airbench93'"):
        chosen.changed(recipe="airbench93")
