"""Recipes as tables for people: all fields of one, and the fields in which two differ."""

import html
from collections.abc import Sequence
from dataclasses import dataclass, fields

from airbench_core.fields import shown
from airbench_core.published import RECIPES
from airbench_core.recipes import Recipe


def describe(recipe: Recipe) -> str:
    """A table of all fields, one per line: name, value, meaning."""
    return _columns([(f.name, shown(getattr(recipe, f.name)), f.metadata["doc"]) for f in fields(recipe)])


def _columns(rows: Sequence[tuple[str, ...]]) -> str:
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


@dataclass(frozen=True)
class Diff:
    """The fields in which two recipes differ, in the recipes' order: (name, value here, value there, meaning).

    Prints as a table; a notebook shows it as one of its own.
    """

    a: str
    b: str
    rows: tuple[tuple[str, str, str, str], ...]

    def __str__(self) -> str:
        if not self.rows:
            return f"{self.a} and {self.b} are the same"
        return _columns([("field", self.a, self.b, "meaning"), *self.rows])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if not self.rows:
            return html.escape(str(self))

        def line(cells: tuple[str, ...], tag: str) -> str:
            inner = "".join(f'<{tag} style="text-align: left">{html.escape(cell)}</{tag}>' for cell in cells)
            return f"<tr>{inner}</tr>"

        head = line(("field", self.a, self.b, "meaning"), "th")
        body = "".join(line(row, "td") for row in self.rows)
        return f"<table><thead>{head}</thead><tbody>{body}</tbody></table>"


def diff(a: Recipe, b: Recipe) -> Diff:
    """The fields in which `a` and `b` differ, side by side; a published recipe heads its column by its name."""
    names = {recipe: name for name, recipe in RECIPES.items()}
    changed = a.changes(b)
    rows = tuple(
        (f.name, shown(getattr(a, f.name)), shown(getattr(b, f.name)), f.metadata["doc"])
        for f in fields(a)
        if f.name in changed
    )
    return Diff(names.get(a, "first"), names.get(b, "second"), rows)
