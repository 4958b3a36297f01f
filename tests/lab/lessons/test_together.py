"""The factorial experiment: main effects and interactions of airbench94's tricks."""

from dataclasses import replace
from itertools import combinations

import pytest
from airbench_lab.lessons.together import recorded_grid, sides, worths
from airbench_lab.replay import lookup
from airbench_lab.study.studies import SWITCHES

from airbench_core import AIRBENCH94, UsageError

ALL = [frozenset(off) for size in range(6) for off in combinations(SWITCHES, size)]
WORTH = {name: number + 1.0 for number, name in enumerate(SWITCHES)}  # points; whiten 1, identity_init 2


def grid(interaction: float = 0.0, seeds=(0, 1)) -> dict:
    """Each trick gains what WORTH says; whiten and identity_init, both on, `interaction` more. Seed 1 has 0.1 more."""
    return {
        off: {
            seed: 50 + 0.1 * seed + sum(WORTH[name] for name in SWITCHES if name not in off) + interaction * both
            for seed in seeds
        }
        for off in ALL
        for both in [not off & {"whiten", "identity_init"}]
    }


def gain(pair) -> dict:
    without, with_it = pair
    assert without.keys() == with_it.keys()
    return {seed: with_it[seed] - without[seed] for seed in without}


def test_effects_that_add_are_the_same_in_any_company():
    for off in None, (), ("identity_init",), set(SWITCHES) - {"whiten"}:
        assert gain(sides(grid(), "whiten", off)) == pytest.approx({0: 1.0, 1: 1.0})
    for trick, other in combinations(SWITCHES, 2):
        assert gain(worths(grid(), trick, other)) == pytest.approx({0: 0.0, 1: 0.0})


def test_a_trick_that_needs_another_is_worth_more_beside_it():
    needs = grid(4)
    assert gain(sides(needs, "whiten", ())) == pytest.approx({0: 5.0, 1: 5.0})
    assert gain(sides(needs, "whiten", ("identity_init", "flip"))) == pytest.approx({0: 1.0, 1: 1.0})
    assert gain(sides(needs, "whiten")) == pytest.approx({0: 3.0, 1: 3.0})  # the other is on in half of the settings
    off, on = worths(needs, "whiten", "identity_init")
    assert (off[0], on[0]) == pytest.approx((1.0, 5.0))
    assert gain(worths(needs, "identity_init", "whiten")) == pytest.approx({0: 4.0, 1: 4.0})
    assert gain(worths(needs, "whiten", "flip")) == pytest.approx({0: 0.0, 1: 0.0})


def test_only_seeds_count_that_all_combinations_have():
    some = grid(seeds=(0, 1, 2)) | {frozenset(): {1: 66.0, 3: 0.0}}
    assert sides(some, "whiten", ())[1] == {1: 66.0}
    assert sides(some, "whiten")[0].keys() == worths(some, "whiten", "flip")[0].keys() == {1}


def test_a_combination_that_was_not_run_is_named():
    some = grid()
    del some[frozenset(["whiten", "flip"])]
    assert sides(some, "whiten", ())
    for call in (lambda: sides(some, "whiten"), lambda: worths(some, "whiten", "lookahead")):
        with pytest.raises(UsageError, match="there are no runs of airbench94 without flip, whiten"):
            call()
    with pytest.raises(UsageError, match="without anything"):
        sides({frozenset(["whiten"]): {0: 50.0}}, "whiten", ())


def test_the_recorded_grid_holds_what_replay_finds_in_percent():
    found = recorded_grid("laptop", "cifar10")
    assert found.keys() == set(ALL)
    assert all({0, 1, 2} <= set(runs) for runs in found.values())
    both = lookup(replace(AIRBENCH94, flip="random", bias_scale=1), "laptop", "cifar10").accuracies
    assert found[frozenset(["flip", "bias_scale"])] == pytest.approx({seed: 100 * one for seed, one in both.items()})
    assert recorded_grid("full") == {}
