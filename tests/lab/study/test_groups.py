from dataclasses import replace
from pathlib import Path

import pytest
from airbench_lab.study import groups
from airbench_lab.study.studies import STUDIES, Study, Variant, grid, study_named

from airbench_core import AIRBENCH94, AIRBENCH95, AIRBENCH96, BASELINE, RECIPES, SCALES, UsageError, runlog

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
FLIP = replace(AIRBENCH94, flip="random")


@pytest.mark.parametrize(
    ("recipe", "name"),
    [
        *((recipe, name) for name, recipe in RECIPES.items()),
        (replace(BASELINE, epochs=9.9), "baseline epochs=9.9"),
        (replace(AIRBENCH94, bias_scale=1, tta="none"), "airbench94 bias_scale=1 tta=none"),
        (replace(AIRBENCH94, whiten_bias_epochs=None), "airbench94 whiten_bias_epochs=none"),
        (replace(AIRBENCH94, widths=(64, 256, 384)), "airbench94 widths=64x256x384"),
        (replace(AIRBENCH94, proxy_keep=512), "airbench94 proxy_keep=512"),  # and its widths are then scaled
    ],
)
def test_a_recipe_is_named_after_the_nearest_published_one(recipe, name, record):
    assert groups.recipe_name(record(recipe)) == name


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("name", RECIPES)
def test_runs_are_called_as_the_sweep_called_them(name, scale, record):
    """As asked for, at each scale."""
    axes = {"epochs": (2, 9.9, 1 / 3), "lr": (RECIPES[name].lr, 0.125), "batch_size": (RECIPES[name].batch_size, 960)}
    variants = grid([Variant(name, RECIPES[name])], axes)
    assert f"{name} epochs=2 batch_size=960 lr=0.125" in [variant.label for variant in variants]
    runs = [record(variant.recipe, scale=scale) for variant in variants]
    assert groups.names(runs) == [variant.label for variant in variants]


def test_numbers_that_are_one_but_for_rounding_have_one_name_and_others_do_not(record):
    run, near, far = record(), record(), record()
    near["recipe"]["epochs"], far["recipe"]["epochs"] = 3.96, 3.960002
    assert groups.names([run, near, far]) == ["airbench94", "airbench94", "airbench94 epochs=9.900005"]


def test_a_field_that_an_old_record_lacks_is_at_its_default(record):
    """And not at the value that the nearest recipe has."""
    old = record(AIRBENCH96)
    del old["recipe"]["translate"]
    assert groups.recipe_name(old) == "airbench96 translate=2"


def test_a_field_that_is_not_known_yet_tells_runs_apart(record):
    new = record()
    new["recipe"]["sharpness_aware"] = True
    assert groups.names([record(), new]) == ["airbench94", "airbench94 sharpness_aware=true"]


def test_parts_of_somebody_s_own_are_named_last(record):
    runs = [record(FLIP), record(FLIP) | {"parts": ["whiten"]}, record(compile=True) | {"parts": ["flip", "whiten"]}]
    assert groups.names(runs) == [
        "airbench94 flip=random",
        "airbench94 flip=random with own whiten",
        "airbench94 with own flip and whiten, compiled",
    ]
    assert [list(runs) for runs in groups.by_name(runs[:2]).values()] == [[0], [0]]
    short = record(replace(FLIP, epochs=5)) | {"parts": ["whiten"]}
    assert list(groups.by_budget([*runs[:2], short])["airbench94 flip=random with own whiten"]) == [3.96, 2]


def test_of_the_runtime_the_name_says_what_differs(record):
    assert groups.names([record(compile=True, dtype="float32")]) == ["airbench94"]
    eager, compiled = record(), record(compile=True)
    assert groups.names([eager, compiled]) == ["airbench94", "airbench94, compiled"]
    both = record(FLIP, dtype="float32", threads=2, compile=True)
    assert groups.names([eager, both]) == [
        "airbench94, bfloat16, 1 thread",
        "airbench94 flip=random, float32, compiled, 2 threads",
    ]
    gpu = {"device": "cuda", "name": "a GPU"}
    assert groups.names([record(**gpu), record(**gpu, threads=15)]) == ["airbench94"] * 2  # they only launch work
    assert groups.names([record(**gpu, threads=1), eager])[0] == "airbench94, cuda, a GPU"
    graphs = record()
    graphs["runtime"]["graphs"] = True
    assert groups.names([eager, graphs]) == ["airbench94"] * 2


def test_one_seed_of_several_runtimes_is_several_runs(record):
    runs = [record(accuracy=0.7), record(accuracy=0.8, compile=True), record(accuracy=0.9, dtype="float32")]
    assert [[run["accuracy"] for run in group.values()] for group in groups.by_name(runs).values()] == [
        [0.7],
        [0.8],
        [0.9],
    ]


def test_a_seed_that_was_run_again_counts_once_the_last_time(record):
    runs = [record(accuracy=0.7), record(FLIP), record(accuracy=0.8, seed=1), record(accuracy=0.6)]
    found = groups.by_name(runs)
    assert list(found) == ["airbench94", "airbench94 flip=random"]
    assert {seed: run["accuracy"] for seed, run in found["airbench94"].items()} == {0: 0.6, 1: 0.8}


@pytest.mark.parametrize("epochs", [4, 9.9, 15, 45])
def test_trainings_of_all_lengths_have_one_name_but_for_the_epochs(epochs, record):
    """Also where as many fields are those of airbench95, one of them the epochs."""
    recipe = replace(AIRBENCH94, lr=10, epochs=epochs)
    named = groups.recipe_name(record(recipe, scale="full"))
    assert named == "airbench94" + f" epochs={epochs:g}" * (epochs != 9.9) + " lr=10"
    assert groups.recipe_name(record(recipe, scale="full"), epochs=False) == "airbench94 lr=10"


def test_by_budget_a_recipes_lengths_are_under_one_name(record):
    runs = [record(replace(FLIP, epochs=e), seed=seed) for e in (9.9, 5) for seed in (0, 1)]
    noisy = record(replace(FLIP, epochs=9.9), seed=2)
    noisy["recipe"]["epochs"] = 3.96
    found = groups.by_budget([*runs, noisy, record(compile=True), record()])
    assert {name: {e: list(of) for e, of in some.items()} for name, some in found.items()} == {
        "airbench94 flip=random": {3.96: [0, 1, 2], 2: [0, 1]},
        "airbench94, compiled": {3.96: [0]},
        "airbench94": {3.96: [0]},
    }


def test_a_name_that_is_not_there_is_told_with_those_that_are(record):
    groups.check_named("baseline", "airbench94", groups.by_name([record()]))
    with pytest.raises(UsageError, match=r"^reference=muon is not in the log; there is: airbench94; airbench94 flip=r"):
        groups.check_named("reference", "muon", groups.by_name([record(), record(FLIP)]))


def test_accuracies_at_a_level_of_tta(record):
    runs = {0: record(accuracy=0.7), 1: record(accuracy=0.8)}
    assert groups.accuracies(runs, "airbench94") == {0: 0.7, 1: 0.8}
    assert groups.accuracies(runs, "airbench94", "none") == {0: pytest.approx(0.69), 1: pytest.approx(0.79)}
    with pytest.raises(UsageError, match=r"^tta=mirror was not measured for airbench94, seed 0; there is: mirror.tr"):
        groups.accuracies(runs, "airbench94", "mirror")


def test_a_curve_names_seeds_only_where_they_are_the_same_at_all_its_lengths(record):
    def runs(*seeds):
        return {seed: record(accuracy=seed / 10, seed=seed) for seed in seeds}

    paired = groups.curve({8.0: runs(2, 1), 4.0: runs(1, 2), 2.0: runs(3)}, "airbench94")
    assert paired == {4: {1: 0.1, 2: 0.2}, 8: {2: 0.2, 1: 0.1}}
    assert groups.curve({4.0: runs(1, 2), 8.0: runs(1, 3)}, "airbench94") == {4: [0.1, 0.2], 8: [0.1, 0.3]}
    assert groups.curve({4.0: runs(1)}, "airbench94") == {}
    with pytest.raises(UsageError, match="tta=mirror was not measured for airbench94"):
        groups.curve({4.0: runs(1, 2)}, "airbench94", "mirror")


def test_scales_of_ones_own_are_named_too(record):
    """As trained: what such a scale did is not known."""
    own = record(AIRBENCH95, scale="full") | {"scale": "my own"}
    assert groups.recipe_name(own) == "airbench95"
    shorter = record(replace(AIRBENCH94, epochs=5), scale="full") | {"scale": "my own"}
    assert groups.recipe_name(shorter) == "airbench94 epochs=5"
    assert groups.names([shorter], study=study_named("airbench94")) == ["airbench94 epochs=5"]


def failed(record, kind="diverged", message="the training loss is nan after epoch 1: lower lr") -> dict:
    return {**record, "failed": {"kind": kind, "message": message}}


def test_failures_of_one_recipe_and_kind_are_told_together(record):
    wild = replace(AIRBENCH94, lr=90)
    found = groups.failures(
        [
            failed(record(wild, seed=3)),
            failed(record(seed=1), "died", "killed by signal 9\nwhile it trained"),
            failed(record(wild, seed=4), message="another epoch"),
            failed(record(wild, seed=5, compile=True)),
        ]
    )
    assert list(map(str, found)) == [
        "airbench94 lr=90 (seeds 3, 4): diverged: the training loss is nan after epoch 1: lower lr",
        "airbench94 (seed 1): died: killed by signal 9",
        "airbench94 lr=90, compiled (seed 5): diverged: the training loss is nan after epoch 1: lower lr",
    ]


def test_the_name_of_a_failure_says_how_it_was_run_if_others_were_run_otherwise(record):
    run = failed(record(seed=1, compile=True))
    assert groups.failures([run])[0].name == "airbench94"
    assert groups.failures([run], [record()])[0].name == "airbench94, compiled"


def test_a_run_that_failed_and_was_finished_another_time_did_not_fail(record):
    runs = [failed(record(seed=0)), failed(record(seed=0)), failed(record(seed=1)), failed(record(FLIP, seed=0))]
    found = groups.failures(runs, [record(seed=0)])
    assert [(some.name, some.seeds) for some in found] == [("airbench94", (1,)), ("airbench94 flip=random", (0,))]
    assert groups.failures(runs)[0].seeds == (0, 1)


def test_many_seeds_are_cut_short(record):
    (found,) = groups.failures(failed(record(seed=seed)) for seed in range(12))
    assert "(seeds 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, ...)" in str(found)
    assert len(found.seeds) == 12


def test_the_recorded_runs_are_named():
    found = groups.by_name(runlog.load(RESULTS / "laptop-cifar10.jsonl"))
    assert {len(runs) for runs in found.values()} == {5}
    assert "airbench94 whiten=false" in found


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("study", STUDIES)
def test_a_study_calls_its_runs_as_its_variants_and_has_them_in_its_order(study, scale, record):
    variants = STUDIES[study].variants()
    runs = [record(variant.recipe, scale=scale, compile=variant.compile) for variant in reversed(variants)]
    found = groups.of_study([record(replace(AIRBENCH94, depth=3), scale=scale), *runs], STUDIES[study])
    assert groups.names(found, study=STUDIES[study]) == [variant.label for variant in variants]


def test_a_studys_runs_of_other_lengths_are_its_own(record):
    """Under their variant, by epochs; with a label where another variant has these epochs."""
    flip = STUDIES["flip"]
    runs = [record(replace(FLIP, epochs=epochs), accuracy=epochs) for epochs in (20, 14, 9.9, 7)]
    found = groups.of_study([record(AIRBENCH94), record(replace(AIRBENCH94, epochs=100)), *runs], flip)
    random = "airbench94 flip=random"
    assert list(groups.by_name(found, flip)) == [
        *(f"{random} epochs=7", random, f"{random} epochs=14", "airbench94", "airbench94 epochs=100"),
        f"{random} epochs=20",
    ]
    assert {name: list(lengths) for name, lengths in groups.by_budget(found, flip).items()} == {
        random: [2.8, 3.96, 5.6, 8],
        "airbench94": [3.96, 40],
    }
    ladder = STUDIES["ladder"]
    assert groups.names([record(replace(AIRBENCH94, epochs=7))], study=ladder) == ["+ alternating flip epochs=7"]


def test_a_run_that_a_study_lacks_is_not_its(record):
    new = record()
    new["recipe"]["sharpness_aware"] = True
    others = [new, record(replace(AIRBENCH94, depth=3)), record(BASELINE, scale="full") | {"scale": "laptop"}]
    others.append(record() | {"parts": ["whiten"]})
    assert groups.of_study(others, STUDIES["ladder"]) == []
    with pytest.raises(UsageError, match=r"^a run of airbench94 depth=3 is not of the study"):
        groups.names(others[1:], study=STUDIES["ladder"])
    with pytest.raises(UsageError, match=r"^a run of airbench94 with own whiten is not of the study"):
        groups.names(others[-1:], study=STUDIES["ladder"])


def test_a_study_says_compiled_only_where_its_label_does_not(record):
    ladder = STUDIES["ladder"]
    runs = [record(), record(compile=True), record(BASELINE), record(BASELINE, compile=True)]
    assert groups.names(runs, study=ladder) == [
        *("+ alternating flip", "+ torch.compile"),
        *("baseline", "baseline, compiled"),
    ]
    assert groups.names(runs[3:], study=ladder) == ["baseline"]
    compiled = Study("compiled alone", lambda: [Variant("fast", AIRBENCH94, compile=True)])
    assert groups.of_study(runs, compiled) == [runs[1]]  # an eager run is not what is called compiled


def test_a_seed_that_was_run_again_counts_once_also_in_a_study(record):
    runs = groups.of_study([record(accuracy=0.7), record(BASELINE), record(accuracy=0.6)], STUDIES["ladder"])
    found = groups.by_name(runs, STUDIES["ladder"])
    assert {name: [run["accuracy"] for run in some.values()] for name, some in found.items()} == {
        "baseline": [0.7],
        "+ alternating flip": [0.6],
    }


def test_failures_are_named_by_the_study_too(record):
    (found,) = groups.failures([failed(record(replace(BASELINE, epochs=7)))], [record()], STUDIES["ladder"])
    assert found.name == "baseline epochs=7"
