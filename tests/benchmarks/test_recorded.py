"""The recorded runs are all there, of one kind, and what their README says."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from airbench_lab import replay
from airbench_lab.study.frames import frame, one_setting

from airbench_core import lines, runlog
from airbench_core.errors import AirbenchError

FILE = Path(__file__).parents[2] / "benchmarks" / "recorded.py"


@pytest.fixture(scope="module")
def recorded():
    spec = importlib.util.spec_from_file_location("recorded", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


# "" for the folder itself; the others hold what was made on other machines.
FOLDERS = ("", *sorted({path.parent.name for path in replay.FOLDER.glob("*/*.jsonl")}))
in_each_folder = pytest.mark.parametrize("folder", FOLDERS)


def logs(folder: str) -> list[Path]:
    return sorted((replay.FOLDER / folder).glob("*.jsonl"))


@in_each_folder
def test_each_file_holds_its_sweeps_and_nothing_else(recorded, folder):
    files = recorded.files_of(folder)
    assert set(FOLDERS) == {"", *recorded.ELSEWHERE}
    assert {log.stem for log in logs(folder)} == {f"{recorded.SCALE}-{name}" for name in files}
    for name, (_, sweeps) in files.items():
        records = runlog.load(replay.FOLDER / folder / f"{recorded.SCALE}-{name}.jsonl")
        held = [recorded.identity(record) for record in records]
        assert len(held) == len(set(held))
        assert set(held) == {one for sweep in sweeps for one in recorded.wanted(sweep)}


@in_each_folder
def test_all_are_of_one_kind_and_of_clean_checkouts(folder):
    records = [record for log in logs(folder) for record in runlog.load(log)]
    one_setting(frame(records))
    assert {record["data"]["name"] for record in records} == {"cifar10"}
    for record in records:
        assert not record["versions"]["commit"].endswith("+")
        assert all(epoch["accuracy"] is not None for epoch in record["epochs"])  # the curve that a panel draws


@in_each_folder
def test_the_readme_says_what_is_there(recorded, folder):
    names = recorded.files_of(folder)
    files = {name: runlog.load(replay.FOLDER / folder / f"{recorded.SCALE}-{name}.jsonl") for name in names}
    page = (replay.FOLDER / "README.md").read_text()
    assert page.count("<!-- airbench report ") > 3
    assert page.count(recorded.mark(folder)) == 1
    assert recorded.filled(page, recorded.table(files, folder), folder) == page
    assert recorded.made_on(record for of in files.values() for record in of) in page


def test_packing_keeps_what_matters_and_the_seconds_of_timed_runs_alone(recorded, record, tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "FILES", {"few": ("a few", ["airbench94 --seeds 2"])})
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    report = "<!-- airbench report laptop-few.jsonl -->\n"
    (tmp_path / "README.md").write_text(f"# Title\n\n{recorded.mark('')}| old |\n\nAfter.\n\n{report}| old |\n\nEnd.\n")
    epoch = {"epoch": 1, "epochs": 1.0, "train_loss": 2.123456789, "accuracy": 0.1234, "seconds": 3.14159}
    versions = {"airbench": "0", "commit": "abcdef0123", "torch": "2", "cuda": None}

    def full(**values) -> dict:
        return record(**values) | {"epochs": [epoch], "versions": versions}

    for seed in (0, 1, 2):
        lines.append(tmp_path / "busy", full(seed=seed, seconds=20.0), "")
    lines.append(tmp_path / "quiet", full(seed=1, seconds=10.123456), "")
    lines.append(tmp_path / "quiet", full(seed=0, accuracy=0.9) | {"parts": ["whiten"]}, "")  # of no recipe
    recorded.pack([tmp_path / "busy"], [tmp_path / "quiet"])
    first, second = runlog.load(tmp_path / "laptop-few.jsonl")
    assert (first["seed"], first["seconds"], second["seed"], second["seconds"]) == (0, None, 1, 10.12)
    assert first["epochs"][0] == {**epoch, "train_loss": 2.1235, "seconds": None}
    assert first["recipe"] == json.loads(json.dumps(full()["recipe"]))
    assert "proxy_keep" not in json.loads((tmp_path / "laptop-few.jsonl").read_text().splitlines()[0])["recipe"]
    page = (tmp_path / "README.md").read_text()
    assert "| laptop-few.jsonl | a few | `airbench94 --seeds 2` | 2 | of 1 | `abcdef0` |\n\nAfter.\n" in page
    assert re.search(rf"{report}.* seconds .*\n.*\n\\| airbench94 +\\| +2 \\| +70.00 % .* 10.12 \\|\n\nEnd.\n$", page)
    assert "old" not in page
    lines.append(tmp_path / "other", full(seed=1, name="another CPU"), "")
    with pytest.raises(AirbenchError, match=r"several kinds: a processor, .*; another CPU, "):
        recorded.pack([tmp_path / "busy"], [tmp_path / "other"])
    assert len(runlog.load(tmp_path / "laptop-few.jsonl")) == 2  # nothing was written over


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "few: 1 of 1 runs are missing"),
        ({"commit": "abcdef+"}, "few: 1 runs were made by a changed checkout"),
    ],
)
def test_what_is_missing_or_cannot_be_made_again_is_refused(recorded, record, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(recorded, "FILES", {"few": ("a few", ["airbench94 --seeds 1"])})
    versions = {"torch": "2", "commit": change.get("commit", "abcdef")}
    one = record(seed=change.get("seed", 0)) | {"epochs": [], "versions": versions}
    lines.append(tmp_path / "log", one, "")
    with pytest.raises(AirbenchError, match=message.replace("+", r"\+")):
        recorded.pack([tmp_path / "log"], [])


def test_the_commands_are_those_of_the_sweeps(recorded, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recorded.py", "commands"])
    assert recorded.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == sum(len(sweeps) for _, sweeps in recorded.FILES.values())
    assert "airbench sweep toggles --seeds 3 --scale laptop --data cifar10 --out recorded.jsonl" in printed
