"""Generating: whole or not at all, from a source that says what it is."""

import json

import nbformat
import pytest
from airbench_lab.grading import generate

from airbench_core import UsageError


@pytest.fixture
def source(tmp_path):
    """Writes a copy of the first assignment, its raw cells changed."""

    def write(old="", new=""):
        notebook = nbformat.read(generate.sources()[0], as_version=4)
        for cell in notebook.cells:
            if cell.cell_type == "raw":
                cell.source = cell.source.replace(old, new) if old else cell.source
        path = tmp_path / "copy.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


def test_a_folder_has_both_versions_and_what_a_teacher_reads(source, tmp_path):
    place = generate.generate(source(), tmp_path / "into")
    assert sorted(path.name for path in place.iterdir()) == ["assignment.json", "autograder", "student"]
    about = json.loads((place / "assignment.json").read_text())
    assert about["written"]
    assert len(list((place / "autograder").glob("*.zip"))) == 1
    for version in "autograder", "student":  # by this nbconvert writes scripts as .py
        metadata = json.loads((place / version / "copy.ipynb").read_text())["metadata"]
        assert metadata["language_info"]["file_extension"] == ".py"
    again = generate.generate(source(), tmp_path / "into")  # in its place, with no second archive
    assert len(list((again / "autograder").glob("*.zip"))) == 1


def test_a_source_that_is_wrong_leaves_what_was_made_before(source, tmp_path):
    place = generate.generate(source(), tmp_path / "into")
    before = (place / "assignment.json").read_bytes()
    with pytest.raises(UsageError, match="otter assign says"):
        generate.generate(source("# END TESTS", ""), tmp_path / "into")
    with pytest.raises(UsageError, match="no cell # ASSIGNMENT CONFIG with a name"):
        generate.generate(source("name: ", "title: "), tmp_path / "into")
    assert (place / "assignment.json").read_bytes() == before
    assert [path.name for path in (tmp_path / "into").iterdir()] == ["copy"]
