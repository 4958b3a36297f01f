"""What the runs of a log are called: by the nearest published recipe, or by a study."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import Any

import pandas as pd

from airbench_core import RECIPES, Recipe, UsageError
from airbench_lab.study.keys import runtime_parts
from airbench_lab.study.settings import brief
from airbench_lab.study.studies import Study


def recipe_name(asked: Recipe, parts: Sequence[str] = (), *, epochs: bool = True) -> str:
    """The published recipe with the fewest other values, and these: "airbench94 flip=random epochs=5".

    asked: before the scale. Epochs do not decide which recipe is nearest, so that it has one name at all lengths of
    training but for "epochs=5", which is left out unless `epochs`. parts: names of those that were somebody's own,
    which come last: "airbench94 flip=random with own lookahead and whiten".
    """
    changes = asked.changes(RECIPES[published := nearest(asked)])
    named = [f"{name}={brief(value)}" for name, value in changes.items() if epochs or name != "epochs"]
    return " ".join([published, *named]) + f" with own {' and '.join(parts)}" * bool(parts)


def nearest(recipe: Recipe) -> str:
    """The name of the published recipe from which `recipe` differs least, whatever its epochs."""
    return min(RECIPES, key=lambda name: len(recipe.changes(RECIPES[name]).keys() - {"epochs"}))


@cache
def but_epochs(recipe: Recipe) -> Recipe:
    """Equal for recipes that differ in their epochs alone."""
    return replace(recipe, epochs=1)


def named(runs: pd.DataFrame, study: Study | None = None) -> pd.DataFrame:
    """`runs` with two columns more: `name`, and `family`, which is the name without epochs.

    The same only for runs of one recipe and runtime: "airbench94 flip=random, compiled". The runtime: those of its
    parts that a run's key holds, as far as the runs differ in them.

    study: only the runs that are its, in its order and by its labels: "+ whitening" or, trained longer or shorter,
    "+ whitening epochs=7". A compiled run goes by the label of the eager variant where there is no compiled one.
    """
    its = []
    for run, row in runs.to_dict("index").items():
        asked, parts = row["asked"], row["parts"]
        if study is None:
            called = 0, tuple(recipe_name(asked, parts, epochs=on) for on in (True, False)), False
        else:
            called = None if parts else _called(asked, row["compile"], study)
        if called is not None:
            its.append((run, runtime_parts(row | {"name": row["device_name"]}), *called))
    runtimes = [runtime for _, runtime, *_ in its]  # of these alone: what is left out tells no rows apart
    kinds = dict.fromkeys(part for runtime in runtimes for part in runtime)
    mixed = [part for part in kinds if len({runtime.get(part) for runtime in runtimes}) > 1]
    rows = []
    for run, runtime, place, names, compiled in its:
        words = _words(runtime, (part for part in mixed if not (part == "compile" and compiled)))
        rows.append((run, place, *(", ".join([name, *words]) for name in names)))
    found = pd.DataFrame(rows, columns=["run", "place", "name", "family"]).set_index("run")
    table = runs.loc[found.index].join(found)
    return table if study is None else table.sort_values(["place", "epochs"], kind="stable")


def check_named(option: str, name: str, names: Iterable[str]) -> None:
    """Raise UsageError, with the names that there are, if `name` is none of them."""
    there = list(dict.fromkeys(names))
    if name not in there:
        raise UsageError(f"{option}={name} is not in the log; there is: {'; '.join(there)}")


def failures(runs: pd.DataFrame) -> list[str]:
    """A line for each name of `named` runs, and each way in which they failed; not of those that were finished too.

    It says their data and scale where `runs` are of several.
    """
    several = len(runs[["data", "scale"]].drop_duplicates()) > 1
    finished = runs[runs["failed"].isna()]
    failed = runs[runs["failed"].notna() & ~runs["key"].isin(finished["key"])].drop_duplicates("key", keep="last")
    lines = []
    for (name, kind, data, scale), some in failed.groupby(["name", "failed", "data", "scale"], sort=False):
        seeds = ", ".join(map(str, some["seed"][:10])) + ", ..." * (len(some) > 10)
        message = next(iter(some["message"].iloc[0].splitlines()), "")
        told = f"{len(some)} run{'s' * (len(some) > 1)} failed"
        where = f" on {data} at scale {scale}" * several
        lines.append(f"{told}: {name}{where} (seed{'s' * (len(some) > 1)} {seeds}): {kind}: {message}")
    return lines


def _called(asked: Recipe, compile: bool, study: Study) -> tuple[int, tuple[str, str], bool] | None:
    """The place among the study's variants, both names, and whether the variant is compiled; None if it is of none."""
    variants = _variants(study)
    for compiled in dict.fromkeys((bool(compile), False)):
        if lengths := variants.get((but_epochs(asked), compiled)):
            first_place, first = next(iter(lengths.values()))
            other = first_place, f"{first} epochs={brief(asked.epochs)}"
            place, name = lengths.get(asked.epochs, other)
            return place, (name, first), compiled
    return None


@cache
def _variants(study: Study) -> dict[tuple[Recipe, bool], dict[float, tuple[int, str]]]:
    """Place and label of each variant, by its recipe but for the epochs and whether it is compiled; then by epochs."""
    found: dict[tuple[Recipe, bool], dict[float, tuple[int, str]]] = {}
    for place, variant in enumerate(study.variants()):
        lengths = found.setdefault((but_epochs(variant.recipe), variant.compile), {})
        lengths.setdefault(variant.recipe.epochs, (place, variant.label))
    return found


def _words(runtime: Mapping[str, Any], mixed: Iterable[str]) -> list[str]:
    words = runtime | {"compile": "compiled" * runtime["compile"]}
    if "threads" in runtime:
        words["threads"] = f"{runtime['threads']} thread{'s' * (runtime['threads'] > 1)}"
    return [str(words[part]) for part in mixed if words.get(part)]
