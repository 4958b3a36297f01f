"""Several tricks removed at once: sums of single effects against joint ones."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
from airbench_lab.lessons.together import averaged, live_grid, recorded_grid, sum_and_joint
from airbench_lab.replay import lookup
from airbench_lab.study.studies import SWITCHES

from airbench_core import AIRBENCH94, SCALES, UsageError

PAIR = ("whiten", "identity_init")


def grid(interaction: float = 0.0, seeds=(0, 1)) -> dict:
    """Each trick costs 0.01, 0.02, ... in the order of SWITCHES; whiten and identity_init together `interaction` less.

    A seed is worth 0.001 in all combinations.
    """
    worth = {name: 0.01 * (number + 1) for number, name in enumerate(SWITCHES)}
    return {
        off: {
            seed: 0.7 + 0.001 * seed - sum(worth[name] for name in off) + interaction * (off >= set(PAIR))
            for seed in seeds
        }
        for off in recorded_grid()
    }


def test_effects_that_add_are_their_sum_in_any_company():
    for others in (), ("flip",), ("bias_scale", "lookahead", "flip"):
        summed, joint = sum_and_joint(grid(), PAIR, others)
        assert summed == pytest.approx({0: -3.0, 1: -3.0})
        assert joint == pytest.approx(summed)
    summed, joint = averaged(grid(), SWITCHES)
    assert summed == pytest.approx({0: -15.0, 1: -15.0})
    assert joint == pytest.approx(summed)


def test_what_two_tricks_share_is_the_difference():
    summed, joint = sum_and_joint(grid(0.02), PAIR)
    assert (summed[1], joint[1]) == pytest.approx((-3.0, -1.0))
    assert averaged(grid(0.02), PAIR)[1] == pytest.approx({0: -1.0, 1: -1.0})
    summed, joint = averaged(grid(0.02), ("whiten", "flip"))  # half of the settings have identity_init off
    assert summed == pytest.approx({0: -5.0, 1: -5.0})
    assert joint == pytest.approx(summed)
    assert summed[0] > sum_and_joint(grid(0.02), ("whiten", "flip"))[0][0]


def test_only_seeds_count_that_all_combinations_have():
    some = grid() | {frozenset(): {0: 0.7, 1: 0.701, 2: 0.9}, frozenset(["whiten"]): {1: 0.691, 2: 0.8}}
    assert sum_and_joint(some, PAIR)[0] == pytest.approx({1: -3.0})
    assert averaged(some, PAIR)[1].keys() == {1}


def test_a_combination_that_was_not_run_is_named():
    some = grid()
    del some[frozenset(PAIR)]
    with pytest.raises(UsageError, match="there are no runs of airbench94 without identity_init, whiten"):
        sum_and_joint(some, PAIR)
    with pytest.raises(UsageError, match="without anything"):
        sum_and_joint({}, PAIR)


def test_the_recorded_grid_holds_what_replay_finds():
    found = recorded_grid("laptop", "cifar10")
    assert len(found) == 32
    assert all({0, 1, 2} <= set(runs) for runs in found.values())
    both = replace(AIRBENCH94, flip="random", bias_scale=1)
    assert found[frozenset(["flip", "bias_scale"])] == lookup(both, "laptop", "cifar10").accuracies
    assert recorded_grid("full") == {}


def test_live_runs_are_sorted_by_what_is_off():
    def run(seed=0, scale="smoke", parts=(), **values):
        recipe = SCALES[scale].recipe(replace(AIRBENCH94, **values))
        return SimpleNamespace(recipe=recipe, scale=scale, seed=seed, parts=parts, accuracy=0.5 + seed / 10)

    runs = [run(), run(1), run(whiten=False, bias_scale=1), run(whiten=False, parts=("whiten",)), run(epochs=5)]
    assert live_grid(runs) == {frozenset(): {0: 0.5, 1: 0.6}, frozenset(["whiten", "bias_scale"]): {0: 0.5}}
