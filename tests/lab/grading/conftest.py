"""Notebooks as students hand them in, and an assignment that takes no training."""

import json
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import nbformat
import pytest
from airbench_lab.grading.marking import Assignment

TEST = """
from otter.test_files import test_case

OK_FORMAT = False
name = "q1"
points = 3

@test_case(points=1, hidden=False, success_message="It adds.", failure_message="It should add.")
def test_public(add):
    assert add(2, 3) == 5, "2 and 3 are 5."

@test_case(points=2, hidden=True, success_message="It adds your number.", failure_message="Look at your number.")
def test_hidden(add, mine):
    assert add(mine.seed, 1) == mine.seed + 1, "It is another one."
"""


@pytest.fixture
def assignments(tmp_path) -> Path:
    """The folder of generated assignments, with one, "adding": a function of two numbers, and a text to be read."""
    folder = tmp_path / "assignments"
    (folder / "adding" / "autograder").mkdir(parents=True)
    about = {"name": "adding", "digest": "1", "written": {"q2": 2.0}}
    (folder / "adding" / "assignment.json").write_text(json.dumps(about))
    with zipfile.ZipFile(folder / "adding" / "autograder" / "adding.zip", "w") as archive:
        archive.writestr("tests/q1.py", TEST)
    return folder


@pytest.fixture
def adding(assignments) -> Assignment:
    return Assignment(assignments / "adding")


@pytest.fixture
def hand_in(tmp_path) -> Callable[..., Path]:
    """Writes a notebook of these code cells into the folder of submissions, which is given."""
    folder = tmp_path / "handed in"
    folder.mkdir()

    def write(file: str, *cells: str, student: str | None = "ab1", assignment: str | None = "adding") -> Path:
        sources = [f'student_id = "{student}"', *cells] if student is not None else cells
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source) for source in sources])
        if assignment is not None:
            notebook.metadata["otter"] = {"assignment_name": assignment}
        path = folder / file
        path.parent.mkdir(exist_ok=True)
        nbformat.write(notebook, path)
        return folder

    return write


@pytest.fixture
def running() -> Callable[[str], int]:
    """How many processes of this machine have an argument on their command line."""

    def count(argument: str) -> int:
        found = 0
        for about in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):  # it may have ended
                found += argument.encode() in about.read_bytes().split(b"\0")
        return found

    return count
