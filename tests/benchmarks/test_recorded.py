"""The recorded runs are all there, of one kind, and what their README says."""

import importlib.util
import json
import re
import sys
from pathlib import Path

import pytest
from airbench_lab import replay, runlog
from airbench_lab.runlog import lines
from airbench_lab.study.frames import frame, one_setting

from airbench_core.errors import AirbenchError

FILE = Path(__file__).parents[2] / "benchmarks" / "recorded.py"


@pytest.fixture(scope="module")
def recorded():
    spec = importlib.util.spec_from_file_location("recorded", FILE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def files() -> dict[str, Path]:
    """The recorded files by their names in FILES."""
    return {str(p.relative_to(replay.FOLDER))[: -len(".jsonl")]: p for p in sorted(replay.FOLDER.rglob("*.jsonl"))}


in_each_file = pytest.mark.parametrize("name", files())


@in_each_file
def test_each_file_holds_its_sweeps_and_nothing_else(recorded, name):
    held = [recorded.identity(record) for record in runlog.load(files()[name])]
    assert len(held) == len(set(held))
    wanted, seeds = recorded.wanted(name), {seed for _, seed in held}
    assert set(held) == {one for one in wanted if one[1] in seeds}  # each recipe has all seeds


@in_each_file
def test_each_is_of_one_kind_of_machine_and_of_clean_checkouts(recorded, name):
    records = runlog.load(files()[name])
    one_setting(frame(records))
    recorded.made_on(name, records)
    assert {record["data"]["name"] for record in records} == {"cifar10"}
    for record in records:
        assert not record["versions"]["commit"].endswith("+")
        assert all(epoch["accuracy"] is not None for epoch in record["epochs"])  # the curve that a panel draws


def test_the_picture_of_the_ladder_is_what_readme_says_of_it(recorded):
    table = recorded.ladder_figure().table
    assert table["epochs"].tolist() == [45, 21, 18, 13.5, 13.5, 12, 10.8, 9.9]
    assert set(table["n"]) == {4}, "README says four runs of each"
    assert 0.8 < table["accuracy, %"].max() - table["accuracy, %"].min() < 0.9


def test_the_readme_says_what_is_there(recorded):
    page = (replay.FOLDER / "README.md").read_text()
    assert page.count("<!-- airbench report ") > 3
    assert page.count(recorded.TABLE) == page.count(recorded.REGIMES) == 1
    assert recorded.filled(page) == page


def test_packing_keeps_what_matters_and_the_seconds_of_timed_runs_alone(recorded, record, tmp_path, monkeypatch):
    monkeypatch.setattr(recorded, "FILES", {"laptop-some": ("some", ["airbench94 --seeds 2"])})
    monkeypatch.setattr(recorded, "FOLDER", tmp_path)
    monkeypatch.setattr(recorded.table, "__defaults__", (tmp_path,))
    report = "<!-- airbench report laptop-some.jsonl -->\n"
    page = f"# Title\n\n{recorded.TABLE}| old |\n\nAfter.\n\n{report}| old |\n\nEnd.\n"
    (tmp_path / "README.md").write_text(page)
    epoch = {"epoch": 1, "epochs": 1.0, "train_loss": 2.123456789, "accuracy": 0.1234, "seconds": 3.14159}
    versions = {"airbench": "0", "commit": "abcdef0123", "torch": "2", "cuda": None}

    def full(**values) -> dict:
        return record(**values) | {"epochs": [epoch], "versions": versions}

    for seed in (0, 1, 2):
        lines.append(tmp_path / "busy", full(seed=seed, seconds=20.0), "")
    lines.append(tmp_path / "quiet", full(seed=1, seconds=10.123456), "")
    lines.append(tmp_path / "quiet", full(seed=0, accuracy=0.9) | {"parts": ["whiten"]}, "")  # of no recipe
    recorded.pack(["laptop-some"], [tmp_path / "busy"], [tmp_path / "quiet"])
    first, second = runlog.load(tmp_path / "laptop-some.jsonl")
    assert (first["seed"], first["seconds"], second["seed"], second["seconds"]) == (0, None, 1, 10.12)
    assert first["epochs"][0] == {**epoch, "train_loss": 2.1235, "seconds": None}
    assert first["recipe"] == json.loads(json.dumps(full()["recipe"]))
    assert "proxy_keep" not in json.loads((tmp_path / "laptop-some.jsonl").read_text().splitlines()[0])["recipe"]
    page = (tmp_path / "README.md").read_text()
    where = "a processor, bfloat16, 1 thread, torch 2"
    row = f"| laptop-some.jsonl | some | `airbench94 --seeds 2` | 2 | of 1 | {where} | `abcdef0` |"
    assert f"{row}\n\nAfter.\n" in page
    assert re.search(rf"{report}.* seconds .*\n.*\n\\| airbench94 +\\| +2 \\| +70.00 % .* 10.12 \\|\n\nEnd.\n$", page)
    assert "old" not in page
    lines.append(tmp_path / "other", full(seed=1, name="another CPU"), "")
    with pytest.raises(AirbenchError, match=r"several kinds: a processor, .*; another CPU, "):
        recorded.pack(["laptop-some"], [tmp_path / "busy"], [tmp_path / "other"])
    assert len(runlog.load(tmp_path / "laptop-some.jsonl")) == 2  # nothing was written over


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"seed": 5}, "laptop-some: 1 of 1 runs are missing"),
        ({"commit": "abcdef+"}, "laptop-some: 1 runs were made by a changed checkout"),
    ],
)
def test_what_is_missing_or_cannot_be_made_again_is_refused(recorded, record, tmp_path, monkeypatch, change, message):
    monkeypatch.setattr(recorded, "FILES", {"laptop-some": ("some", ["airbench94 --seeds 1"])})
    versions = {"airbench": "0", "torch": "2", "cuda": None, "commit": change.get("commit", "abcdef")}
    one = record(seed=change.get("seed", 0)) | {"epochs": [], "versions": versions}
    lines.append(tmp_path / "log", one, "")
    with pytest.raises(AirbenchError, match=message.replace("+", r"\+")):
        recorded.pack(["laptop-some"], [tmp_path / "log"], [])


def test_the_commands_are_those_of_the_sweeps(recorded, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["recorded.py", "commands", "laptop"])
    assert recorded.main() == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == sum(len(sweeps) for name, (_, sweeps) in recorded.FILES.items() if name.startswith("laptop"))
    assert "airbench sweep toggles --seeds 3 --scale laptop --data cifar10 --out recorded.jsonl" in printed
    monkeypatch.setattr(sys, "argv", ["recorded.py", "commands", "lap"])
    assert recorded.main() == 2
    assert "no file is called lap; there are laptop-regimes, " in capsys.readouterr().err


def test_to_make_goes_on_where_it_was_and_ends_at_a_failure(recorded, monkeypatch, tmp_path):
    asked = []
    monkeypatch.setattr(recorded, "main_of_airbench", lambda words: asked.append(words) or len(asked) // 3)
    assert recorded.make(["laptop-regimes", "laptop-muon"], tmp_path / "runs") == 1
    logs = [words[-1] for words in asked]
    assert [Path(log).name for log in logs] == [*["laptop-regimes.jsonl"] * 2, "laptop-muon.jsonl"]
    assert asked[1][:7] == ["sweep", "regimes", "--seed", "5", "--seeds", "45", "--race"]
