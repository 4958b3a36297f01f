"""What is found in a folder: whose, for what, and what is the matter with it."""

import zipfile

import nbformat
import pytest
from airbench_lab.grading import submissions
from airbench_lab.grading.submissions import find, read_roster, student_id

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


def test_an_archive_with_one_notebook_is_a_submission(hand_in, tmp_path):
    folder = hand_in("one.ipynb", student="cd2")
    inside = (folder / "one.ipynb").read_bytes()
    for name, n in ("single.zip", 1), ("double.zip", 2):
        with zipfile.ZipFile(folder / name, "w") as archive:
            for number in range(n):
                archive.writestr(f"folder/{number}.ipynb", inside)
            archive.writestr("__MACOSX/folder/._0.ipynb", b"what a Mac leaves there")
    (folder / "one.ipynb").unlink()
    assert notes(folder) == {"single.zip": "", "double.zip": submissions.CORRUPT}


def test_cells_that_otter_leaves_out_are_left_out(hand_in):
    folder = hand_in("one.ipynb", "kept = 1", "left_out = 1")
    notebook = nbformat.read(folder / "one.ipynb", as_version=4)
    notebook.cells[-1].metadata["tags"] = ["otter_ignore"]
    nbformat.write(notebook, folder / "one.ipynb")
    (one,) = find(folder, ["adding"])
    assert one.cells[1:] == ("kept = 1",)


def test_checkpoints_of_jupyter_are_no_submissions(hand_in):
    folder = hand_in("one.ipynb")
    hand_in(".ipynb_checkpoints/one-checkpoint.ipynb")
    assert list(notes(folder)) == ["one.ipynb"]


@pytest.mark.parametrize(
    ("cells", "found"),
    [
        (["student_id = 'a'", "student_id = 'b'"], "a"),
        (["this is no python", "x = 1\nstudent_id = 'a'  # mine"], "a"),
        (["student_id = input()"], ""),
        (["student_id = 5"], ""),
        (["# student_id = 'a'"], ""),
        ([], ""),
    ],
)
def test_the_id_is_read_without_running_anything(cells, found):
    assert student_id(cells) == found


def test_a_folder_that_holds_nothing_is_refused(tmp_path):
    with pytest.raises(UsageError, match=r"holds no \.ipynb"):
        find(tmp_path, ["adding"])
    with pytest.raises(UsageError, match="not a folder"):
        find(tmp_path / "nowhere", ["adding"])


@pytest.mark.parametrize(
    "text", ["id\nab1\ncd2\n", "ab1\ncd2", "Student ID,name\nab1,Ann\n\ncd2,Bob\n", "\ufeffab1\ncd2\n"]
)
def test_a_roster_is_the_first_column(tmp_path, text):
    (tmp_path / "roster.csv").write_text(text, encoding="utf-8")
    assert read_roster(tmp_path / "roster.csv") == ["ab1", "cd2"]


def test_a_roster_that_is_not_there_is_told_of(tmp_path):
    with pytest.raises(UsageError, match="cannot read the roster"):
        read_roster(tmp_path / "roster.csv")
