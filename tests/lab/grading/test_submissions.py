"""What is found in a folder: whose, for what, and what is the matter with it."""

import json
import zipfile
from pathlib import Path

import nbformat
import pytest
from airbench_lab.grading import submissions
from airbench_lab.grading.cells import student_id, written
from airbench_lab.grading.submissions import find, read_roster

from airbench_core import UsageError


def notes(folder, roster=None):
    return {one.file: one.note for one in find(folder, ["adding"], roster)}


def test_a_notebook_is_known_by_its_id_and_assignment(hand_in):
    folder = hand_in("one.ipynb", "x = 1", student=" AB1 ")
    (one,) = find(folder, ["adding"])
    assert (one.student, one.assignment, one.note) == ("ab1", "adding", "")
    assert one.cells == ('student_id = " AB1 "', "x = 1")


def test_nothing_is_dropped_and_each_has_its_reason(hand_in):
    folder = hand_in("good.ipynb")
    hand_in("other.ipynb", assignment="baking")
    hand_in("nothing.ipynb", assignment=None)
    hand_in("no id.ipynb", student="")
    hand_in("no id cell.ipynb", student=None)
    hand_in("stranger.ipynb", student="zz9")
    (folder / "cut.ipynb").write_text('{"cells": [')
    (folder / "empty.ipynb").write_bytes(b"")
    (folder / "letter.ipynb").write_bytes(b"\xff\xfe\x00")
    (folder / "archive.zip").write_bytes(b"PK, but no archive")
    (folder / "notes.txt").write_text("not a submission")
    assert notes(folder, ["AB1"]) == {
        "good.ipynb": "",
        "other.ipynb": submissions.OTHER,
        "nothing.ipynb": submissions.OTHER,
        "no id.ipynb": submissions.NO_ID,
        "no id cell.ipynb": submissions.NO_ID,
        "stranger.ipynb": submissions.UNKNOWN,
        "cut.ipynb": submissions.CORRUPT,
        "empty.ipynb": submissions.CORRUPT,
        "letter.ipynb": submissions.CORRUPT,
        "archive.zip": submissions.CORRUPT,
    }


def test_duplicates_are_told_of_each_other_and_may_be_graded(hand_in):
    folder = hand_in("a/one.ipynb")
    hand_in("b/two.ipynb", student="AB1 ")
    hand_in("c.ipynb", student="cd2")
    found = {one.file: one for one in find(folder, ["adding"])}
    assert found["a/one.ipynb"].note == found["b/two.ipynb"].note == submissions.DUPLICATE
    assert found["a/one.ipynb"].details == "also b/two.ipynb"
    assert found["a/one.ipynb"].can_be_graded
    assert found["c.ipynb"].note == ""


def test_each_notebook_of_an_archive_is_a_submission(hand_in):
    folder = hand_in("one.ipynb", student="cd2")
    inside = (folder / "one.ipynb").read_bytes()
    for name, files in (
        ("single.zip", ["a.ipynb"]),
        ("double.zip", ["a.ipynb", "x.ipynb/B.IPYNB.txt"]),
        ("none.zip", []),
    ):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for file in files:
                archive.writestr(f"folder/{file}", inside)
            archive.writestr("folder/.ipynb_checkpoints/a-checkpoint.ipynb", inside)
            archive.writestr("__MACOSX/folder/._a.ipynb", b"what a Mac leaves there")
            archive.writestr("folder/cut.csv", b"data")
            archive.mkdir("folder/x.ipynb")
    (folder / "one.ipynb").unlink()
    found = {one.file: one for one in find(folder, ["adding"])}
    assert {file: one.note for file, one in found.items()} == {
        "single.zip": submissions.DUPLICATE,
        "double.zip/folder/a.ipynb": submissions.DUPLICATE,
        "double.zip/folder/x.ipynb/B.IPYNB.txt": submissions.DUPLICATE,
        "none.zip": submissions.NO_NOTEBOOK,
    }
    assert "folder/cut.csv" in found["none.zip"].details


def saved(cells=("student_id = 'ab1'", "x = 1"), **changes):
    """A notebook as JSON, with no more in it than a grader needs."""
    notebook = {"cells": [{"cell_type": "code", "source": source} for source in cells]}
    return notebook | {"metadata": {"otter": {"assignment_name": "adding"}}} | changes


AS_PEOPLE_SAVE_THEM = {
    "no execution_count, no nbformat": json.dumps(saved()).encode(),
    "UTF-8 with BOM": b"\xef\xbb\xbf" + json.dumps(saved()).encode(),
    "UTF-16": json.dumps(saved()).encode("utf-16"),
    "lines in a list": json.dumps(saved([["student_id = 'ab1'\n", "x = 1"]])).encode(),
    "nbformat 3": json.dumps(
        {
            "metadata": {"otter": {"assignment_name": "adding"}},
            "worksheets": [{"cells": [{"cell_type": "code", "input": ["student_id = 'ab1'"]}]}],
        }
    ).encode(),
    "60 MB of outputs": json.dumps(
        saved() | {"cells": [{"cell_type": "code", "source": "student_id = 'ab1'", "outputs": ["x" * 60_000_000]}]}
    ).encode(),
    "no metadata of otter, a call that names it": json.dumps(
        saved(["student_id = 'ab1'", "mine = personal(student_id, 'adding')"], metadata={})
    ).encode(),
    "no metadata at all, otter's own cell": json.dumps(
        saved(["import otter\ngrader = otter.Notebook('adding.ipynb')", "student_id = 'ab1'"], metadata=None)
    ).encode(),
    "fields of the wrong kinds": json.dumps(
        saved() | {"cells": [5, {"cell_type": "code", "source": "student_id = 'ab1'", "metadata": None}, {}]}
    ).encode(),
}


@pytest.mark.parametrize("name", AS_PEOPLE_SAVE_THEM)
def test_what_can_be_read_is_read(tmp_path, name):
    (tmp_path / "one.ipynb").write_bytes(AS_PEOPLE_SAVE_THEM[name])
    (one,) = find(tmp_path, ["adding", "baking"])
    assert (one.student, one.assignment, one.note) == ("ab1", "adding", "")


@pytest.mark.parametrize("content", [b"[]", b"5", b"{}", b'{"cells": 3}', b"<html>", b"\x00" * 9, b"[" * 100_000])
def test_what_is_no_notebook_is_corrupt(tmp_path, content):
    (tmp_path / "one.ipynb").write_bytes(content)
    (one,) = find(tmp_path, ["adding"])
    assert one.note == submissions.CORRUPT
    assert one.details


def test_what_was_meant_as_a_submission_has_a_row(hand_in):
    folder = hand_in("one.ipynb")
    hand_in("ONE.IPYNB.txt", student="cd2")
    for name in "a.html", "b.tar.gz", "c.pdf", "d.py":
        (folder / name).write_bytes(b"something")
    (folder / "grades-feedback").mkdir()
    (folder / "grades-feedback" / "page.html").write_text("a page of the grader's own")
    found = {one.file: one for one in find(folder, ["adding"], without=folder / "grades-feedback")}
    assert {file: one.note for file, one in found.items()} == {
        "one.ipynb": "",
        "ONE.IPYNB.txt": "",
        **dict.fromkeys(["a.html", "b.tar.gz", "c.pdf", "d.py"], submissions.NO_NOTEBOOK),
    }
    assert "a .gz file" in found["b.tar.gz"].details


def test_only_what_is_hidden_below_the_folder_is_left_out(hand_in, monkeypatch):
    folder = hand_in("one.ipynb")
    hand_in(".ipynb_checkpoints/one-checkpoint.ipynb")
    (folder / "code").mkdir()
    monkeypatch.chdir(folder / "code")
    assert list(notes(Path("..") / ".." / folder.name)) == ["one.ipynb"]
    hidden = folder.parent / ".work"
    folder.rename(hidden)
    assert list(notes(hidden)) == ["one.ipynb"]


def test_cells_that_otter_leaves_out_are_left_out(hand_in):
    folder = hand_in("one.ipynb", "kept = 1", "left_out = 1")
    notebook = nbformat.read(folder / "one.ipynb", as_version=4)
    notebook.cells[-1].metadata["tags"] = ["otter_ignore"]
    nbformat.write(notebook, folder / "one.ipynb")
    (one,) = find(folder, ["adding"])
    assert one.cells[1:] == ("kept = 1",)


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["student_id = 'a'", "student_id = 'b'"], "a"),
        (["this is no python", "x = 1\nstudent_id = 'a'  # mine"], "a"),
        (["student_id = ''", "student_id = ' '", "student_id = 'a'"], "a"),
        (["student_id = input()"], ""),
        (["student_id = 123456"], "123456"),
        (["student_id = True"], ""),
        (["student_id: str = 'A'"], "a"),
        (["%matplotlib inline\nstudent_id = 'a'"], "a"),
        (["%%time\n%time student_id = 'a'"], "a"),
        (["%%writefile f.py\nstudent_id = 'b'", "student_id = 'a'"], "a"),
        (["# student_id = 'a'"], ""),
        ([], ""),
    ],
)
def test_the_id_is_read_without_running_anything(cells, found):
    assert student_id(cells) == found


DEEP = ["x = " + "+".join("1" * 5000), "x = a" + ".b" * 9000, "x = " + "-" * 100_000 + "1"]


@pytest.mark.parametrize("cell", DEEP, ids=["a sum", "attributes", "signs"])
def test_a_cell_that_is_nested_too_deeply_is_a_cell_all_the_same(cell):
    assert student_id([cell, "student_id = 'a'"]) == "a"
    assert written(cell) in (cell, "")


def test_a_folder_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no \.ipynb"):
        find(tmp_path, ["adding"])
    with pytest.raises(UsageError, match="not a folder"):
        find(tmp_path / "nowhere", ["adding"])


@pytest.mark.parametrize(
    "content",
    [
        b"id\nab1\ncd2\n",
        b"ab1\ncd2",
        b"Student ID,name\nab1,Ann\n\ncd2,Bob\n",
        b"\xef\xbb\xbfab1\ncd2\n",
        b"id;name\r\nab1;Ann, B.\r\ncd2;M\xfcller\r\n",
        b"id\tname\nab1\tAnn\ncd2\tBob\n",
        b'"ab1";"Ann"\n"cd2";"Bob"\n',
    ],
)
def test_a_roster_is_the_first_column(tmp_path, content):
    (tmp_path / "roster.csv").write_bytes(content)
    assert read_roster(tmp_path / "roster.csv") == ["ab1", "cd2"]


def test_a_roster_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(UsageError, match="cannot read the roster"):
        read_roster(tmp_path / "roster.csv")
