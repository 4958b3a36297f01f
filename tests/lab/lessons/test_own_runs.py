from dataclasses import replace

import pytest
from airbench_lab import runlog
from airbench_lab.lessons import own_runs
from airbench_lab.lessons.compare import compare
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, Parts, UsageError, train

OFF = replace(AIRBENCH94, whiten=False)


@pytest.fixture(scope="module")
def runs():
    """A pair of runs with each of two seeds, and one on other pictures."""
    data, other = random_dataset(256, 64), random_dataset(320, 64)
    pairs = [(recipe, seed) for seed in (0, 1) for recipe in (AIRBENCH94, OFF)]
    made = [train(recipe, data, seed=seed, scale="smoke") for recipe, seed in pairs]
    return data, made, train(AIRBENCH94, other, seed=7, scale="smoke")


def row(data, live):
    """The one row of the live runs, and what the figure says below."""
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="smoke", data=data, live=live)
    (found,) = drawing.table.to_dict("records")
    return found, " ".join(drawing.get_supxlabel().split())


def test_what_was_run_before_counts_with_what_is_run_now_each_seed_once(runs, tmp_path, monkeypatch):
    data, made, elsewhere = runs
    log = tmp_path / "my_runs.jsonl"
    monkeypatch.setattr(own_runs, "LOG", log)
    for _ in range(2):  # a cell that is run again
        one, said = row(data, made[:2])
        assert one["n"] == 1
        assert "earlier" not in said
    assert len(runlog.load(log)) == 2
    both, said = row(data, made[2:])
    assert both["n"] == 2
    gains = [100 * (made[i + 1].accuracy - made[i].accuracy) for i in (0, 2)]
    assert both["difference, points"] == pytest.approx(sum(gains) / 2)
    assert "with your earlier runs in my_runs.jsonl, n=2 pairs" in said
    assert len(runlog.load(log)) == 4
    assert own_runs.with_earlier([elsewhere]) == [elsewhere]  # other pictures: those before do not count
    assert len(runlog.load(log)) == 5


def test_a_run_with_a_part_or_seeds_of_its_own_is_kept_and_is_no_run_of_the_recipe(runs, tmp_path, monkeypatch):
    data, made, _ = runs
    monkeypatch.setattr(own_runs, "LOG", tmp_path / "log.jsonl")
    parts = Parts(lr_factors=lambda recipe, steps: [1.0] * steps)
    picked = [train(recipe, data, seed=2, scale="smoke", seeds={"order": 1}) for recipe in (AIRBENCH94, OFF)]
    own_runs.with_earlier([train(AIRBENCH94, data, seed=1, scale="smoke", parts=parts), *picked, *made[:2]])
    assert row(data, [made[3]])[0]["n"] == 1  # seed 0: seed 1 has no plain partner


def test_a_run_read_at_a_lower_level_says_so_in_both_of_its_recipes(runs, tmp_path, monkeypatch):
    _, (run, *_), _ = runs
    monkeypatch.setattr(own_runs, "LOG", tmp_path / "log.jsonl")
    lower = replace(run, recipe=replace(run.recipe, tta="none"), accuracy=run.accuracies["none"])
    with pytest.raises(UsageError, match="change both"):
        own_runs.with_earlier([lower])
    own_runs.with_earlier([run, replace(lower, asked=replace(run.asked, tta="none"))])
    first, second = runlog.load(own_runs.LOG)
    assert (first["asked"]["tta"], second["asked"]["tta"]) == ("mirror+translate", "none")


def test_runs_on_several_data_sets_are_no_pairs(runs):
    data, made, other = runs
    with pytest.raises(UsageError, match="on several data sets"):
        row(data, [*made, other])


def test_nothing_is_kept_where_no_log_is_named(runs, tmp_path, monkeypatch):
    data, made, _ = runs
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(own_runs, "LOG", None)
    row(data, made)
    assert list(tmp_path.iterdir()) == []
