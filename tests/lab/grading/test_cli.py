"""`airbench grade` and `airbench leaderboard`, as a teacher calls them."""

import os
import sys

import pytest
from airbench_lab import cli
from airbench_lab.grading import cli as verbs
from airbench_lab.grading import confined
from airbench_lab.grading.leaderboard import Row
from airbench_lab.grading.training import data_name


def test_grade_writes_the_table_and_says_by_its_status_whether_all_is_well(hand_in, assignments, tmp_path, capsys):
    folder = hand_in("a.ipynb", "def add(a, b):\n    return a + b")
    out = tmp_path / "grades.csv"
    arguments = ["grade", str(folder), "--out", str(out), "--assignments", str(assignments), "--scale", "smoke"]
    assert cli.main(arguments) == 0
    said = capsys.readouterr().out
    assert "1 a.ipynb: 3 of 3" in said
    assert f"with {data_name()}, at the scale smoke\n" in said
    (folder / "b.ipynb").write_text("{")
    assert cli.main(arguments) == 1
    assert "1 graded, 1 corrupt notebook; written to" in capsys.readouterr().out
    assert out.read_text(encoding="utf-8").count("\n") == 3


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        (["grade", "nowhere"], "nowhere is not a folder"),
        (["grade", ".", "--assignments", "nowhere"], "run `make assignments`"),
        (["grade", ".", "--out", "grades.xlsx"], "the table is a .csv file"),
        (["grade", ".", "--jobs", "0"], "jobs=0 is not legal"),
        (["grade", ".", "--total-seconds", "inf"], "total_seconds=inf is not legal: more than 0, at most 1,000,000"),
        (["grade", ".", "--seconds", "1e9"], "seconds=1e+09 is not legal"),
        (["leaderboard", ".", "--target", "94"], "target=94 is not legal"),
        (["leaderboard", ".", "--scale", "quarter"], "invalid choice: 'quarter'"),
        (["leaderboard", ".", "--out", "board.csv"], "the leaderboard is a .md file"),
    ],
)
def test_what_is_asked_for_wrongly_is_told_in_a_line(arguments, error, assignments, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    known = ["--assignments", str(assignments)] if arguments[0] == "grade" and "--assignments" not in arguments else []
    assert cli.main([*arguments, *known]) == 2
    said = capsys.readouterr().err
    assert error in said
    assert said.count("\n") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names of files")
def test_names_and_ids_that_are_no_text_stop_nothing(hand_in, assignments, tmp_path, capsys):
    add = "def add(a, b):\n    return a + b"
    folder = hand_in("cafe.ipynb", add)
    (folder / "cafe.ipynb").rename(folder / os.fsdecode(b"caf\xe9.ipynb"))
    hand_in("id.ipynb", add, student="\\ud800")
    out = tmp_path / "grades.csv"
    arguments = ["grade", str(folder), "--out", str(out), "--assignments", str(assignments), "--scale", "smoke"]
    assert cli.main(arguments) == 0
    said, table = capsys.readouterr().out, out.read_text(encoding="utf-8")
    assert "caf\\udce9.ipynb: 3 of 3" in said
    assert "ab1,adding,caf\\udce9.ipynb,graded,3,3" in table
    assert "\\ud800,adding,id.ipynb,graded,3,3" in table


def test_neither_ids_that_are_no_text_nor_formulas_harm_a_leaderboard(hand_in, tmp_path, monkeypatch, capsys):
    folder = hand_in("a.ipynb", assignment="speedrun")
    rows = [Row(rank="refused", student=student, note="two\nlines") for student in ("=1+2", "\ud800")]
    monkeypatch.setattr(verbs, "compete", lambda *_, **__: rows)
    assert cli.main(["leaderboard", str(folder), "--out", str(tmp_path / "board.md")]) == 0
    line = (tmp_path / "board.md").read_text(encoding="utf-8").splitlines()[-1]
    assert ("\\ud800" in line, "two\\nlines" in line) == (True, True)
    table = (tmp_path / "board.csv").read_text(encoding="utf-8")
    assert ("refused,'=1+2," in table, "refused,\\ud800," in table) == (True, True)


def test_what_holds_submissions_here_is_said_and_what_does_not_is_warned_of(
    monkeypatch, hand_in, assignments, tmp_path, capsys
):
    folder = hand_in("a.ipynb", student="")
    arguments = ["grade", str(folder), "--out", str(tmp_path / "grades.csv"), "--assignments", str(assignments)]
    monkeypatch.setattr(confined, "readable", lambda: ["/usr"])
    monkeypatch.setattr(confined, "holds", lambda: {"it is not root": True, "it sees no other process": False})
    monkeypatch.setattr(confined, "namespaces", lambda: "no namespaces")
    cli.main(arguments)
    said = capsys.readouterr()
    assert "submitted code on this machine: it is not root\n" in said.out
    assert "not on this machine (no namespaces): it sees no other process" in said.err
    monkeypatch.setattr(confined, "holds", lambda: {"it is not root": True})
    cli.main(arguments)
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(confined, "readable", lambda: ["/usr", str(assignments)])
    cli.main(arguments)
    assert capsys.readouterr().err.count(f"can read {assignments}") == 1


def test_without_the_lab_a_verb_says_what_it_needs_and_the_others_work(monkeypatch, capsys):
    monkeypatch.setitem(cli.VERBS, "grade", ("no_such_module", ""))
    assert cli.main(["grade", "."]) == 2
    said = capsys.readouterr().err
    assert "grade needs airbench_lab.no_such_module, which is not installed: `pip install -e '.[lab]'`" in said
    assert said.count("\n") == 1
    assert cli.main(["recipes"]) == 0
