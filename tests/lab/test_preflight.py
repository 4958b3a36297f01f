import re
import runpy
from pathlib import Path

import pytest
from airbench_lab.lessons import own_runs

LESSONS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_one_import_gives_the_machine_the_scale_and_the_images_and_says_so(scale, monkeypatch, capsys):
    monkeypatch.setenv("AIRBENCH_SCALE", scale)
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    made = runpy.run_module("airbench_lab.preflight")
    made["run_all"]("02")
    said, name = capsys.readouterr(), made["data"].name
    assert made["laptop"] == scale
    assert said.out.startswith(f"{made['runtime'].device_name}, ")
    assert f"scale {scale}: " in said.out
    assert f"test images of {name}" in said.out
    assert ("nothing about a trick follows" in said.out) == (name == "builtin")
    assert ("mean nothing" in said.out) == (scale == "smoke")
    assert said.err == ""
    cost = said.out.splitlines()[-1]
    assert cost.startswith("Run All of this lesson: ")
    if scale == "laptop":
        minutes, run = map(float, re.search(r"about ([\d.]+) minutes here \((\d+) s a run", cost).groups())
        assert minutes == pytest.approx(made["RUN_ALL"]["02"] / made["RUN"] * run / 60, rel=0.1, abs=0.1)


@pytest.mark.parametrize(("scale", "kept"), [("laptop", True), ("smoke", False)])
def test_runs_are_kept_where_accuracies_mean_something(scale, kept, monkeypatch, tmp_path):
    monkeypatch.setattr(own_runs, "LOG", None)
    monkeypatch.setenv("AIRBENCH_SCALE", scale)
    monkeypatch.setenv("AIRBENCH_RUNS", str(tmp_path / "mine.jsonl"))
    runpy.run_module("airbench_lab.preflight")
    assert (tmp_path / "mine.jsonl" if kept else None) == own_runs.LOG


def test_each_lesson_asks_for_its_own_cost():
    for path in LESSONS.glob("[0-9]*.ipynb"):
        assert f'run_all(\\"{path.name[:2]}\\")' in path.read_text()


def test_what_run_all_took_is_what_readme_says_of_each_lesson():
    rows = re.findall(r"^\| \[(\d\d)\]\(.* \| (\d+) \|$", (LESSONS.parent / "README.md").read_text(), re.MULTILINE)
    assert {lesson: int(seconds) for lesson, seconds in rows} == runpy.run_module("airbench_lab.preflight")["RUN_ALL"]
    assert {lesson for lesson, _ in rows} == {path.name[:2] for path in LESSONS.glob("[0-9]*.ipynb")}
