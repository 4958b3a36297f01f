"""A student's own checks: the grader's rule, in a notebook of any name."""

import json
import os

import nbformat
import numpy as np
import pytest
from airbench_lab.grading import generate
from airbench_lab.grading.checks import Notebook, as_graded

from airbench_core import Parts, UsageError


@pytest.fixture
def student(tmp_path, monkeypatch):
    """The folder of a student who has the first assignment, whitening's neighbour in the alphabet, and renamed it."""
    place = generate.generate(generate.SOURCES / "whitening.ipynb", tmp_path / "made")
    folder = tmp_path / "student"
    folder.mkdir()
    (place / "student" / "whitening.ipynb").rename(folder / "Ann's whitening (2).ipynb")
    (folder / "other.ipynb").write_text(json.dumps({"cells": [], "metadata": {"otter": {"assignment_name": "tta"}}}))
    (folder / "broken.ipynb").write_text("{")
    monkeypatch.chdir(folder)
    return folder


def test_a_renamed_notebook_is_checked_by_its_first_cell(student):
    notebook = nbformat.read(student / "Ann's whitening (2).ipynb", as_version=4)
    names = {"my_condition": np.float32(40.0), "my_directions": np.int64(5)}
    exec(notebook.cells[0].source, names)
    result = names["grader"].check("q2", names)
    assert result.test_case_results[0].passed  # as the grader would: it gets 40.0 and 5
    assert not names["grader"].check("q2", names | {"my_directions": np.int64(50)}).test_case_results[0].passed
    exec("result = grader.check('q2')", names)
    assert names["result"].test_case_results[0].passed


def test_a_folder_without_the_notebook_says_so(student):
    with pytest.raises(UsageError, match="no notebook of the assignment flip lies in"):
        Notebook("flip")
    os.remove("other.ipynb")


def test_answers_are_as_a_grader_gets_them():
    assert type(as_graded(np.int64(5))) is int
    assert as_graded((np.float64(0.5), [np.bool_(True)])) == (0.5, [True])
    assert as_graded(lambda x: np.int64(x))(3) == 3
    assert type(as_graded(lambda: np.int64(3))()) is int
    for kept in (..., Parts(), int, object()):
        assert as_graded(kept) is kept
