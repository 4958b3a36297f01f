from dataclasses import replace

import pytest
from airbench_lab.panel.settings import Settings, Shelf, trick_names

from airbench_core import AIRBENCH94, SCALES, UsageError
from airbench_core.speed import random_dataset


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"whitening": False}, "did you mean whiten"),
        ({"epochs": -1}, "epochs=-1"),
        ({"scale": "huge"}, "scale=huge is not legal: full, laptop, smoke"),
        ({"seeds": 0}, "seeds=0 is not legal: a whole number, 1 to 100"),
        ({"seeds": 2.0}, "seeds=2.0"),
        ({"seeds": True}, "seeds=True"),  # else a run more would be a run less clear
        ({"seeds": 101}, "seeds=101"),
        ({"first_seed": -1}, "first_seed=-1"),
        ({"first_seed": 2**31}, "first_seed="),
        ({"race": 1}, "race=1 is not legal: true or false"),
        ({"compile": "no"}, "compile='no'"),
    ],
)
def test_what_is_not_legal_is_refused_with_what_is(chosen, values, said):
    with pytest.raises(UsageError) as error:
        chosen.changed(**values)
    assert said in str(error.value)


def test_what_is_illegal_only_as_scaled_is_refused_too(chosen):
    """Before Run is pressed."""
    most = {"lr": 5e8}
    legal = Settings(recipe=replace(AIRBENCH94, **most), scale="full", data="cifar10")
    with pytest.raises(UsageError, match="at scale smoke"):
        legal.changed(scale="smoke")


def test_values_of_the_panel_and_of_the_recipe_are_set_by_one_call(chosen):
    now = chosen.changed(whiten=False, seeds=3, epochs=5, recipe=replace(AIRBENCH94, flip="random"), first_seed=4)
    assert now.recipe == replace(AIRBENCH94, flip="random", whiten=False, epochs=5)
    assert list(now.all_seeds) == [4, 5, 6]
    assert [now.value(name) for name in ("whiten", "seeds", "epochs", "scale")] == [False, 3, 5, "smoke"]
    assert (chosen.recipe, chosen.seeds) == (AIRBENCH94, 1)


def test_the_last_seeds_are_those_of_the_command_line(chosen):
    last = chosen.changed(first_seed=2**31 - 100, seeds=100)
    assert last.all_seeds[-1] == 2**31 - 1


def test_the_recipe_is_kept_as_asked_for_and_scaled_when_it_trains(chosen):
    full = chosen.changed(scale="full")
    assert full.changed(scale="smoke").changed(scale="full") == full
    assert full.scaled == AIRBENCH94 != chosen.scaled == SCALES["smoke"].recipe(AIRBENCH94)


def test_equal_choices_are_one_key(chosen):
    """Widths that are given as a list too: a panel groups runs by what was chosen."""
    as_list = chosen.changed(widths=list(AIRBENCH94.widths))
    assert as_list == chosen
    assert len({as_list, chosen}) == 1


def test_lookahead_brings_the_momentum_that_it_needs():
    assert trick_names(["whiten", "lookahead", "compile"]) == ["whiten", "lookahead", "batchnorm_momentum", "compile"]
    assert trick_names(["batchnorm_momentum", "lookahead", "lookahead"]) == ["batchnorm_momentum", "lookahead"]
    with pytest.raises(UsageError, match="did you mean lookahead"):
        trick_names(["lookahed"])


def test_a_single_trick_needs_no_list_and_the_recipe_itself_can_be_switched():
    assert trick_names("whiten") == ["whiten"]
    assert trick_names("recipe") == ["recipe"]
    assert trick_names(["recipe", "lookahead"]) == ["recipe", "lookahead", "batchnorm_momentum"]
    with pytest.raises(UsageError, match="did you mean whiten"):
        trick_names("whitening")


@pytest.fixture
def nowhere(monkeypatch, tmp_path):
    """No data set is on this machine."""
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


def test_auto_is_cifar10_where_it_is_and_the_built_in_pictures_elsewhere(nowhere):
    shelf = Shelf("auto")
    assert shelf.first == "builtin"
    assert shelf.is_there("builtin")
    assert not shelf.is_there("cifar10")
    (nowhere / "cifar-10-batches-py").mkdir()
    assert shelf.is_there("cifar10")  # it came meanwhile
    assert Shelf("auto").first == "cifar10"


def test_a_data_set_of_somebody_s_own_is_one_to_choose(nowhere, noise):
    shelf = Shelf(noise)
    assert shelf.first == shelf.names[0] == "noise"
    assert {"noise", "builtin", "cifar10"} <= set(shelf.names)
    assert shelf.is_there("noise")
    assert shelf.load("noise") is shelf.known("noise", "full") is noise
    assert shelf.known("cifar10", "full") == "cifar10"
    with pytest.raises(UsageError, match="data=noise is not legal"):
        Shelf("noise")


def test_one_s_own_images_go_by_their_name_not_by_those_on_disk(nowhere):
    """A part of CIFAR-10 is called cifar10 too."""
    part = replace(random_dataset(64, 32), name="cifar10")
    shelf = Shelf(part)
    assert shelf.is_there("cifar10")
    assert shelf.load("cifar10") is shelf.known("cifar10", "full") is part
    assert len(shelf.names) == len(set(shelf.names))


@pytest.mark.parametrize("data", [["noise"], 3, None, random_dataset(8, 8)])
def test_what_is_no_name_of_a_data_set_is_refused_in_one_line(data):
    with pytest.raises(UsageError, match="is not legal") as error:
        Shelf("builtin").check(data)
    assert "\n" not in str(error.value)
