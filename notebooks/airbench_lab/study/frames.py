"""Run logs as pandas tables: `frame`, one row a run; `epochs_frame`, one row an epoch."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbench_core import runlog
from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.recipes import Recipe
from airbench_core.training import EpochRecord
from airbench_lab.study.keys import key

if TYPE_CHECKING:
    import pandas

Runs = str | PathLike | Iterable[Mapping[str, Any]]

RUN = [
    *("key", "scale", "data", "digest", "device", "device_name", "dtype", "threads", "compile", "graphs"),
    *("seed", "parts"),
    *("airbench", "commit", "torch", "cuda", "started"),
    *("accuracy", *(f"accuracy_{tta}" for tta in TTA_WEIGHTS), "seconds", "epochs_done"),
]
EPOCH = ["run", "key", "seed", *(f.name for f in fields(EpochRecord))]


def frame(runs: Runs) -> "pandas.DataFrame":
    """A row for each record of `runs`, a log's path or its records; the index, `run`, counts them from 0.

    Columns: those of RUN, then the recipe's fields as scaled (lacking ones at their defaults; widths as tuples).
    `parts` names those that were somebody's own, as a tuple, which is empty for the runs of a recipe alone.
    Accuracies are in 0..1, and NaN at levels of TTA that were not computed, as are seconds that are not to be quoted;
    `started` is a time in UTC; `epochs_done` is what was trained, `epochs` what the recipe asks for. Raises
    AirbenchError as `runlog.load`.
    """
    import pandas  # here: half a second that a training does not need

    rows = [_row(record) for record in _records(runs)]
    later = dict.fromkeys(name for row in rows for name in row)  # also fields of recipes newer than this code
    columns = list(dict.fromkeys([*RUN, *(f.name for f in fields(Recipe)), *later]))
    table = pandas.DataFrame(rows, columns=columns).rename_axis("run")
    numbers = ["seconds", *(name for name in RUN if name.startswith("accuracy"))]
    table[numbers] = table[numbers].astype(float)
    return table.assign(started=pandas.to_datetime(table["started"], utc=True))


def epochs_frame(runs: Runs) -> "pandas.DataFrame":
    """A row for each epoch of each record of `runs`, with the columns of EPOCH; `run` is the run's row in `frame`.

    `accuracy` (0..1, without TTA) is NaN where nobody watched. What the runs were is added by
    `epochs_frame(log).merge(frame(log), on="run", suffixes=("", "_of_run"))`. Raises AirbenchError as `runlog.load`.
    """
    import pandas

    rows = [
        {"run": run, "key": key(record), "seed": record["seed"], **epoch}
        for run, record in enumerate(_records(runs))
        for epoch in record["epochs"]
    ]
    return pandas.DataFrame(rows, columns=EPOCH).astype({"accuracy": float, "seconds": float})


def _records(runs: Runs) -> Iterator[Mapping[str, Any]]:
    return iter(runlog.load(Path(runs)) if isinstance(runs, str | PathLike) else runs)


def _row(record: Mapping[str, Any]) -> dict[str, Any]:
    runtime, epochs = record["runtime"], record["epochs"]
    recipe = {f.name: f.default for f in fields(Recipe)} | record["recipe"]
    return {
        "key": key(record),
        "scale": record["scale"],
        "data": record["data"]["name"],
        "digest": record["data"]["digest"],
        "device": runtime["device"],
        "device_name": runtime["name"],
        "dtype": runtime["dtype"],
        "threads": runtime["threads"],
        "compile": runtime["compile"],
        "graphs": runtime.get("graphs"),
        "seed": record["seed"],
        "parts": tuple(record.get("parts", ())),
        **record["versions"],
        "started": record["started"],
        "accuracy": record["accuracy"],
        **{f"accuracy_{tta}": accuracy for tta, accuracy in record["accuracies"].items()},
        "seconds": record["seconds"],
        "epochs_done": epochs[-1]["epochs"] if epochs else 0.0,
        **{name: tuple(value) if isinstance(value, list) else value for name, value in recipe.items()},
    }
