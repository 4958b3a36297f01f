"""What README says was measured is what the recorded runs say."""

import importlib.util
import re
import statistics
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import ModuleType
from unittest import mock

import pytest
import torch
import torch.nn.functional as F
import torchvision
from airbench_lab import runlog
from airbench_lab.data import load_dataset
from airbench_lab.flops import parameters, training_flops
from airbench_lab.lessons import regimes
from airbench_lab.replay import FOLDER, lookup
from airbench_lab.runlog import lines
from airbench_lab.study.statistics import difference

from airbench_core import AIRBENCH94, BASELINE, RECIPES, SCALES, Parts, Recipe, train

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
BENCHMARKS = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def script(name: str) -> ModuleType:
    """benchmarks/{name}.py as a module, which nothing else finds."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    with mock.patch.object(sys, "path", [str(ROOT / "benchmarks"), *sys.path]):  # they import each other
        spec.loader.exec_module(module)
    return module


def test_the_parts_of_one_s_own_train(noise, tiny, float32):
    """The code as it stands there, on less data."""
    code = README[README.index("def adamw(") :].partition("```")[0]
    names = {"torch": torch, "torchvision": torchvision, "F": F, "replace": replace, "Parts": Parts, "data": noise}
    names |= {"train": partial(train, runtime=float32), "AIRBENCH94": replace(AIRBENCH94, epochs=2), "tiny": tiny}
    exec(code.replace("\ntrain(", "\nresult = train(").replace('"laptop"', "tiny"), names)
    assert names["result"].parts == ("augment", "loss", "network", "optimizer")


def table_after(mark: str, page: str) -> str:
    return page.partition(f"{mark}\n")[2].partition("\n<!-- end -->")[0]


def test_the_table_of_the_regimes_is_that_of_the_recorded_runs():
    shown = table_after("<!-- regimes: airbench_lab/lessons/regimes.py -->", README)
    assert shown == regimes.markdown()


def test_the_full_scale_table_is_that_of_the_recorded_run():
    (run,) = runlog.load(ROOT / "benchmarks" / "results" / "full-cifar10-cpu.jsonl")
    assert run["scale"] == "full"
    shown = re.findall(r"^\| ([\d.]+) \| ([\d.]+) % \| ([\d,]+) \|", README, re.MULTILINE)
    assert shown == [
        (f"{e['epochs']:.1f}", f"{100 * e['accuracy']:.2f}", f"{e['seconds']:,.0f}") for e in run["epochs"]
    ]
    assert f"| with TTA | **{100 * run['accuracy']:.2f} %** | **{run['seconds']:,.0f}** |" in README


def test_the_table_of_recipes_is_what_is_counted():
    rows = re.findall(r"^\| `(\w+)` \|[^|]*\| ([\d.]+) \| ([\d.]+) M \| ([\d.]+) \|", README, re.MULTILINE)
    assert rows == [
        (name, f"{recipe.epochs:g}", f"{parameters(recipe) / 1e6:.2f}", f"{training_flops(recipe) / 1e15:.3f}")
        for name, recipe in RECIPES.items()
    ]


def test_the_table_of_cost_growth_is_that_of_the_newest_recording():
    cost_growth = script("cost_growth")
    shown = table_after("<!-- benchmarks/cost_growth.py -->", BENCHMARKS)
    runs = cost_growth.load()
    assert shown == cost_growth.markdown(runs)
    assert cost_growth.too_fast(cost_growth.growths(runs)) == []


def test_the_full_scale_run_of_muon_is_the_recorded_one():
    (run,) = runlog.load(ROOT / "benchmarks" / "results" / "full-cifar10-cpu-muon.jsonl")
    assert (run["scale"], Recipe(**run["recipe"])) == ("full", RECIPES["airbench94_muon"])
    assert f"reached **{100 * run['accuracy']:.2f} %** with TTA in **{run['seconds']:,.0f} s**" in README


def test_what_the_last_rung_of_the_ladder_is_worth_is_what_was_recorded():
    page = (FOLDER / "README.md").read_text(encoding="utf-8")
    table = page.partition("report quarter-epochs.jsonl")[2]
    row = next(line for line in table.splitlines() if line.startswith("| airbench94  "))
    n, worth, times, least = (row.split("|")[i].strip() for i in (2, 6, 9, 10))
    told = f"9.9 epochs are worth {worth} of the first one's there, {float(times):.1f} times as many"
    assert n == "4", "README says four runs of each"
    assert f"{told}\n({float(least.removeprefix('above ')):.1f} at least; four runs" in README


def test_the_ratios_to_the_plain_port_are_those_recorded():
    rows = re.findall(
        r"^\| (?:training|a whole run), .*\| ([\d.]+) \(([\d.]+) to ([\d.]+)\) \| (\d) \|$", BENCHMARKS, re.MULTILINE
    )
    training = lines.load(ROOT / "benchmarks" / "results" / "against-plain-training.jsonl")
    ratios = [measured["ratios"] for measured in training]
    against = script("against")
    for name in "quiet", "busy":
        turns = lines.load(ROOT / "benchmarks" / "results" / f"against-plain-{name}.jsonl")
        ratios.append(against.report([against.from_record(turn) for turn in turns])["ratios"])
    assert rows == [(f"{statistics.median(r):.2f}", f"{min(r):.2f}", f"{max(r):.2f}", str(len(r))) for r in ratios]
    for measured in training:
        assert f"{measured['median_ratio']:.2f} times" in README


def test_the_search_for_airbench94_next_is_the_recorded_one():
    runs = [(Recipe(**run["recipe"]), 100 * run["accuracy"]) for run in runlog.load(RESULTS / "next-search.jsonl")]
    section = BENCHMARKS.split("## How airbench94_next was found")[1].split("\n## ")[0]
    assert f"Tried were {len(runs)} settings" in section
    first = {
        "batches": lambda recipe: recipe.batch_size == 1500,
        "the whitening bias": lambda recipe: recipe.whiten_bias_epochs == 1,
        "shifts": lambda recipe: recipe.translate == 1,
        "label smoothing": lambda recipe: recipe.label_smoothing == 0.1,
        "Muon's momentum": lambda recipe: recipe.muon_momentum == 0.7,
        "a learning rate": lambda recipe: recipe.lr_end == 0.05,
        "learning rate": lambda recipe: recipe.lr == 0.32,
    }
    for beginning, changed in first.items():
        sides = [[accuracy for recipe, accuracy in runs[:8] if changed(recipe) is side] for side in (True, False)]
        assert [*map(len, sides)] == [4, 4]
        effect = f"{statistics.mean(sides[0]) - statistics.mean(sides[1]):+.1f}".replace("-", "−")
        assert re.search(rf"^\| {beginning} .* \| {re.escape(effect)} \|$", section, re.MULTILINE), beginning
    rates = [0.08, 0.12, 0.15, 0.17, 0.24]
    plain = {(one.batch_size, one.lr): a for one, a in runs[8:] if (one.translate, one.label_smoothing) == (2, 0.2)}
    for size in 1000, 768, 500:
        cells = "".join(f" {plain[size, rate]:.2f} |" if (size, rate) in plain else " |" for rate in rates)
        assert f"| {size:,} |{cells}\n" in section
    quarter = {name: lookup(RECIPES[name], "quarter", "cifar10").accuracies for name in RECIPES}
    means = {name: f"{100 * statistics.mean(of.values()):.2f}" for name, of in quarter.items() if of}
    ours, muon, sgd = (means[name] for name in ("airbench94_next", "airbench94_muon", "airbench94"))
    assert f"there it reaches {ours} %, airbench94_muon {muon} for" in README
    assert f"and airbench94 {sgd} for half as many again (n={len(quarter['airbench94'])})" in README
    assert f"{ours} % against airbench94_muon's {muon}" in section
    assert f"airbench94 reaches {sgd} (n={len(quarter['airbench94'])})" in section
    (full,) = runlog.load(RESULTS / "full-cifar10-cpu-next.jsonl")
    assert (full["scale"], full["seed"], Recipe(**full["recipe"])) == ("full", 0, RECIPES["airbench94_next"])
    assert all(re.search(rf"ended at\s{100 * full['accuracy']:.2f} %", text) for text in (section, README))
    laptop = [lookup(RECIPES[name], "laptop", "cifar10").accuracies for name in ("airbench94_muon", "airbench94_next")]
    found = difference({seed: laptop[0][seed] for seed in laptop[1]}, laptop[1])
    low, mid, high = (f"{100 * one:+.1f}".replace("-", "−") for one in (found.low, found.difference, found.high))
    assert f"{mid} points (95 % interval {low} to {high}, n={found.n_a} pairs)" in section


RESULTS = ROOT / "benchmarks" / "results"
LOGS = [*sorted(RESULTS.glob("laptop-*.jsonl")), *sorted(RESULTS.glob("full-*.jsonl"))]


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name)
def test_recorded_runs_are_of_the_recipes_and_scales_there_are(log):
    for run in runlog.load(log):
        recipe = Recipe(**run["recipe"])
        sizes = [
            (scaled.widths, scaled.batch_size, scaled.epochs)
            for scaled in map(SCALES[run["scale"]].recipe, [*RECIPES.values(), replace(BASELINE, epochs=9.9)])
        ]
        assert (recipe.widths, recipe.batch_size, recipe.epochs) in sizes


def test_the_built_in_pictures_are_learnable_but_not_trivial():
    runs = runlog.load(ROOT / "benchmarks" / "results" / "laptop-builtin.jsonl")
    assert len(runs) == 3
    assert all(0.40 < run["accuracy"] < 0.95 for run in runs)
    (digest,) = {run["data"]["digest"] for run in runs}
    assert digest == SCALES["laptop"].data(load_dataset("builtin")).digest


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_no_number_is_still_to_be_filled_in(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.search(r"@[A-Z]+|TODO|XXX", text)
