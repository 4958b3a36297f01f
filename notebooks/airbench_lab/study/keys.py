"""The key of a run: what decides its outcome, as canonical JSON, so that it may be asked before the run and after it.

- The scaled recipe: the fields that differ from their defaults, so that a later field leaves the keys of older runs.
- The parts that were somebody's own (`Parts`), by their names: two functions of one name have one key; the seeds of
  init, order or augment.
- The digest of the data that the scale keeps, and the seed. Not the scale's name: recipe and data say what it did.
- Runtime: kind and name of the device, dtype, compile; threads on a CPU only, since those of a GPU's host just launch
  work. Not graphs: whether steps could be recorded is known only afterwards.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from airbench_core import Recipe, Scale
from airbench_lab.runlog.records import recipe_of

RUNTIME = ("device", "name", "dtype", "compile", "threads")


def key(record: Mapping[str, Any]) -> str:
    """The key of the run that `record` is of (see runlog.py)."""
    recipe = recipe_of(record["recipe"])
    return _key(recipe, record["data"]["digest"], record["runtime"], record["seed"], apart(record))


def planned_key(recipe: Recipe, *, scale: Scale, digest: str, runtime: Mapping[str, Any], seed: int) -> str:
    """The key that a run will have.

    recipe: not yet scaled, as for `train`. digest: of the data at that scale. runtime: as `Runtime.describe`.
    """
    return _key(scale.recipe(recipe), digest, runtime, seed, ())


def apart(record: Mapping[str, Any]) -> tuple[str, ...]:
    """What sets a run apart from the plain one of its recipe and seed: its own parts, its own seeds."""
    return (*record.get("parts", ()), *(f"{name} seed {seed}" for name, seed in record.get("seeds", {}).items()))


def runtime_parts(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """What the key holds of a record's `runtime`."""
    return {name: runtime[name] for name in RUNTIME if name != "threads" or runtime["device"] == "cpu"}


def _key(recipe: Recipe, digest: str, runtime: Mapping[str, Any], seed: int, parts: Sequence[str]) -> str:
    about = {"recipe": recipe.changes(), "data": digest, "runtime": runtime_parts(runtime), "seed": seed}
    about |= {"parts": list(parts)} if parts else {}
    return json.dumps(about, sort_keys=True, separators=(",", ":"))
