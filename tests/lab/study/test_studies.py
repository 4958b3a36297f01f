from dataclasses import replace

import pytest
from airbench_lab.study.studies import STUDIES, Variant, grid, study_named

from airbench_core import AIRBENCH94, UsageError
from airbench_core.published import AIRBENCH95, AIRBENCH96, BASELINE
from airbench_core.scales import SCALES


def recipes(name: str) -> dict:
    return {variant.label: variant.recipe for variant in STUDIES[name].variants()}


@pytest.mark.parametrize("name", STUDIES)
def test_a_study_lists_each_training_once_and_all_fit_each_scale(name):
    variants = STUDIES[name].variants()
    assert len({(variant.recipe, variant.compile) for variant in variants}) == len(variants)
    assert len({variant.label for variant in variants}) == len(variants)
    for scale in SCALES.values():
        for variant in variants:
            scale.recipe(variant.recipe)


def test_ablation_changes_one_trick_each():
    whitened = replace(BASELINE, whiten=True, epochs=21)
    found = recipes("ablation")
    changed = {label: set(recipe.changes(whitened)) for label, recipe in found.items() if "baseline" in label}
    bundle = {"lookahead", "batchnorm_momentum", "lr", "lr_peak_at", "lr_end"}
    assert sorted(changed.values(), key=len) == [
        {"identity_init"},
        {"bias_scale"},
        {"tta"},
        {"flip"},
        bundle,
    ]
    removed = {label: recipe.changes() for label, recipe in found.items() if "baseline" not in label}
    assert removed.pop("airbench94") == {}
    assert [set(values) for values in removed.values()] == [
        {"whiten", "first_norm"},
        {"identity_init"},
        {"bias_scale"},
        bundle,
        {"flip"},
    ]
    # Lookahead added and Lookahead removed are the same fields, the other way round.
    added = found["whitened baseline + Lookahead"]
    assert {name: getattr(added, name) for name in bundle} == {name: getattr(AIRBENCH94, name) for name in bundle}
    without = found["airbench94 - Lookahead"]
    assert {name: getattr(without, name) for name in bundle} == {name: getattr(BASELINE, name) for name in bundle}


def test_toggles_are_all_combinations_of_single_fields():
    found = list(recipes("toggles").values())
    switched = [tuple(recipe.changes()) for recipe in found]
    assert len(set(switched)) == len(found) == 32
    assert set().union(*switched) == {"whiten", "identity_init", "bias_scale", "lookahead", "flip"}
    assert {recipe.tta for recipe in found} == {"mirror+translate"}  # the lower levels are in each record
    assert AIRBENCH94 in found


def test_flip_compares_both_flips_in_each_setting():
    found = list(recipes("flip").values())
    settings = {replace(recipe, flip="none") for recipe in found}
    assert {recipe.flip for recipe in found} == {"random", "alternating"}
    assert len(found) == 2 * len(settings) == 14
    assert {(recipe.epochs, recipe.cutout) for recipe in settings if recipe.reshuffle} == {
        (epochs, cutout) for epochs in (9.9, 20, 40) for cutout in (0, 12)
    }
    assert [recipe.epochs for recipe in settings if not recipe.reshuffle] == [9.9]


def test_a_recipe_is_a_study_of_one():
    (variant,) = study_named("airbench95").variants()
    assert variant == Variant("airbench95", AIRBENCH95)
    with pytest.raises(UsageError, match=r"'laddr' is neither a study nor a recipe; studies: ladder, .*recipes: b"):
        study_named("laddr")


def test_a_grid_is_every_combination_and_names_what_is_changed():
    start = [Variant("airbench94", AIRBENCH94), Variant("airbench96", AIRBENCH96, True)]
    found = grid(start, {"flip": ["alternating", "random"], "epochs": [9.9, 5]})
    assert [variant.label for variant in found] == [
        *("airbench94", "airbench94 epochs=5", "airbench94 flip=random", "airbench94 flip=random epochs=5"),
        *("airbench96 epochs=9.9", "airbench96 epochs=5"),
        *("airbench96 flip=random epochs=9.9", "airbench96 flip=random epochs=5"),
    ]
    assert found[-1] == Variant(found[-1].label, replace(AIRBENCH96, flip="random", epochs=5), True)
    assert grid(start, {}) == start
    assert len(grid([*start, *start], {"epochs": [5, 5.0]})) == 2


def test_a_grid_refuses_what_no_recipe_can_be():
    with pytest.raises(UsageError, match="unknown recipe field 'epoch'"):
        grid([Variant("a", AIRBENCH94)], {"epoch": [1]})
    with pytest.raises(UsageError, match="first_norm=true needs whiten=false"):
        grid([Variant("a", AIRBENCH94)], {"first_norm": [False, True]})
