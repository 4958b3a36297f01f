"""One submission marked: otter's tests, hidden ones too, on what the student's code left in its sandbox."""

import json
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from airbench_core import AirbenchError, UsageError
from airbench_lab.grading.personal import personal
from airbench_lab.grading.process import Limits
from airbench_lab.grading.remote import NOT_WRITTEN, StudentError
from airbench_lab.grading.sandbox import Sandbox
from airbench_lab.grading.submissions import Submission
from airbench_lab.grading.training import ELSEWHERE

LONGEST = 1500  # characters of a message


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
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise UsageError(f"{folder} holds no generated assignment ({error}): run `make assignments`") from error
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
            names |= {"student_id": submission.student, "mine": personal(submission.student, self.name)}
            trains_there = ELSEWHERE.set(sandbox.train)
            try:
                questions = [self._question(file, source, names, broken) for file, source in self.tests.items()]
            finally:
                ELSEWHERE.reset(trains_there)
            questions += [Question(name, None, points) for name, points in self.written.items()]
            errors = {number + 1: error for number, error in sorted(sandbox.errors.items())}
        return Marks(tuple(questions), errors, sandbox.output)

    def _question(self, file: str, source: str, names: dict[str, Any], broken: str) -> Question:
        tests = _test_file(file, source)
        possible = float(tests.possible)
        if broken:
            checks = tuple(Check(case.name, False, case.hidden, broken) for case in tests.test_cases)
            return Question(tests.name, 0.0, possible, checks)
        tests.run(dict(names))
        checks = tuple(
            Check(
                result.test_case.name,
                result.passed,
                result.test_case.hidden,
                (result.test_case.success_message or "") if result.passed else _message(result),
            )
            for result in tests.test_case_results
        )
        return Question(tests.name, float(tests.score), possible, checks)


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


def _message(result: Any) -> str:
    """What the test's author has to say, and what was wrong, without the test's own lines."""
    said = result.test_case.failure_message or ""
    raised = (result.message or "").strip().splitlines()
    last = raised[-1] if raised else ""
    kind, _, words = last.partition(": ")
    if words == NOT_WRITTEN:
        return words
    reason = words if kind in ("AssertionError", "StudentError", "Ended") else last
    return " ".join(part for part in (said, reason) if part)[:LONGEST]
