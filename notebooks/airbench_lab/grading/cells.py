"""The code of notebooks, read from whatever somebody saved: nothing is run."""

import ast
import json
from collections.abc import Collection, Iterator, Sequence
from typing import Any

from IPython.core.inputtransformer2 import TransformerManager

from airbench_lab.grading.personal import normal_id

RUN_HERE = ("time", "capture", "prun")  # the cell magics whose body is code of this notebook, that keeps its names


def read_notebook(content: bytes) -> tuple[tuple[str, ...], str]:
    """The sources of its code cells, and the assignment that its metadata name. Raises ValueError for what is none.

    No more than that is looked at: outputs, numbers and versions may be as they like. UTF-8, 16 or 32, with BOM or not.
    """
    notebook = json.loads(content)
    if not isinstance(notebook, dict):
        raise ValueError("not a notebook")
    sheets = [notebook, *filter(_is_dict, notebook.get("worksheets") or [])]  # as before nbformat 4
    found = [cell for sheet in sheets for cell in sheet.get("cells") or [] if _is_dict(cell)]
    if not found and "cells" not in notebook:
        raise ValueError("not a notebook: it has no cells")
    sources = tuple(_source(cell) for cell in found if cell.get("cell_type") == "code" and not _is_a_check(cell))
    about = (notebook.get("metadata") or {}).get("otter")
    return sources, str(about.get("assignment_name") or "") if _is_dict(about) else ""


def statements(source: str) -> Iterator[ast.stmt]:
    """Those of a cell, as a kernel reads it, with what `%%time` or `%time` runs. Nothing if it is no Python."""
    try:
        tree = ast.parse(TransformerManager().transform_cell(source))
    except (SyntaxError, ValueError, RecursionError, MemoryError):  # the last two of what is nested too deeply
        return
    for node in tree.body:
        call = node.value if isinstance(node, ast.Expr | ast.Assign) else None
        if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr.startswith("run_"):
            magic, *_, body = [getattr(one, "value", "") for one in call.args] or [""]
            if magic in RUN_HERE:
                yield from statements(str(body))
                continue
        yield node


def student_id(cells: Sequence[str]) -> str:
    """The first id in an assignment `student_id = ...`, a text or a number; nothing if there is none.

    That of the template, which is empty, may be left above it.
    """
    for node in (node for source in cells for node in statements(source)):
        value = getattr(node.value, "value", None) if _names_student(node) else None
        if isinstance(value, str | int) and not isinstance(value, bool) and normal_id(str(value)):
            return normal_id(str(value))
    return ""


def assignment_in(cells: Sequence[str], assignments: Collection[str]) -> str:
    """The assignment that the code itself names, in `personal(student_id, NAME)` or `Notebook(NAME)`."""
    for node in (node for source in cells for node in statements(source)):
        for call in ast.walk(node):
            if isinstance(call, ast.Call):
                for one in call.args:
                    name = str(getattr(one, "value", "")).removesuffix(".ipynb")
                    if name in assignments:
                        return name
    return ""


def written(source: str) -> str:
    """A cell without what changes nothing: comments, docstrings, blanks, and the id."""
    kept = ast.Module([node for node in statements(source) if not _names_student(node)], [])
    for node in ast.walk(kept):
        for name in "body", "orelse", "finalbody":
            if isinstance(inside := getattr(node, name, None), list):
                setattr(node, name, [one for one in inside if not _is_text(one)])
    try:
        return ast.unparse(kept)
    except RecursionError:  # a sum of thousands, say, which Python itself runs
        return source


def _names_student(node: ast.stmt) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
    return any(isinstance(target, ast.Name) and target.id == "student_id" for target in targets)


def _is_text(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def _source(cell: dict) -> str:
    source = cell.get("source", cell.get("input", ""))
    return "".join(map(str, source)) if isinstance(source, list) else str(source)


def _is_a_check(cell: dict) -> bool:
    """Whether otter says that a grader leaves this cell out."""
    about = cell.get("metadata") if _is_dict(cell.get("metadata")) else {}
    otter = about.get("otter")
    return "otter_ignore" in (about.get("tags") or []) or bool(_is_dict(otter) and otter.get("ignore"))


def _is_dict(value: Any) -> bool:
    return isinstance(value, dict)
