"""What README says was measured is what the recorded runs say."""

import re
import sys
from pathlib import Path

import pytest

from airbench_core import AIRBENCH94, SCALES, load_dataset
from airbench_core.study import runlog

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_the_laptop_table_is_that_of_the_recorded_runs(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import laptop_table

    shown = README.partition("<!-- laptop table: benchmarks/laptop_table.py -->\n")[2].partition("\n<!-- end -->")[0]
    base, rows = laptop_table.table()
    assert shown == laptop_table.markdown(base, rows)
    assert len(base) == 5
    sys.modules.pop("laptop_table")


def test_the_full_scale_table_is_that_of_the_recorded_run():
    (run,) = runlog.load(ROOT / "benchmarks" / "results" / "full-cifar10-cpu.jsonl")
    assert run["scale"] == "full"
    shown = re.findall(r"^\| ([\d.]+) \| ([\d.]+) % \| ([\d,]+) \|", README, re.MULTILINE)
    assert shown == [
        (f"{e['epochs']:.1f}", f"{100 * e['accuracy']:.2f}", f"{e['seconds']:,.0f}") for e in run["epochs"]
    ]
    assert f"| with TTA | **{100 * run['accuracy']:.2f} %** | **{run['seconds']:,.0f}** |" in README


@pytest.mark.parametrize("log", sorted((ROOT / "benchmarks" / "results").glob("*.jsonl")), ids=lambda path: path.name)
def test_recorded_runs_are_of_the_recipes_and_scales_there_are(log):
    for run in runlog.load(log):
        scaled = SCALES[run["scale"]].recipe(AIRBENCH94)
        assert run["recipe"]["widths"] == list(scaled.widths)
        assert run["recipe"]["batch_size"] == scaled.batch_size
        assert run["recipe"]["epochs"] == scaled.epochs


def test_the_built_in_pictures_are_learnable_but_not_trivial():
    runs = runlog.load(ROOT / "benchmarks" / "results" / "laptop-builtin.jsonl")
    assert len(runs) == 3
    assert all(0.60 < run["accuracy"] < 0.95 for run in runs)
    (digest,) = {run["data"]["digest"] for run in runs}
    assert digest == SCALES["laptop"].data(load_dataset("builtin")).digest


@pytest.mark.parametrize("page", ["README.md", "CONTRIBUTING.md", "benchmarks/README.md"])
def test_no_number_is_still_to_be_filled_in(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    assert not re.search(r"@[A-Z]+|TODO|XXX", text)
