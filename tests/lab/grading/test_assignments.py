"""Each assignment graded: its solution, the empty version, and wrong ones, all with the marks they should get."""

import os
import tomllib
from pathlib import Path

import nbformat
import pytest
from airbench_lab.grading import folder, generate, marking, submissions
from airbench_lab.grading.process import Limits

SOURCES = generate.sources()
NAMES = [source.stem for source in SOURCES]
WRONG = {
    path.stem: tomllib.loads(path.read_text(encoding="utf-8"))["wrong"]
    for path in sorted((Path(__file__).parent / "wrong").glob("*.toml"))
}
by_name = pytest.mark.parametrize("name", NAMES)
each_wrong = pytest.mark.parametrize(
    ("name", "wrong"),
    [pytest.param(name, one, id=f"{name}: {one['name']}") for name in NAMES for one in WRONG.get(name, [])],
)
pytestmark = pytest.mark.timeout(2700)  # the first test waits until all are graded


@pytest.fixture(scope="module")
def generated(tmp_path_factory) -> Path:
    into = tmp_path_factory.mktemp("generated")
    for source in SOURCES:
        generate.generate(source, into)
    return into


@pytest.fixture(scope="module")
def graded(generated, tmp_path_factory) -> dict[str, marking.Marks]:
    """The marks of all submissions, by file."""
    handed_in = tmp_path_factory.mktemp("handed-in")
    for name in NAMES:
        solution = nbformat.read(generated / name / "autograder" / f"{name}.ipynb", as_version=4)
        nbformat.write(solution, handed_in / f"{name}-solution.ipynb")
        student = nbformat.read(generated / name / "student" / f"{name}.ipynb", as_version=4)
        nbformat.write(
            changed(student, [['student_id = ""', 'student_id = "empty"']]), handed_in / f"{name}-empty.ipynb"
        )
        for number, one in enumerate(WRONG[name]):
            here = [['student_id = "solution"', f'student_id = "wrong {number}"'], *one["change"]]
            nbformat.write(changed(solution, here), handed_in / f"{name}-wrong-{number}.ipynb")
    assignments = marking.assignments_in(generated)
    found = submissions.find(handed_in, assignments)
    out = handed_in / "grades.csv"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRBENCH_SCALE", "smoke")
        rows = folder.grade(found, assignments, out, scale="smoke", jobs=os.cpu_count() or 1, limits=Limits())
    assert {row["status"] for row in rows} == {"graded"}
    records = folder.lines.load(out.with_suffix(".jsonl"))
    return {record["file"].removesuffix(".ipynb"): folder.marks_from(record["marks"]) for record in records}


def changed(notebook, changes):
    """A copy with texts replaced in its code; each has to be there."""
    text = nbformat.from_dict(notebook)
    sources = [cell.source for cell in text.cells]
    for old, new in changes:
        assert any(old in source for source in sources), f"nowhere: {old}"
        sources = [source.replace(old, new) for source in sources]
    copy = nbformat.reads(nbformat.writes(text), as_version=4)
    for cell, source in zip(copy.cells, sources, strict=True):
        cell.source = source
    return copy


def points(marks):
    return {question.name: question.points for question in marks.questions if question.points is not None}


@pytest.mark.slow
@by_name
def test_the_solution_has_full_marks(graded, name):
    marks = graded[f"{name}-solution"]
    failed = [check for question in marks.questions for check in question.checks if not check.passed]
    assert not failed
    assert marks.points == marks.possible > 0
    assert not marks.errors


@pytest.mark.slow
@by_name
def test_the_empty_version_has_no_marks_and_fails_on_tests_alone(graded, name):
    marks = graded[f"{name}-empty"]
    assert marks.points == 0
    assert all(check.message for question in marks.questions for check in question.checks if not check.passed)
    # Its own cells work but for what is not written: nothing of the set-up is missing.
    assert all(error.startswith("NotImplementedError") for error in marks.errors.values()), marks.errors


@pytest.mark.slow
@each_wrong
def test_a_wrong_one_has_the_marks_it_should_have(graded, name, wrong):
    marks = graded[f"{name}-wrong-{WRONG[name].index(wrong)}"]
    said = [check.message for question in marks.questions for check in question.checks if not check.passed]
    assert points(marks) == pytest.approx(wrong["marks"]), said
    assert all(said)


@pytest.mark.slow
@by_name
def test_it_has_three_to_five_questions_of_which_one_is_read(name, graded):
    questions = graded[f"{name}-solution"].questions
    assert 3 <= len(questions) <= 5
    assert sum(question.points is None for question in questions) == 1
    assert any(check.hidden for question in questions for check in question.checks)
    assert any(not check.hidden for question in questions for check in question.checks)


@by_name
def test_students_get_neither_solutions_nor_hidden_tests(generated, name):
    text = (generated / name / "student" / f"{name}.ipynb").read_text(encoding="utf-8")
    source = generate.SOURCES / f"{name}.ipynb"
    for cell in nbformat.read(source, as_version=4).cells:
        if cell.cell_type == "code" and "hidden: true" in cell.source:
            hidden_test = next(line for line in cell.source.splitlines() if line.startswith("def ")).split("(")[0] + "("
            assert hidden_test not in text
    assert "BEGIN SOLUTION" not in text
    assert "raise NotImplementedError" in text
    assert [path.name for path in (generated / name / "student").iterdir()] == [f"{name}.ipynb"]


@by_name
def test_no_line_of_code_runs_out_of_its_cell(generated, name):
    student = nbformat.read(generated / name / "student" / f"{name}.ipynb", as_version=4)
    lines = [line for cell in student.cells if cell.cell_type == "code" for line in cell.source.splitlines()]
    assert [line for line in lines if len(line) > 104] == []  # as in the lessons: tests/notebooks/test_width.py


@pytest.mark.slow
@by_name
def test_it_says_how_much_it_is_worth(graded, generated, name):
    """The points in the text are those that are given."""
    text = (generated / name / "student" / f"{name}.ipynb").read_text(encoding="utf-8")
    marks = graded[f"{name}-solution"]
    assert f", {sum(question.possible for question in marks.questions):g} points, " in text
    for question in marks.questions:
        assert f"({question.possible:g} points" in text


@pytest.mark.parametrize("source", SOURCES, ids=NAMES)
def test_it_has_two_wrong_submissions_or_more_whose_changes_are_of_what_it_says(source):
    wrong = WRONG[source.stem]
    assert len(wrong) >= 2
    for one in wrong:
        assert changed(nbformat.read(source, as_version=4), one["change"])
