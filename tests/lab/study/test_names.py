from dataclasses import replace

import pytest
from airbench_lab.study.frames import frame
from airbench_lab.study.names import failures, named, recipe_name
from airbench_lab.study.studies import STUDIES, Study, Variant, study_named

from airbench_core import AIRBENCH94, AIRBENCH95, AIRBENCH96, BASELINE, RECIPES

FLIP = replace(AIRBENCH94, flip="random")


def names(records, study=None, column="name") -> list[str]:
    return list(named(frame(records, failed=True), study)[column])


def test_a_run_is_called_after_the_nearest_recipe_and_what_differs_as_it_was_asked_for(record):
    own = replace(AIRBENCH94, flip="random", epochs=5)
    assert names([record(recipe) for recipe in RECIPES.values()]) == list(RECIPES)
    assert names([record(own)]) == names([record(own, scale="smoke")]) == ["airbench94 flip=random epochs=5"]
    assert recipe_name(own, epochs=False) == "airbench94 flip=random"
    assert recipe_name(replace(AIRBENCH96, epochs=9.9)) == "airbench96 epochs=9.9"  # epochs do not decide
    assert recipe_name(replace(AIRBENCH94, epochs=45)) == "airbench94 epochs=45"
    assert recipe_name(replace(AIRBENCH94, lr=0.1 + 0.2)) == "airbench94 lr=0.3"
    assert recipe_name(AIRBENCH95, ("lookahead", "whiten")) == "airbench95 with own lookahead and whiten"


def test_names_say_of_the_runtime_what_differs_and_nothing_else(record):
    assert names([record(), record(seed=1)]) == ["airbench94"] * 2
    assert names([record(), record(compile=True)]) == ["airbench94", "airbench94, compiled"]
    assert names([record(), record(FLIP, threads=2)]) == ["airbench94, 1 thread", "airbench94 flip=random, 2 threads"]
    gpu = record(device="cuda", name="a GPU", dtype="float16")
    assert names([record(), gpu]) == [
        "airbench94, cpu, a processor, bfloat16, 1 thread",
        "airbench94, cuda, a GPU, float16",
    ]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_calls_its_runs_as_its_variants_and_has_them_in_its_order(study, record):
    variants = STUDIES[study].variants()
    runs = [record(variant.recipe, compile=variant.compile) for variant in reversed(variants)]
    found = names([record(replace(AIRBENCH94, depth=3)), *runs], STUDIES[study])
    assert found == [variant.label for variant in variants]


def test_a_studys_runs_of_other_lengths_are_its_own(record):
    """Under their variant, by epochs; with a label where another variant has these epochs."""
    flip, random = STUDIES["flip"], "airbench94 flip=random"
    runs = [record(replace(FLIP, epochs=epochs), accuracy=epochs) for epochs in (20, 14, 9.9, 7)]
    runs = [record(AIRBENCH94), record(replace(AIRBENCH94, epochs=100)), *runs]
    assert names(runs, flip) == [
        *(f"{random} epochs=7", random, f"{random} epochs=14", "airbench94", "airbench94 epochs=100"),
        f"{random} epochs=20",
    ]
    table = named(frame(runs), flip)
    assert {family: list(of["epochs"].round(9)) for family, of in table.groupby("family")} == {
        random: [11.2, 15.84, 22.4, 32],
        "airbench94": [15.84, 160],
    }
    assert names([record(replace(AIRBENCH94, epochs=7))], STUDIES["ladder"]) == ["+ alternating flip epochs=7"]


def test_a_study_says_compiled_only_where_its_label_does_not(record):
    ladder = STUDIES["ladder"]
    runs = [record(), record(compile=True), record(BASELINE), record(BASELINE, compile=True)]
    assert sorted(names(runs, ladder)) == ["+ alternating flip", "+ torch.compile", "baseline", "baseline, compiled"]
    assert names(runs[3:], ladder) == ["baseline"]
    compiled = Study("compiled alone", lambda: [Variant("fast", AIRBENCH94, compile=True)])
    assert names(runs, compiled) == ["fast"]  # an eager run is not what is called compiled
    assert names(runs[:1], study_named("airbench94")) == ["airbench94"]


def test_what_a_study_leaves_out_does_not_rename_its_rows(record):
    short = replace(AIRBENCH94, epochs=1)
    beside = [record(replace(AIRBENCH94, depth=3), threads=2, seed=seed) for seed in range(2)]
    assert names([record(short), *beside], study_named("airbench94")) == ["airbench94 epochs=1"]
    assert names([record(short), record(short, threads=2), *beside], study_named("airbench94")) == [
        "airbench94 epochs=1, 1 thread",
        "airbench94 epochs=1, 2 threads",
    ]


def failed(record, kind="diverged", message="the training loss is nan after epoch 1: lower lr") -> dict:
    return {**record, "failed": {"kind": kind, "message": message}}


def told(records, study=None) -> list[str]:
    return failures(named(frame(records, failed=True), study))


def test_failures_of_one_recipe_and_kind_are_told_together(record):
    wild = replace(AIRBENCH94, lr=90)
    runs = [
        failed(record(wild, seed=3)),
        failed(record(seed=1), "died", "killed by signal 9\nwhile it trained"),
        failed(record(wild, seed=4), message="another epoch"),
        failed(record(wild, seed=5, compile=True)),
    ]
    assert told(runs) == [
        "2 runs failed: airbench94 lr=90 (seeds 3, 4): diverged: the training loss is nan after epoch 1: lower lr",
        "1 run failed: airbench94 (seed 1): died: killed by signal 9",
        "1 run failed: airbench94 lr=90, compiled (seed 5): diverged: the training loss is nan after epoch 1: lower lr",
    ]
    assert [line.split(": ")[1] for line in told([*runs[:1], failed(record(wild, data="svhn", scale="smoke"))])] == [
        "airbench94 lr=90 on cifar10 at scale laptop (seed 3)",
        "airbench94 lr=90 on svhn at scale smoke (seed 0)",
    ]
    assert told([failed(record(replace(BASELINE, epochs=7)))], STUDIES["ladder"])[0].startswith(
        "1 run failed: baseline epochs=7 (seed 0)"
    )


def test_a_run_that_failed_and_was_finished_another_time_did_not_fail(record):
    runs = [failed(record(seed=0)), failed(record(seed=0)), failed(record(seed=1)), record(seed=0)]
    assert [line.split(":")[1] for line in told(runs)] == [" airbench94 (seed 1)"]
    assert "(seeds 0, 1)" in told(runs[:3])[0]
