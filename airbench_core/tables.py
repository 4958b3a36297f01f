"""Recipes as tables for people: all fields of one, and the fields in which two differ."""

import html
from dataclasses import dataclass, fields

from airbench_core.fields import shown
from airbench_core.published import RECIPES
from airbench_core.recipes import Recipe


def describe(recipe: Recipe) -> str:
    """A table of the fields, one per line: name, value, meaning; last the names of those that play no part in it."""
    idle = _idle(recipe)
    rows = [(f.name, shown(getattr(recipe, f.name)), f.metadata["doc"]) for f in fields(recipe) if f.name not in idle]
    table = "\n".join(f"{name:19} {value:17} {doc}" for name, value, doc in rows)
    return f"{table}\n\nwithout effect here: {', '.join(idle)}" if idle else table


def _idle(recipe: Recipe) -> list[str]:
    """The fields at their defaults that say nothing, because the trick that they belong to is off."""
    idle = {
        "depth residual first_norm unit_head proxy_keep": recipe.network == "resnet18",
        "whiten_eps whiten_bias_epochs whiten_bias_zero": not recipe.whiten,
        "proxy_widths proxy_every": recipe.proxy_keep is None,
        "bias_lr head_lr muon_momentum newton_schulz_steps": recipe.optimizer != "muon",
        "lr_start": recipe.lr_peak_at == 0,
    }
    changed = recipe.changes()
    return [name for names, off in idle.items() if off for name in names.split() if name not in changed]


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
        table = [("field", self.a, self.b, "meaning"), *self.rows]
        name, a, b = (max(len(row[column]) for row in table) for column in range(3))
        return "\n".join(f"{row[0]:{name}}  {row[1]:{a}}  {row[2]:{b}}  {row[3]}" for row in table)

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
