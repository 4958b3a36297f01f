"""A folder graded: the table, the pages, going on after an interruption, and nobody harming anybody."""

import csv
import re
import time
import zipfile
from contextlib import contextmanager

import pytest
from airbench_lab.grading import folder, training
from airbench_lab.grading.marking import Assignment, assignments_in
from airbench_lab.grading.process import Limits
from airbench_lab.grading.sandbox import Sandbox
from airbench_lab.grading.submissions import find

from airbench_core import AirbenchError

RIGHT = "def add(a, b):\n    return a + b"
LIMITS = Limits(seconds=4, training=8, total=60)
MISBEHAVING = {
    "endless loop": ("while True: pass", "not done after 8 s"),
    "error at import": ("import no_such_module", "ModuleNotFoundError"),
    "exit": ("exit()", "called exit()"),
    "hard exit": ("import os; os._exit(0)", "ended its own process"),
    "huge allocation": ("import torch; torch.ones(10**12)", "memory"),
    "writes outside": ("open('/usr/harm', 'w')", "Error: [Errno"),
    "prints a megabyte": ("print('x' * 1_000_000)", None),
    "tampers": ("import otter, torch; torch.equal = lambda *a: True; otter.Notebook = None", None),
}


@pytest.fixture
def grade(assignments, hand_in):
    """Grades what was handed in; gives the rows, what was said, and the table's path."""

    def run(handed_in, **options):
        known, said = assignments_in(assignments), []
        out = handed_in.parent / "grades.csv"
        options = {"scale": "smoke", "limits": LIMITS, "jobs": 2} | options
        rows = folder.grade(find(handed_in, known, options.pop("roster", None)), known, out, say=said.append, **options)
        return {row["file"]: row for row in rows}, said, out

    return run


def page_of(out, file):
    """The page for a file, of which there is one."""
    name = re.sub(r"[^\w.-]+", "_", file)
    (page,) = (out.parent / "grades-feedback").glob(f"*--{name}-*.html")
    return page.read_text(encoding="utf-8")


def test_each_that_misbehaves_is_graded_with_a_reason_and_harms_nobody(grade, hand_in):
    for number, (name, (cell, _)) in enumerate(MISBEHAVING.items()):
        handed_in = hand_in(f"{name}.ipynb", cell, RIGHT, student=f"s{number}")
    hand_in("z last.ipynb", RIGHT, student="good")
    rows, said, out = grade(handed_in)
    assert {row["points"] for row in rows.values()} == {"3"}  # all but the bad cell is as it should be
    assert len(said) == len(rows)
    for name, (_, reason) in MISBEHAVING.items():
        page = page_of(out, f"{name}.ipynb")
        assert "<strong>3 of 3 points" in page
        assert (reason or "") in page
        assert ("Cells that raised an error" in page) == (reason is not None)
        assert len(page) < 5000


def test_the_table_lists_all_with_points_and_reasons(grade, hand_in):
    handed_in = hand_in("a.ipynb", RIGHT)
    hand_in("b.ipynb", "def add(a, b):\n    return 5", student="=cd2")
    hand_in("c.ipynb", student="")
    (handed_in / "d.ipynb").write_text("{")
    rows, said, out = grade(handed_in, roster=["ab1"])
    with out.open(newline="", encoding="utf-8") as file:
        read = {row["file"]: row for row in csv.DictReader(file)}
    assert [row["status"] for row in read.values()] == [
        "graded",
        "unknown student",
        "no student id",
        "corrupt notebook",
    ]
    assert [row["points"] for row in read.values()] == ["3", "1", "", ""]
    assert read["a.ipynb"]["q1"] == "3"
    assert read["a.ipynb"]["to be read"] == "q2:2"
    assert read["b.ipynb"]["student"] == "'=cd2"  # a spreadsheet would run it as a formula
    assert set(rows) == set(read)
    assert len(said) == 4
    assert "corrupt" in page_of(out, "d.ipynb").lower()


def test_what_was_graded_is_not_graded_again_but_what_changed_is(grade, hand_in):
    handed_in = hand_in("a.ipynb", RIGHT)
    hand_in("b.ipynb", RIGHT, student="cd2")
    grade(handed_in)
    hand_in("b.ipynb", "def add(a, b):\n    return 5", student="cd2")
    rows, said, out = grade(handed_in)
    assert said[0].startswith("1 of 2 were graded before")
    assert len(said) == 2
    assert (rows["a.ipynb"]["points"], rows["b.ipynb"]["points"]) == ("3", "1")
    assert "1 of 3 points" in page_of(out, "b.ipynb")


def test_on_other_pictures_all_is_graded_again(grade, hand_in, monkeypatch, noise):
    handed_in = hand_in("a.ipynb", RIGHT)
    grade(handed_in)
    monkeypatch.setattr(training, "_data", lambda: noise)
    _, said, _ = grade(handed_in)
    assert said[0].lstrip().startswith("1 a.ipynb: 3 of 3")


@pytest.fixture
def failing(monkeypatch):
    """In such a block marking the file raises the error."""

    @contextmanager
    def block(file, error):
        honest = Assignment.mark

        def mark(self, submission, *rest):
            if submission.file == file:
                raise error
            return honest(self, submission, *rest)

        with monkeypatch.context() as patch:
            patch.setattr(Assignment, "mark", mark)
            yield

    return block


def test_a_kill_in_the_middle_loses_nothing_that_was_graded(grade, hand_in, failing):
    handed_in = hand_in("a.ipynb", RIGHT)
    hand_in("b.ipynb", RIGHT, student="cd2")
    with failing("b.ipynb", KeyboardInterrupt()), pytest.raises(KeyboardInterrupt):
        grade(handed_in, jobs=1)
    table = (handed_in.parent / "grades.csv").read_text(encoding="utf-8")
    assert "not graded yet" in table
    rows, said, _ = grade(handed_in)
    assert said[0].startswith("1 of 2 were graded before")
    assert {row["status"] for row in rows.values()} == {"graded"}


def test_who_stops_it_waits_for_no_submission_and_it_gets_no_marks(grade, hand_in, monkeypatch):
    handed_in = hand_in("a.ipynb", "while True: pass")
    hand_in("b.ipynb", RIGHT, student="cd2")
    honest = Assignment.mark

    def mark(self, submission, *rest):
        while submission.file == "b.ipynb":
            time.sleep(0.1)
            if any(one._process for one in Sandbox.in_use):
                raise KeyboardInterrupt
        return honest(self, submission, *rest)

    monkeypatch.setattr(Assignment, "mark", mark)
    started = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        grade(handed_in, limits=Limits(training=60, total=120))
    assert time.monotonic() - started < 40
    assert (handed_in.parent / "grades.jsonl").read_text() == ""
    assert (handed_in.parent / "grades.csv").read_text(encoding="utf-8").count("not graded yet") == 2


def test_a_defect_of_a_test_is_told_and_the_others_are_graded(grade, hand_in, failing):
    handed_in = hand_in("a.ipynb", RIGHT)
    hand_in("b.ipynb", RIGHT, student="cd2")
    with failing("a.ipynb", RuntimeError("a defect")):
        rows, _, _ = grade(handed_in)
    assert rows["a.ipynb"]["status"] == folder.FAILED
    assert rows["a.ipynb"]["details"] == "RuntimeError: a defect"
    assert rows["b.ipynb"]["points"] == "3"
    rows, _, _ = grade(handed_in)  # and it is tried again
    assert rows["a.ipynb"]["points"] == "3"


def test_a_place_that_cannot_be_written_is_told_before_anything_is_graded(grade, hand_in, assignments):
    handed_in = hand_in("a.ipynb", RIGHT)
    known = assignments_in(assignments)
    with pytest.raises(AirbenchError, match="cannot write"):
        folder.grade(find(handed_in, known), known, handed_in / "no" / "such" / "grades.csv", scale="smoke")


def test_a_log_of_another_kind_is_left_as_it_is(grade, hand_in):
    handed_in = hand_in("a.ipynb", RIGHT)
    log = handed_in.parent / "grades.jsonl"
    log.write_text('{"recipe": {}}\n')
    with pytest.raises(AirbenchError, match=r"grades\.jsonl is another kind of log \(line 1 has no key\): .*--out"):
        grade(handed_in)
    assert log.read_text() == '{"recipe": {}}\n'


def test_each_file_has_a_page_of_its_own(grade, hand_in):
    handed_in = hand_in("a/b.ipynb", RIGHT)
    hand_in("a_b.ipynb", "def add(a, b):\n    return 5", student="cd2")
    hand_in("same.ipynb", RIGHT, student="ab1")
    with zipfile.ZipFile(handed_in / "same.zip", "w") as archive:
        archive.write(handed_in / "a_b.ipynb", "work.ipynb")
    _, _, out = grade(handed_in)
    pages = [path.read_text(encoding="utf-8") for path in (out.parent / "grades-feedback").iterdir()]
    assert len(pages) == 4
    assert sorted(("Student: ab1" in page, "3 of 3 points" in page) for page in pages) == 2 * [(False, False)] + 2 * [
        (True, True)
    ]


def test_what_is_alike_is_listed(grade, hand_in):
    long = "def add(a, b):\n    total = a\n    total = total + b\n    return total if total else 0"
    handed_in = hand_in("a.ipynb", long)
    hand_in("b.ipynb", f"'all my own work'\n# mine\n{long.replace('    ', '        ')}", student="cd2")
    hand_in("c.ipynb", RIGHT, student="ef3")
    hand_in("again.ipynb", long)
    rows, _, _ = grade(handed_in)
    assert rows["b.ipynb"]["alike"] == "a.ipynb (1 of 1 cells), again.ipynb (1 of 1 cells)"
    assert rows["a.ipynb"]["alike"] == "b.ipynb (1 of 1 cells)"
    assert rows["c.ipynb"]["alike"] == ""
    assert rows["b.ipynb"]["points"] == "3"
