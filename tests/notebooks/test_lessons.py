"""The lessons as they are kept: run from top to bottom, all parts there, nothing that does not last, small enough."""

import ast
import base64
import inspect
import re
from pathlib import Path

import nbformat
import pytest
from airbench_lab.grading import generate
from airbench_lab.refresh import WIDGET, stripped
from nbconvert.exporters import ScriptExporter

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
MEGABYTE, FIGURE = 1_000_000, 60_000  # bytes
# Characters that fit a cell of JupyterLab 1280 pixels wide: a longer line of a source that a cell prints wraps in
# mid-word, a longer line of code runs out of its cell.
SOURCE, CODE = 96, 104
# Of lessons 01 to 12; 00 is the way in. Their order: test_second_edition.py.
PARTS = (
    "## Predict",
    "## The idea",
    "## Look inside",
    "## The code that runs",
    "## Write it yourself",
    "## Switch it",
    "## Measure it",
    "## Where it does not help",
    "## What you have seen",
    "## Questions",
)
by_name = pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
but_the_way_in = pytest.mark.parametrize("path", LESSONS[1:], ids=[path.stem for path in LESSONS[1:]])


def read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, as_version=4)


def code(path: Path) -> list[nbformat.NotebookNode]:
    return [cell for cell in read(path).cells if cell.cell_type == "code" and cell.source.strip()]


@by_name
def test_it_was_run_from_top_to_bottom_without_an_error(path):
    cells = code(path)
    assert [cell.execution_count for cell in cells] == list(range(1, len(cells) + 1)), "run `make notebooks`"
    assert not [output for cell in cells for output in cell.outputs if output.output_type == "error"]


@by_name
def test_nothing_is_kept_that_does_not_last(path):
    notebook = read(path)
    assert nbformat.writes(stripped(read(path))) == nbformat.writes(notebook), "run `make notebooks`"
    text = path.read_text(encoding="utf-8")
    assert WIDGET not in text
    assert not re.search(r'"/(home|root|tmp|Users|work)/', text)


@by_name
def test_it_is_small_enough_and_so_are_its_figures(path):
    text = path.read_text(encoding="utf-8")
    assert len(text) < MEGABYTE
    pictures = [*re.findall(r'data:image/png;base64,([^"\\]+)', text), *re.findall(r'"image/png": "([^"]+)"', text)]
    sizes = [len(base64.b64decode(picture.replace("\\n", ""))) for picture in pictures]
    assert sizes
    assert max(sizes) < FIGURE


@by_name
def test_it_reads_no_file_that_is_not_installed_with_the_package(path):
    for cell in code(path):
        assert "benchmarks" not in cell.source  # on Colab there is no clone, only what was installed


@by_name
def test_it_says_what_it_takes_and_gives(path):
    first = read(path).cells[0].source
    number = path.name[:2]
    assert first.startswith(f"# {number} · ")
    for promise in "**You will** ", "**You need** ", "**Time:** ":
        assert promise in first
    assert "GPU" in first


@but_the_way_in
def test_all_parts_are_there(path):
    notebook = read(path)
    headings = [line for cell in notebook.cells if cell.cell_type == "markdown" for line in cell.source.splitlines()]
    assert not [part for part in PARTS if not any(line.startswith(part) for line in headings)]
    text = "\n".join(cell.source for cell in notebook.cells)
    for piece in (
        "from airbench_lab.preflight import",
        "# NBVAL_CHECK_OUTPUT",
        "inspect.getsource(",
        "raise NotImplementedError",
        "check(",
        "Panel(",
        "<details>",
        "Stretch",
        "*Sources:",
    ):
        assert piece in text, piece


def imported(sources: list[str]) -> dict:
    """The names that the cells import, but not what the preflight makes."""
    names: dict = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and "preflight" not in node.module):
                exec(compile(ast.Module([node], []), "a lesson", "exec"), names)
    return names


@but_the_way_in
def test_the_sources_that_it_prints_do_not_wrap(path, monkeypatch):
    printed, getsource = [], inspect.getsource
    sources = [cell.source for cell in code(path)]
    names = imported(sources)
    monkeypatch.setattr(inspect, "getsource", lambda thing: printed.append(getsource(thing)) or printed[-1])
    for source in sources:
        if "inspect.getsource(" in source:
            exec(source, names)
    assert printed
    assert not [line for source in printed for line in source.splitlines() if len(line) > SOURCE]


@by_name
def test_its_code_is_not_cut_off(path):
    assert not [line for cell in code(path) for line in cell.source.splitlines() if len(line) > CODE]


@pytest.mark.parametrize("path", [*LESSONS, *generate.sources()], ids=lambda path: path.stem)
def test_nbconvert_writes_it_as_a_python_script(path):
    """By the notebook's own word: without the extension it would be .txt."""
    _, resources = ScriptExporter().from_notebook_node(read(path))
    assert resources["output_extension"] == ".py"


def test_the_numbers_of_the_lessons_have_no_gap():
    assert [int(path.name[:2]) for path in LESSONS] == list(range(len(LESSONS)))
