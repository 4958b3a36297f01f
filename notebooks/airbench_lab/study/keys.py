"""Which runs are the same, and which may be compared.

The key of a run is made of what decides its outcome: the scaled recipe, the parts that were somebody's own, the digest
of the data that the scale keeps, the runtime and the seed. It is computed when it is needed and never stored, so it may
be asked of a run before that is made (`planned_key`) and of its record afterwards (`key`), with the same answer.

- Recipe: the fields that differ from their defaults, so a field that `Recipe` gets later leaves old keys as they are.
- Parts: the names of those that were replaced (`learner.Parts`), where there are any. What such a function computes is
  not known: two of one name have one key.
- Runtime: kind and name of the device, dtype, compile; threads on a CPU only, since those of a GPU's host just launch
  work. Not graphs: whether steps could be recorded is known only afterwards.
- Not the scale's name: recipe and data say what it did. Not versions: they are in the record.
"""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, fields
from typing import Any

from airbench_core.devices import Runtime
from airbench_core.errors import UsageError
from airbench_core.learner import Parts
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale, scale_named
from airbench_core.training import RunResult


def key(run: RunResult | Mapping[str, Any]) -> str:
    """The key, as canonical JSON, of a finished run or of its record. Raises UsageError for what is no record."""
    if isinstance(run, RunResult):
        return _key(asdict(run.recipe), run.data_digest, run.runtime.describe(), run.seed, run.parts)
    try:
        return _key(run["recipe"], run["data"]["digest"], run["runtime"], run["seed"], run.get("parts", ()))
    except (KeyError, TypeError) as error:
        raise UsageError(f"not the record of a run ({error!r})") from error


def planned_key(
    recipe: Recipe,
    *,
    scale: str | Scale,
    digest: str,
    runtime: Runtime | Mapping[str, Any],
    seed: int,
    parts: Parts | None = None,
) -> str:
    """The key that a run will have.

    recipe: not yet scaled, as for `train`. digest: of the data at that scale, `scale.data(data).digest`. runtime: or
    what it says of itself, `Runtime.describe`. parts: as for `train`.
    """
    scale = scale_named(scale) if isinstance(scale, str) else scale
    about = runtime.describe() if isinstance(runtime, Runtime) else runtime
    return _key(asdict(scale.recipe(recipe)), digest, about, seed, parts.replaced if parts else ())


def one_setting(records: Iterable[Mapping[str, Any]], *, device: bool = True) -> None:
    """Raise UsageError, one line, if `records` are not of one scale and one data set, or are none.

    device: they must also be of one device (by its name), as where seconds are compared.
    """
    records = list(records)
    if not records:
        raise UsageError("no runs to compare")
    kinds = {
        "scales": [record["scale"] for record in records],
        "data sets": ["{name} ({digest})".format(**record["data"]) for record in records],
        "devices": [record["runtime"]["name"] for record in records] if device else [],
    }
    for kind, values in kinds.items():
        if len(counts := Counter(values)) > 1:
            mixed = ", ".join(f"{value}: {n}" for value, n in counts.items())
            raise UsageError(f"these {len(records)} runs mix {kind} ({mixed}): compare runs of one")


def runtime_parts(runtime: Mapping[str, Any]) -> dict[str, Any]:
    """What the key holds of a record's `runtime`."""
    parts = {name: runtime[name] for name in ("device", "name", "dtype", "compile")}
    return parts | {"threads": runtime["threads"]} if runtime["device"] == "cpu" else parts


def plain(value: Any) -> Any:
    """`value` in the one form that equal values share: 64 for 64.0, a list for a tuple."""
    if isinstance(value, tuple | list):
        return [plain(item) for item in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def recipe_parts(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What the key holds of a record's `recipe`: the fields that are not at their defaults."""
    defaults = {f.name: plain(f.default) for f in fields(Recipe)}
    values = {name: plain(value) for name, value in recipe.items()}
    return {name: value for name, value in values.items() if name not in defaults or value != defaults[name]}


def _key(recipe: Mapping[str, Any], digest: str, runtime: Mapping[str, Any], seed: int, replaced: Sequence[str]) -> str:
    parts = {"recipe": recipe_parts(recipe), "data": digest, "runtime": runtime_parts(runtime), "seed": seed}
    parts |= {"parts": replaced} if replaced else {}
    return json.dumps(parts, sort_keys=True, separators=(",", ":"))
