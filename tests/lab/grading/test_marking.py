"""Marks: otter's tests on what a submission left, whatever it tries."""

import pytest
from airbench_lab.grading.marking import Assignment, assignments_in
from airbench_lab.grading.personal import personal
from airbench_lab.grading.process import Limits
from airbench_lab.grading.submissions import find

from airbench_core import UsageError

LIMITS = Limits(seconds=5, training=10, total=60)
RIGHT = "def add(a, b):\n    return a + b"
WRONG = "def add(a, b):\n    return 5"
TAMPERING = """
import torch, gc, sys, types
torch.allclose = torch.equal = lambda *_, **__: True
class Everything(int):
    def __eq__(self, other): return True
    def __hash__(self): return 0
mine = None
try:
    from otter.test_files import ExceptionTestFile
    ExceptionTestFile.run = lambda self, env: None
except ImportError:
    pass
def add(a, b):
    return Everything(5)
"""


@pytest.fixture
def marked(hand_in, adding):
    """The marks of a submission with these cells."""

    def mark(*cells):
        folder = hand_in("one.ipynb", *cells)
        (one,) = find(folder, ["adding"])
        return adding.mark(one, LIMITS)

    return mark


def checks(marks):
    return {check.name: (check.passed, check.message) for question in marks.questions for check in question.checks}


def test_what_is_right_has_all_points_but_those_that_a_teacher_gives(marked):
    marks = marked(RIGHT)
    assert (marks.points, marks.possible) == (3, 3)
    assert [(question.name, question.points, question.possible) for question in marks.questions] == [
        ("q1", 3, 3),
        ("q2", None, 2),
    ]
    assert checks(marks) == {"q1 - 1": (True, "It adds."), "q1 - 2": (True, "It adds your number.")}


def test_a_part_has_its_points_and_the_rest_a_reason(marked):
    marks = marked(WRONG)
    assert marks.points == 1
    assert checks(marks)["q1 - 2"] == (False, "Look at your number. It is another one.")


def test_what_is_not_written_says_just_that(marked):
    marks = marked("def add(a, b):\n    raise NotImplementedError")
    assert marks.points == 0
    assert {message for _, message in checks(marks).values()} == {"not written yet"}


@pytest.mark.parametrize("cell", ["add = ...", "def add(a, b):\n    ...\n    return ...", "def add(a, b): return ..."])
def test_an_empty_answer_is_not_written_either(marked, cell):
    assert set(checks(marked(cell)).values()) == {(False, "not written yet")}


def test_what_pytorch_has_not_written_is_no_empty_answer(marked):
    cell = "def add(a, b):\n    raise NotImplementedError('no kernel')"
    told = {message for _, message in checks(marked(cell)).values()}
    assert not any("not written yet" in one for one in told)
    assert any("NotImplementedError" in one for one in told)


def test_a_name_that_is_missing_is_named(marked):
    marks = marked("x = 1")
    assert marks.points == 0
    assert checks(marks)["q1 - 1"] == (False, "It should add. No cell gives add.")


def test_an_error_is_told_from_its_first_line_on(marked):
    marks = marked("def add(a, b):\n    raise ValueError('first\\nsecond')")
    assert checks(marks)["q1 - 1"] == (False, "It should add. ValueError: first\nsecond (cell 2, line 2)")


LEAK = """
print("in a cell")
class Secret(Exception): pass
def add(a, b):
    print("inputs", a, b)
    error = type(f"Leak{a}", (Exception,), {}) if b == 1 else ValueError
    raise error(f"inputs {a} and {b}")
"""


def test_hidden_inputs_do_not_come_out(marked):
    marks = marked(LEAK)
    number = str(personal("ab1", "adding").seed)
    assert "in a cell" in marks.output
    assert "inputs" not in marks.output
    assert "inputs 2 and 3" in checks(marks)["q1 - 1"][1]
    assert number not in checks(marks)["q1 - 2"][1]
    assert "an error of its own" in checks(marks)["q1 - 2"][1]


def test_tests_that_are_tampered_with_give_nothing(marked):
    assert marked(TAMPERING).points == 1  # what the function gives for 2 and 3 really is 5


def test_a_submission_that_cannot_be_run_has_no_marks_and_a_reason(marked):
    marks = marked(*["import os\nos._exit(1)"] * 6, RIGHT)
    assert marks.points == 0
    assert all("ended or blocked its process" in message for _, message in checks(marks).values())


def test_later_changes_of_the_generated_folder_change_nothing(assignments, hand_in):
    folder = hand_in("one.ipynb", WRONG)
    (one,) = find(folder, ["adding"])
    adding = Assignment(assignments / "adding")
    for path in (assignments / "adding" / "autograder").iterdir():
        path.unlink()
    assert adding.mark(one, LIMITS).points == 1


def test_assignments_that_were_not_generated_are_asked_for(tmp_path, assignments):
    assert set(assignments_in(assignments)) == {"adding"}
    with pytest.raises(UsageError, match="run `make assignments`"):
        assignments_in(tmp_path)
    (assignments / "adding" / "autograder" / "adding.zip").write_bytes(b"no archive")
    with pytest.raises(UsageError, match="run `make assignments`"):
        assignments_in(assignments)
