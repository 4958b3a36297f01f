"""Nothing of a lesson is wider than a cell of JupyterLab 1280 pixels wide, where lines wrap or are cut off."""

import ast
import inspect
from pathlib import Path

import nbformat
import pytest

LESSONS = sorted((Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))
SOURCE = 96  # characters of a source that a cell prints: what is longer wraps in mid-word
CODE = 104  # characters of a line of code: what is longer runs out of its cell


def code(path: Path) -> list[str]:
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]
    return [cell.source for cell in cells]


def imported(sources: list[str]) -> dict:
    """The names that the cells import, but not what the preflight makes."""
    names: dict = {}
    for source in sources:
        for node in ast.parse(source).body:
            if isinstance(node, ast.Import) or (isinstance(node, ast.ImportFrom) and "preflight" not in node.module):
                exec(compile(ast.Module([node], []), "a lesson", "exec"), names)
    return names


@pytest.mark.parametrize("path", LESSONS[1:], ids=[path.stem for path in LESSONS[1:]])
def test_the_sources_that_it_prints_do_not_wrap(path, monkeypatch):
    printed, getsource = [], inspect.getsource
    sources = code(path)
    names = imported(sources)
    monkeypatch.setattr(inspect, "getsource", lambda thing: printed.append(getsource(thing)) or printed[-1])
    for source in sources:
        if "inspect.getsource(" in source:
            exec(source, names)
    assert printed
    assert not [line for source in printed for line in source.splitlines() if len(line) > SOURCE]


@pytest.mark.parametrize("path", LESSONS, ids=[path.stem for path in LESSONS])
def test_its_code_is_not_cut_off(path):
    assert not [line for source in code(path) for line in source.splitlines() if len(line) > CODE]
