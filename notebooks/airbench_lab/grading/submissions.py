"""What is in a folder of submissions: of each file whose it is and for which assignment, or why that cannot be said."""

import csv
import hashlib
import io
import zipfile
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath

from airbench_core import UsageError
from airbench_lab.grading.cells import assignment_in, read_notebook, student_id
from airbench_lab.grading.personal import normal_id

LARGEST = 500_000_000  # bytes of a notebook: outputs can be pictures
# Files that somebody meant as a submission, though no notebook can be read from them.
MEANT = (".html", ".htm", ".pdf", ".py", ".tar", ".gz", ".tgz", ".bz2", ".xz", ".7z", ".rar")
# Why a submission is not simply graded. Those that can be graded are, all the same.
CORRUPT, NO_NOTEBOOK, NO_ID, UNKNOWN, DUPLICATE, OTHER = (
    "corrupt notebook",
    "not a notebook",
    "no student id",
    "unknown student",
    "duplicate",
    "not an assignment",
)


@dataclass(frozen=True)
class Submission:
    """A notebook that was handed in. file: its path below the folder, and in its archive. note: one of the words above,
    or nothing; details."""

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
        return self.note not in (CORRUPT, NO_NOTEBOOK, NO_ID, OTHER)


def find(
    folder: Path, assignments: Collection[str], roster: Collection[str] | None = None, *, without: Path | None = None
) -> list[Submission]:
    """What was handed in below `folder`, in the order of the names: notebooks, those in zip files, and what is neither.

    assignments: the names that are known. roster: the ids of all students, if they are known. without: a folder that
    is left out. Raises UsageError if there is nothing.
    """
    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder: name the one that holds the submissions")
    skipped = without.resolve() if without else None
    paths = [
        path
        for path in sorted(folder.rglob("*"))
        if path.is_file()
        and (_is_notebook(path.name) or path.suffix.lower() in (".zip", *MEANT))
        and not _hidden(path.relative_to(folder).parts)
        and skipped not in path.resolve().parents
    ]
    if not paths:
        raise UsageError(f"{folder} holds no .ipynb and no .zip file")
    found = [one for path in paths for one in _read(path, path.relative_to(folder).as_posix(), assignments)]
    return list(_noted(found, set(map(normal_id, roster)) if roster is not None else None))


def read_roster(path: Path) -> list[str]:
    """The ids in the first column of a table as spreadsheets save it, with commas, semicolons or tabs.

    A first line that says what the column is may be there.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise UsageError(f"cannot read the roster {path}: {error}") from error
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        text = content.decode("cp1252", errors="replace")  # an older Excel's
    first = text.partition("\n")[0]
    between = max(",;\t", key=first.count)
    ids = [row[0].strip() for row in csv.reader(io.StringIO(text), delimiter=between) if row and row[0].strip()]
    return ids[1:] if ids and ids[0].lower() in ("id", "student", "student_id", "student id") else ids


def key_of(*made_of: str) -> str:
    """A short name for what depends on these texts alone."""
    return hashlib.sha256("\n".join(made_of).encode(errors="surrogatepass")).hexdigest()[:24]


def _is_notebook(name: str) -> bool:
    """However a browser or a course's system may have changed it, as in `Work.IPYNB.txt`."""
    return ".ipynb" in name.lower()


def _hidden(parts: Collection[str]) -> bool:
    """Whether it is what programs leave beside the work: checkpoints, and a Mac's own."""
    return any(part.startswith(".") or part == "__MACOSX" for part in parts)


def _read(path: Path, file: str, assignments: Collection[str]) -> Iterator[Submission]:
    """The submission, or those of an archive."""
    plain, suffix = Submission(path, file), path.suffix.lower()
    try:
        if suffix == ".zip":
            with zipfile.ZipFile(path) as archive:
                inside = [
                    one
                    for one in archive.infolist()
                    if not one.is_dir()
                    and _is_notebook((inner := PurePosixPath(one.filename)).name)
                    and not _hidden(inner.parts)
                ]
                if not inside:
                    held = ", ".join(one.filename for one in archive.infolist())[:100] or "nothing"
                    yield replace(plain, note=NO_NOTEBOOK, details=f"no notebook in the archive, which holds {held}")
                for one in inside:
                    below = replace(plain, file=f"{file}/{one.filename}") if len(inside) > 1 else plain
                    try:
                        yield _understood(below, _bounded(one.file_size) and archive.read(one), assignments)
                    except Exception as error:
                        yield _corrupt(below, error)
        elif suffix in MEANT:
            yield replace(plain, note=NO_NOTEBOOK, details=f"a {suffix} file: the notebook itself (.ipynb) is needed")
        else:
            yield _understood(plain, _bounded(path.stat().st_size) and path.read_bytes(), assignments)
    except Exception as error:  # a file can be wrong in any way: none of them may stop the others
        yield _corrupt(plain, error)


def _bounded(size: int) -> bool:
    if size > LARGEST:
        raise ValueError(f"{size:,} bytes: at most {LARGEST:,}")
    return True


def _corrupt(submission: Submission, error: Exception) -> Submission:
    words = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return replace(submission, note=CORRUPT, details=words)


def _understood(submission: Submission, content: bytes, assignments: Collection[str]) -> Submission:
    cells, assignment = read_notebook(content)
    submission = replace(
        submission,
        digest=hashlib.sha256("\0".join(cells).encode(errors="surrogatepass")).hexdigest(),
        student=student_id(cells),
        assignment=assignment or assignment_in(cells, assignments),
        cells=cells,
    )
    if submission.assignment not in assignments:
        named = submission.assignment
        which = f"it is for {named!r}" if named else "it does not say for which assignment it is"
        return replace(submission, note=OTHER, details=f"{which}; there are {', '.join(sorted(assignments))}")
    if not submission.student:
        return replace(submission, note=NO_ID, details='no cell says student_id = "..."')
    return submission


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
