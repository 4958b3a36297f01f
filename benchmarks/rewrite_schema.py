"""Once: run logs of schema 1, which held the recipe as scaled alone, as schema 2, with the recipe as asked for.

python benchmarks/rewrite_schema.py LOG...

What was asked for is guessed from the scale, to nine digits. A log is written only if scaling gives back each recipe.
"""

import json
import math
import sys
from dataclasses import asdict
from pathlib import Path

from airbench_core import RECIPES, SCALES, Recipe

DEFAULTS = json.loads(json.dumps(asdict(Recipe())))


def over(value: float | None, factor: float) -> float | None:
    return None if value is None else float(f"{value / factor:.9g}")


def numbers(value: tuple[int, ...] | int | None) -> tuple[int, ...]:
    return () if value is None else value if isinstance(value, tuple) else (value,)


def before(n: int, factor: float, field: str) -> int:
    """A published recipe's number; that which needed no rounding; the one with the most zeros at its end."""
    published = {m for recipe in RECIPES.values() for m in numbers(getattr(recipe, field))}
    near = range(max(1, math.floor((n - 0.5) / factor)), math.ceil((n + 0.5) / factor) + 1)

    def unlikely(m: int) -> tuple:
        return m not in published, abs(m * factor - n) > 1e-9, len(str(m).rstrip("0")), abs(m * factor - n)

    return min((m for m in (*published, *near) if max(1, round(m * factor)) == n), key=unlikely, default=n)


def asked(scale, values: dict) -> Recipe:
    keep, width = values["proxy_keep"], scale.width if values["proxy_keep"] else 1
    lr = {"sgd": scale.lr, "torch-sgd": scale.lr * scale.batch_size, "muon": 1}[values["optimizer"]]
    found = {
        "widths": tuple(before(n, scale.width, "widths") for n in values["widths"]),
        "proxy_widths": tuple(before(n, width, "proxy_widths") for n in values["proxy_widths"]),
        "batch_size": before(values["batch_size"], scale.batch_size, "batch_size"),
        "proxy_keep": keep and before(keep, scale.batch_size, "proxy_keep"),
        "epochs": over(values["epochs"], scale.epochs),
        "whiten_bias_epochs": over(values["whiten_bias_epochs"], scale.epochs),
        "lr": over(values["lr"], lr),
        "bias_lr": over(values["bias_lr"], scale.lr),
        "head_lr": over(values["head_lr"], scale.lr),
    }
    return Recipe(**values | found)


def rewritten(line: str) -> str:
    record = json.loads(line)
    if record.get("schema") != 1:
        return line
    values, scale = DEFAULTS | record["recipe"], SCALES[record["scale"]]
    recipe = asked(scale, values)
    assert scale.recipe(recipe) == Recipe(**values), line[:200]
    rest = {name: value for name, value in record.items() if name != "schema"}
    return json.dumps({"schema": 2, "asked": recipe.changes()} | rest) + "\n"


for log in map(Path, sys.argv[1:]):
    log.write_text("".join(map(rewritten, log.read_text().splitlines(keepends=True))))
