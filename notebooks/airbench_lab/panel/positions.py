"""airbench94 with its six tricks on and off: what epochs it takes to a target, and the paper's speedups.

A position is a setting of the six switches, by a key such as "110100": a digit for each of SWITCHES, 1 where it is on.
"""

import math
from dataclasses import replace
from functools import cache
from itertools import product
from typing import Any

from airbench_core import AIRBENCH94, Dataset, Recipe
from airbench_lab import published, replay
from airbench_lab.study import studies
from airbench_lab.study.names import but_epochs
from airbench_lab.study.settings import with_fields
from airbench_lab.study.speedup import curve_of, epochs_to_target

Values = dict[str, Any]

# The six tricks in the order of the ladder: a field of the recipe, and what it is on and off.
SWITCHES = {
    name: (studies.SWITCHES | {"tta": (studies.FULL_TTA, "mirror")})[name]
    for name in ("whiten", "identity_init", "bias_scale", "lookahead", "tta", "flip")
}
NAMES = dict(zip(SWITCHES, ("whitening", *published.INTERACTIONS), strict=True))  # as `published` calls them
ALL = "1" * len(SWITCHES)


def target_of(scale: str, data: Dataset | str) -> float | None:
    """The half percent below what airbench94 reaches with its own epochs; None where it is not recorded."""
    accuracies = replay.lookup(AIRBENCH94, scale, data).accuracies.values()
    return math.floor(200 * sum(accuracies) / len(accuracies)) / 200 if accuracies else None


def to_target(recipe: Recipe, scale: str, data: Dataset | str, target: float | None) -> Values | None:
    """Epochs to `target`, of a recipe that is recorded at several lengths; else of the paper's own with the same
    tricks, which changes more with Lookahead, the first layer or the learning rate, and then `of` names it. None where
    neither is recorded."""
    if target is None:
        return None
    theirs = _theirs().get(key_of(recipe), {}) if position_of(recipe) else {}
    for name, one in {None: recipe, **theirs}.items():
        if len(curve := curve_of(replay.curve(one, scale, data))) > 1:
            found = epochs_to_target(curve, target)
            interval = [rounded(found.low), rounded(found.high)]
            return {"of": name, "epochs": rounded(found.epochs), "interval": interval, "n": found.n} | {
                "note": found.reason
            }
    return None


def paper_speedup(recipe: Recipe) -> float | None:
    """How many times fewer epochs to 94 % than its baseline the paper reports of these tricks; None without a value."""
    where = position_of(recipe)
    return where and _paper().get(where)


def key_of(recipe: Recipe) -> str:
    """A digit for each of SWITCHES, 1 where it is on."""
    return "".join(str(int(getattr(recipe, name) == on)) for name, (on, _) in SWITCHES.items())


def recipe_at(key: str) -> Recipe:
    """airbench94 with its switches so."""
    values = {name: both[1 - int(on)] for (name, both), on in zip(SWITCHES.items(), key, strict=True)}
    return with_fields(AIRBENCH94, **values)


def position_of(recipe: Recipe) -> str | None:
    """`key_of` a recipe that is airbench94 with some switches off, or one of the paper's, whatever its epochs."""
    return _positions().get(but_epochs(recipe))


def rounded(value: float | None) -> float | None:
    """To four decimals; None for what JSON has no number for."""
    return None if value is None or not math.isfinite(value) else round(float(value), 4)


@cache
def _theirs() -> dict[str, dict[str, Recipe]]:
    """The recipes of the paper's ladder and of its figure 4 by the tricks that they have, with what they are called."""
    some = {variant.label: variant.recipe for variant in (*studies.ladder(), *studies.ablation())}
    lower = {f"{label}, without multi-crop TTA": replace(recipe, tta="mirror") for label, recipe in some.items()}
    found: dict[str, dict[str, Recipe]] = {}
    for label, recipe in (some | lower).items():
        found.setdefault(key_of(recipe), {})[label] = recipe
    return found


@cache
def _positions() -> dict[Recipe, str]:
    own = map("".join, product("01", repeat=len(SWITCHES)))
    theirs = ((recipe, key) for key, some in _theirs().items() for recipe in some.values())
    return {but_epochs(recipe): key for recipe, key in (*theirs, *((recipe_at(key), key) for key in own))}


@cache
def _paper() -> dict[str, float]:
    """Speedups at full scale, by position: the ladder's, and those of the paper's figure 4."""
    whitened, names = key_of(studies.WHITENED), list(NAMES.values())

    def but(key: str, name: str) -> str:
        place = names.index(name)
        return key[:place] + str(1 - int(key[place])) + key[place + 1 :]

    found = {but(ALL, "whitening"): published.UNWHITENED_EPOCHS}
    for name, epochs in published.INTERACTIONS.items():
        found |= {but(whitened, name): epochs.added, but(ALL, name): epochs.removed}
    rungs = {key_of(rung.recipe): published.LADDER[rung.label] for rung in reversed(studies.ladder())}
    found |= {key: epochs for key, epochs in rungs.items() if epochs}
    return {key: published.LADDER["baseline"] / epochs for key, epochs in found.items()}
