"""One submission marked: otter's tests, hidden ones too, on what the student's code left in its sandbox."""

import inspect
import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airbench_core import AirbenchError, UsageError
from airbench_lab.grading.cells import read_notebook
from airbench_lab.grading.personal import personal
from airbench_lab.grading.process import Limits
from airbench_lab.grading.remote import NOT_WRITTEN, StudentError
from airbench_lab.grading.sandbox import Sandbox
from airbench_lab.grading.submissions import Submission
from airbench_lab.grading.training import ELSEWHERE

LONGEST, LONGEST_HIDDEN = 1500, 300  # characters of a message


@dataclass(frozen=True)
class Check:
    """One test of a question, and what it says of the answer."""

    name: str
    passed: bool
    hidden: bool
    message: str = ""


@dataclass(frozen=True)
class Question:
    """points: None where the teacher reads the answer."""

    name: str
    points: float | None
    possible: float
    checks: tuple[Check, ...] = ()


@dataclass(frozen=True)
class Marks:
    """What a submission was given. errors: what went wrong in which cell, counted from 1."""

    questions: tuple[Question, ...]
    errors: Mapping[int, str] = field(default_factory=dict)
    output: str = ""

    @property
    def points(self) -> float:
        return sum(question.points or 0 for question in self.questions)

    @property
    def possible(self) -> float:
        """Without what the teacher reads."""
        return sum(question.possible for question in self.questions if question.points is not None)


class Assignment:
    """A generated assignment: its tests, read once and kept in memory, so that nothing that happens later changes them.

    folder: as `make assignments` writes it, with assignment.json and autograder/*.zip.
    """

    def __init__(self, folder: Path):
        try:
            about = json.loads((folder / "assignment.json").read_text(encoding="utf-8"))
            (archive,) = (folder / "autograder").glob("*.zip")
            with zipfile.ZipFile(archive) as inside:
                self.tests = {
                    Path(name).name: inside.read(name).decode()
                    for name in sorted(inside.namelist())
                    if name.startswith("tests/") and name.endswith(".py")
                }
            given = [read_notebook(path.read_bytes())[0] for path in (folder / "student").glob("*.ipynb")]
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"{folder} holds no generated assignment ({error}): run `make assignments`") from error
        self.given = {cell for cells in given for cell in cells}  # the code that students begin with
        self.name: str = about["name"]
        self.digest: str = about["digest"]
        self.written: dict[str, float] = about["written"]  # the questions that the teacher reads, and their points

    def mark(
        self, submission: Submission, limits: Limits | None = None, environment: dict[str, str] | None = None
    ) -> Marks:
        """Run the submission's cells and all tests. Never raises for what the submission does."""
        with Sandbox(submission.cells, limits, environment=environment) as sandbox:
            try:
                names = sandbox.names()
                broken = ""
            except StudentError as error:
                names, broken = {}, str(error)
            # What it prints and raises from here on may be what the hidden tests give it.
            errors = {number + 1: error for number, error in sorted(sandbox.errors.items())}
            output = sandbox.printed()
            names |= {"student_id": submission.student, "mine": personal(submission.student, self.name)}
            trains_there = ELSEWHERE.set(sandbox.train)
            try:
                questions = [self._question(file, source, names, broken) for file, source in self.tests.items()]
            finally:
                ELSEWHERE.reset(trains_there)
            questions += [Question(name, None, points) for name, points in self.written.items()]
        return Marks(tuple(questions), errors, output)

    def _question(self, file: str, source: str, names: dict[str, Any], broken: str) -> Question:
        tests = _test_file(file, source)
        possible = float(tests.possible)
        if broken:
            checks = tuple(Check(case.name, False, case.hidden, broken) for case in tests.test_cases)
            return Question(tests.name, 0.0, possible, checks)
        from otter.test_files.abstract_test import TestCaseResult

        checks = tuple(_check(case, names) for case in tests.test_cases)
        tests.test_case_results = [
            TestCaseResult(case, check.message, check.passed)
            for case, check in zip(tests.test_cases, checks, strict=True)
        ]
        return Question(tests.name, float(tests.score), possible, checks)


def _check(case: Any, names: dict[str, Any]) -> Check:
    """One of otter's test cases on what a submission left."""
    said = case.failure_message or ""
    wanted = list(inspect.signature(case.body.test_func).parameters)
    if any(names.get(name) is ... for name in wanted):
        return Check(case.name, False, case.hidden, NOT_WRITTEN)
    if missing := [name for name in wanted if name not in names]:
        return Check(case.name, False, case.hidden, f"{said} No cell gives {' or '.join(missing)}.".strip())
    try:
        case.body.call_func(dict(names))
    except Exception as error:  # of a test, or whatever it met in what it was given
        if str(error) == NOT_WRITTEN:
            return Check(case.name, False, case.hidden, NOT_WRITTEN)
        reason = _reason(error, case.hidden)
        return Check(case.name, False, case.hidden, " ".join(part for part in (said, reason) if part)[:LONGEST])
    return Check(case.name, True, case.hidden, case.success_message or "")


def _reason(error: Exception, hidden: bool) -> str:
    """Why a check failed. Of an error in a student's function under a hidden test its kind alone: no inputs."""
    if isinstance(error, StudentError) and hidden and error.raised:
        return f"Your code raised {error.raised}; its words are not shown, since the inputs are hidden."
    known = isinstance(error, AssertionError | StudentError)
    words = str(error) if known else f"{type(error).__name__}: {error}"
    return words.splitlines()[0][:LONGEST_HIDDEN] if hidden and words else words


def assignments_in(folder: Path) -> dict[str, Assignment]:
    """All generated assignments in `folder`, by name. Raises UsageError if there is none."""
    found = [Assignment(path.parent) for path in sorted(folder.glob("*/assignment.json"))]
    if not found:
        raise UsageError(f"{folder} holds no generated assignments: run `make assignments`")
    return {assignment.name: assignment for assignment in found}


def _test_file(file: str, source: str) -> Any:
    """otter's test file, made from its text in memory."""
    try:
        from otter.nbmeta_config import NBMetadataConfig
        from otter.test_files import create_test_file
    except ImportError as error:
        raise AirbenchError("grading needs otter-grader: pip install -e '.[course]'") from error

    with tempfile.TemporaryDirectory(prefix="airbench-tests-") as folder:  # nobody else may look into it
        path = Path(folder) / file
        path.write_text(source, encoding="utf-8")
        return create_test_file(str(path), NBMetadataConfig())
