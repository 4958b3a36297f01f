"""Generates the students' and the graders' versions of the assignments: `python -m airbench_lab.grading.generate`.

From each notebook in notebooks/assignments, by otter assign, into notebooks/assignments/generated/NAME: `student/`,
`autograder/` and assignment.json (its name, the digest of its source, the questions that a teacher reads).
"""

import hashlib
import json
import logging
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import nbformat
import yaml

from airbench_core import UsageError

SOURCES = Path(__file__).parents[2] / "assignments"
GENERATED = SOURCES / "generated"
QUESTION, CONFIG = "# BEGIN QUESTION", "# ASSIGNMENT CONFIG"


def generate(source: Path, into: Path) -> Path:
    """The assignment of the notebook `source`, generated into the folder `into`/NAME, which is given.

    What was there is replaced once all is made. Raises UsageError for a source that otter does not take.
    """
    from otter.assign import main as assign

    notebook = nbformat.read(source, as_version=4)
    about = next(_configs(notebook, CONFIG), None)
    if about is None or not about.get("name"):
        raise UsageError(f"{source} has no cell {CONFIG} with a name")
    into.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=into, prefix=".making-") as making:
        result = Path(making) / "all"
        copy = Path(making) / source.name  # otter works beside its source
        shutil.copy(source, copy)
        try:
            assign(str(copy), str(result), no_pdfs=True, no_run_tests=True)
        except Exception as error:
            raise UsageError(f"{source}: otter assign says {type(error).__name__}: {error}") from error
        for version in "student", "autograder":
            _use_checks(result / version / source.name, about["name"])
        written = {q["name"]: float(q.get("points", 1)) for q in _configs(notebook, QUESTION) if q.get("manual")}
        values = {"name": about["name"], "digest": hashlib.sha256(source.read_bytes()).hexdigest(), "written": written}
        (result / "assignment.json").write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
        place = into / source.stem
        if place.exists():
            shutil.rmtree(place)
        result.replace(place)
    return place


def _use_checks(path: Path, name: str) -> None:
    """Let the notebook's own checks be those of checks.py: it may be renamed, and they accept what the grader does."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        if cell.cell_type == "code" and "otter.Notebook(" in cell.source:
            cell.source = f'from airbench_lab.grading.checks import Notebook\n\ngrader = Notebook("{name}")'
    nbformat.write(notebook, path)


def sources() -> list[Path]:
    return sorted(SOURCES.glob("*.ipynb"))


def _configs(notebook: nbformat.NotebookNode, begin: str) -> Iterator[dict]:
    """The settings in the raw cells that begin so."""
    for cell in notebook.cells:
        if cell.cell_type == "raw" and cell.source.startswith(begin):
            yield yaml.safe_load(cell.source.removeprefix(begin)) or {}


def main() -> int:
    logging.getLogger("otter").setLevel(logging.WARNING)
    for source in sources():
        place = generate(source, GENERATED)
        print(f"{source.name}: {place / 'student'} for students, {place / 'autograder'} for `airbench grade`")
    return 0


if __name__ == "__main__":
    sys.exit(main())
