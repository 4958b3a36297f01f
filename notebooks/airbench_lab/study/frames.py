"""Run logs as pandas tables, the one reader of logs: one row a run."""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from functools import cache
from os import PathLike
from pathlib import Path
from typing import Any

import pandas as pd

from airbench_core import Recipe, UsageError
from airbench_core.recipes import TTA_WEIGHTS
from airbench_lab import runlog
from airbench_lab.study.keys import apart, key, recipe_of

Log = str | PathLike | Iterable[Mapping[str, Any]]  # a log's path, or its records

RUN = [
    *("key", "scale", "data", "digest", "device", "device_name", "dtype", "threads", "compile", "graphs"),
    *("hardware", "seed", "parts", "asked", "trained"),
    *("airbench", "commit", "torch", "cuda", "started"),
    *("accuracy", *(f"accuracy_{tta}" for tta in TTA_WEIGHTS), "seconds", "epochs_done", "failed", "message"),
]


def frame(log: Log, *, failed: bool = False) -> pd.DataFrame:
    """A row for each finished run of `log`; the index, `run`, counts its records from 0.

    Columns: those of RUN, then the recipe's fields as scaled (widths as tuples). `asked` and `trained` are the recipe
    before and after the scale, a `Recipe` each; `hardware` is the runtime in words, whether compiled or not. `parts`
    names those that were somebody's own, as a tuple, which is empty for the runs of a recipe alone. Accuracies are in
    0..1, and NaN at levels of TTA that were not computed, as are seconds that are not to be quoted; `started` is a time
    in UTC; `epochs_done` is what was trained, `epochs` what the recipe asks for. failed: also those that failed, with
    `failed`, the kind, and its `message`, which are None for the others. Raises AirbenchError as `runlog.load`.
    """
    records = runlog.load(Path(log), failed=failed) if isinstance(log, str | PathLike) else log
    columns = [*RUN, *(f.name for f in fields(Recipe))]
    table = pd.DataFrame(map(_row, records), columns=columns).rename_axis("run")
    numbers = ["seconds", *(name for name in RUN if name.startswith("accuracy"))]
    table = table.astype(dict.fromkeys(numbers, float) | dict.fromkeys(("asked", "trained", "failed"), object))
    return table.assign(started=pd.to_datetime(table["started"], utc=True))


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    runtime, epochs, failed = record["runtime"], record.get("epochs"), record.get("failed", {})
    trained = recipe_of(record["recipe"])
    return {
        "key": key(record),
        "scale": record["scale"],
        "data": record["data"]["name"],
        "digest": record["data"]["digest"],
        "device_name": runtime["name"],
        "hardware": hardware(runtime | {"compile": False}),
        **{name: runtime.get(name) for name in ("device", "dtype", "threads", "compile", "graphs")},
        "seed": record["seed"],
        "parts": apart(record),
        "asked": recipe_of(record["asked"]),
        "trained": trained,
        **record.get("versions", {}),
        "started": record.get("started"),
        "accuracy": record.get("accuracy"),
        **{f"accuracy_{tta}": accuracy for tta, accuracy in record.get("accuracies", {}).items()},
        "seconds": record.get("seconds"),
        "epochs_done": epochs[-1]["epochs"] if epochs else 0.0,
        "failed": failed.get("kind"),
        "message": failed.get("message"),
        **asdict(trained),
    }


def of_recipe(runs: pd.DataFrame, scaled: Recipe, *, compile: bool = False, any_epochs: bool = False) -> pd.DataFrame:
    """Those of `runs` that trained `scaled`, without parts of somebody's own; of several of one seed the last.

    A run holds its accuracy at the levels of TTA below its own too. So runs at a higher level are found as well where
    there is none at just this one; `accuracy` is then that at this level, and there are no seconds, which nobody
    measured. any_epochs: whatever their epochs.
    """
    level, wanted = f"accuracy_{scaled.tta}", training(scaled)
    same = runs[(runs["trained"].map(training) == wanted) & (runs["compile"] == compile) & runs[level].notna()]
    same = same[(same["parts"].map(len) == 0) & (any_epochs | (same["epochs"] == scaled.epochs))]
    exact = same["tta"] == scaled.tta
    accuracy, seconds = same["accuracy"].where(exact, same[level]), same["seconds"].where(exact)
    same = same.assign(accuracy=accuracy, seconds=seconds, exact=exact)
    return same.sort_values("exact", kind="stable").drop_duplicates(
        ["seed", "epochs", "hardware", "digest"], keep="last"
    )


@cache
def training(recipe: Recipe) -> Recipe:
    """What all runs of a recipe share that differ in epochs and TTA alone."""
    return replace(recipe, epochs=1, tta="none")


def hardware(runtime: Mapping[str, Any]) -> str:
    """A record's runtime in words."""
    threads = f", {runtime['threads']} thread{'s' * (runtime['threads'] > 1)}" if runtime["device"] == "cpu" else ""
    return f"{runtime['name']}, {runtime['dtype']}{threads}{', compiled' * runtime['compile']}"


def one_setting(runs: pd.DataFrame, *, device: bool = True) -> None:
    """Raise UsageError, one line, if `runs` are not of one scale and one data set, or are none.

    device: they must also be of one device (by its name), as where seconds are compared.
    """
    if runs.empty:
        raise UsageError("no runs to compare")
    kinds = {"scales": runs["scale"], "data sets": runs["data"] + " (" + runs["digest"] + ")"}
    kinds |= {"devices": runs["device_name"]} if device else {}
    for kind, values in kinds.items():
        if len(counts := Counter(values)) > 1:
            mixed = ", ".join(f"{value}: {n}" for value, n in counts.items())
            raise UsageError(f"these {len(runs)} runs mix {kind} ({mixed}): compare runs of one")
