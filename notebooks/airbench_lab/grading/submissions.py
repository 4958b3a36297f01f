"""What is in a folder of submissions: of each file whose it is and for which assignment, or why that cannot be said."""

import ast
import csv
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat

from airbench_core import UsageError
from airbench_lab.grading.personal import normal_id

LARGEST = 50_000_000  # bytes of a notebook
# Why a submission is not simply graded. Those that can be graded are, all the same.
CORRUPT, NO_ID, UNKNOWN, DUPLICATE, OTHER = (
    "corrupt notebook",
    "no student id",
    "unknown student",
    "duplicate",
    "not an assignment",
)


@dataclass(frozen=True)
class Submission:
    """A file that was handed in. file: its path below the folder. note: one of the words above, or nothing; details."""

    path: Path
    file: str
    digest: str = ""
    student: str = ""
    assignment: str = ""
    cells: tuple[str, ...] = ()  # the sources of the code cells
    note: str = ""
    details: str = ""

    @property
    def can_be_graded(self) -> bool:
        return self.note not in (CORRUPT, NO_ID, OTHER)


def find(folder: Path, assignments: Collection[str], roster: Collection[str] | None = None) -> list[Submission]:
    """The notebooks and zip files (with one notebook each) below `folder`, in the order of their names.

    assignments: the names that are known. roster: the ids of all students, if they are known. Raises UsageError if
    there is nothing.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the one that holds the submissions")
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix.lower() in (".ipynb", ".zip")]
    paths = [path for path in paths if not any(part.startswith(".") or part == "__MACOSX" for part in path.parts)]
    if not paths:
        raise UsageError(f"{folder} holds no .ipynb and no .zip file")
    found = [_read(path, path.relative_to(folder).as_posix(), assignments) for path in paths]
    return list(_noted(found, set(map(normal_id, roster)) if roster is not None else None))


def read_roster(path: Path) -> list[str]:
    """The ids in the first column of a CSV file; a first line that says what the column is may be there."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            ids = [row[0].strip() for row in csv.reader(file) if row and row[0].strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read the roster {path}: {error}") from error
    return ids[1:] if ids and ids[0].lower() in ("id", "student", "student_id", "student id") else ids


def key_of(*made_of: str) -> str:
    """A short name for what depends on these texts alone."""
    return hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:24]


def student_id(cells: Collection[str]) -> str:
    """The text that the first assignment `student_id = "..."` gives; nothing if there is none."""
    for source in cells:
        try:
            tree = ast.parse(source)
        except SyntaxError:
            continue
        for node in tree.body:
            targets = node.targets if isinstance(node, ast.Assign) else []
            if any(isinstance(target, ast.Name) and target.id == "student_id" for target in targets):
                value = node.value.value if isinstance(node.value, ast.Constant) else ""
                return normal_id(value) if isinstance(value, str) else ""
    return ""


def _read(path: Path, file: str, assignments: Collection[str]) -> Submission:
    submission = Submission(path, file)
    try:
        content = _notebook_in(path)
        notebook = nbformat.reads(content.decode("utf-8"), as_version=4)
        nbformat.validate(notebook)
        cells = tuple(str(cell.source) for cell in notebook.cells if cell.cell_type == "code" and not _is_a_check(cell))
        about = notebook.metadata.get("otter", {})
        assignment = str(about.get("assignment_name", "")) if isinstance(about, dict) else ""
    except Exception as error:  # a file can be wrong in any way: none of them may stop the others
        return replace(submission, note=CORRUPT, details=" ".join(f"{type(error).__name__}: {error}".split())[:200])
    submission = replace(
        submission,
        digest=hashlib.sha256(content).hexdigest(),
        student=student_id(cells),
        assignment=assignment,
        cells=cells,
    )
    if assignment not in assignments:
        which = f"it is for {assignment!r}" if assignment else "it does not say for which assignment it is"
        return replace(submission, note=OTHER, details=f"{which}; there are {', '.join(sorted(assignments))}")
    if not submission.student:
        return replace(submission, note=NO_ID, details='no cell says student_id = "..."')
    return submission


def _notebook_in(path: Path) -> bytes:
    if path.suffix.lower() == ".ipynb":
        if path.stat().st_size > LARGEST:
            raise ValueError(f"{path.stat().st_size:,} bytes: at most {LARGEST:,}")
        return path.read_bytes()
    with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
        inside = [
            one for one in archive.infolist() if one.filename.endswith(".ipynb") and "__MACOSX" not in one.filename
        ]
        if len(inside) != 1:
            raise ValueError(f"{len(inside)} notebooks in the archive: exactly one is needed")
        if inside[0].file_size > LARGEST:
            raise ValueError(f"{inside[0].file_size:,} bytes: at most {LARGEST:,}")
        return archive.read(inside[0])


def _is_a_check(cell: nbformat.NotebookNode) -> bool:
    """Whether otter says that a grader leaves this cell out."""
    about = cell.metadata.get("otter", {})
    return bool("otter_ignore" in cell.metadata.get("tags", []) or (isinstance(about, dict) and about.get("ignore")))


def _noted(found: list[Submission], roster: set[str] | None) -> Iterator[Submission]:
    times = Counter((one.student, one.assignment) for one in found if not one.note)
    for one in found:
        if one.note:
            yield one
        elif roster is not None and one.student not in roster:
            yield replace(one, note=UNKNOWN, details=f"{one.student} is not on the roster")
        elif times[one.student, one.assignment] > 1:
            others = [
                o.file for o in found if o is not one and (o.student, o.assignment) == (one.student, one.assignment)
            ]
            yield replace(one, note=DUPLICATE, details=f"also {', '.join(others)}")
        else:
            yield one
