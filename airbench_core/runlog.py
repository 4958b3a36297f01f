"""The run log: one line of JSON for each run. How lines are written and read: lines.py.

The fields of a record of schema 2; accuracies are in 0..1, seconds on the run's clock (the speedrun's rule):

    schema               SCHEMA of the version that wrote the record
    asked                the recipe's fields as asked for; one that is lacking is at its default (`load` fills it in)
    recipe               the same as scaled, so what was trained
    scale                name of the scale
    data.name            name of the data set
    data.digest          of the images and labels that were used, so of those that the scale keeps
    runtime.device       kind of device: cpu, cuda or mps
    runtime.name         the hardware's own name
    runtime.dtype        of the activations
    runtime.threads      of the CPU's kernels
    runtime.compile      whether compiled functions were asked for
    runtime.graphs       whether steps were replayed as CUDA graphs (lacking in the oldest records)
    seed                 of weights, order and augmentation
    versions.airbench    version of the project
    versions.commit      commit of its checkout, with "+" where its files were changed since; null: an installed copy
    versions.torch       version of PyTorch
    versions.cuda        version of CUDA that PyTorch was built for; null: not on a GPU
    started              start of the run, ISO 8601, UTC
    parts[]              names of the parts that were somebody's own (`learner.Parts`); lacking where none was
    epochs[].epoch       number of the epoch, counted from 1
    epochs[].epochs      epochs done by then; the last may be a fraction
    epochs[].train_loss  mean over the epoch's images
    epochs[].accuracy    on the test images without TTA; null: nobody watched
    epochs[].seconds     since the start; null as `seconds`
    accuracy             at the recipe's level of TTA
    accuracies.*         at that level and those below it: none, mirror, mirror+translate
    seconds              of the run, with the final TTA; null: not to be quoted, since other work went on beside it
    predictions.*        classes of the test images at each level, packed (see `predictions`); only where asked for

A run that failed in a sweep has, instead of what follows `started`:

    failed.kind          diverged (the seed would do so again), error, or died (its process was killed)
    failed.message       what went wrong

A field that is only added keeps the schema: what reads records takes its default where it is lacking. SCHEMA is
counted up when a field changes its meaning or comes to be needed: older records are then refused.
"""

import base64
import json
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

import airbench_core
from airbench_core import lines
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.results import RunResult

SCHEMA = 2
DEFAULTS = json.loads(json.dumps(asdict(Recipe())))  # as JSON has them


def record(result: RunResult, *, predictions: bool = False) -> dict[str, Any]:
    """What is logged of a finished run: plain values, with the fields above."""
    return {
        **head(
            result.asked,
            result.recipe,
            scale=result.scale,
            data=(result.data_name, result.data_digest),
            runtime={**result.runtime.describe(), "graphs": result.graphs},
            seed=result.seed,
            started=result.started,
        ),
        **({"parts": list(result.parts)} if result.parts else {}),
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "accuracy": result.accuracy,
        "accuracies": result.accuracies,
        "seconds": result.seconds,
        **({"predictions": {tta: _packed(of) for tta, of in result.predictions.items()}} if predictions else {}),
    }


def head(
    asked: Recipe,
    scaled: Recipe,
    *,
    scale: str,
    data: tuple[str, str],
    runtime: Mapping[str, Any],
    seed: int,
    started: float,
) -> dict[str, Any]:
    """What a run was to be, and by what: the fields up to `started`, all that is known of one that failed.

    data: name and digest. runtime: as `Runtime.describe`. started: seconds since 1970.
    """
    return {
        "schema": SCHEMA,
        "asked": asdict(asked),
        "recipe": asdict(scaled),
        "scale": scale,
        "data": dict(zip(("name", "digest"), data, strict=True)),
        "runtime": dict(runtime),
        "seed": seed,
        "versions": {
            "airbench": airbench_core.__version__,
            "commit": commit(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if runtime["device"] == "cuda" else None,
        },
        "started": datetime.fromtimestamp(started, UTC).isoformat(timespec="seconds"),
    }


def untimed(record: Mapping[str, Any]) -> dict[str, Any]:
    """The record without its seconds, for runs beside which other work went on."""
    return {**record, "seconds": None, "epochs": [{**epoch, "seconds": None} for epoch in record["epochs"]]}


def predictions(record: Mapping[str, Any]) -> dict[str, NDArray[np.integer]]:
    """The classes (N,) that a finished run gave the test images, at each level of TTA.

    They are packed as little-endian 16-bit integers, compressed by zlib, as base64. Raises UsageError for a record
    without them.
    """
    if "predictions" not in record:
        raise UsageError(
            f"the run with seed {record['seed']} has no predictions in its log; `airbench sweep variance` keeps them"
        )
    packed = record["predictions"].items()
    return {tta: np.frombuffer(zlib.decompress(base64.b64decode(of)), "<u2").astype(np.int64) for tta, of in packed}


def check_writable(path: Path) -> None:
    """Raise AirbenchError if nothing can be appended at `path`: better before a run than after it."""
    commit()  # now, since the checkout may change while a long run goes on
    lines.check_writable(path)


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append the record of a run, finished or failed, on the disk when this returns.

    Raises AirbenchError if it cannot be written.
    """
    how = f"is done (accuracy {record['accuracy']:.4f})" if "accuracy" in record else "failed"
    lines.append(path, record, f"run with seed {record['seed']} {how}")


def load(path: Path, *, failed: bool = False) -> list[dict[str, Any]]:
    """The records of the finished runs in the log at `path`, as written; half a line is reported, not read.

    failed: those of the failed ones too. Raises AirbenchError if the file cannot be read, or holds what is not a
    record of this schema.
    """
    records = []
    for number, values in lines.numbered(path):
        schema = values.get("schema")
        if schema not in (None, SCHEMA):
            raise AirbenchError(
                f"{path}, line {number}: a record of schema {schema}, and airbench {airbench_core.__version__} reads "
                f"schema {SCHEMA}: read it with the version that wrote it, or begin another log"
            )
        for field in ("schema", "asked", "recipe"):
            if field not in values:
                raise AirbenchError(f"{path}, line {number}: not the record of a run (no {field}): name a log of runs")
        values |= {name: DEFAULTS | values[name] for name in ("asked", "recipe")}
        if failed or "failed" not in values:
            records.append(values)
    return records


def _packed(classes: torch.Tensor) -> str:
    return base64.b64encode(zlib.compress(classes.numpy().astype("<u2").tobytes(), 9)).decode()


@cache
def commit() -> str | None:
    """The commit of the project's own checkout, with "+" where its files were changed since; None if installed.

    A process asks once: to be true of the code that it loaded, early.
    """
    root = Path(airbench_core.__file__).resolve().parents[1]
    if not (root / ".git").exists():  # or it may lie in a checkout of something else
        return None
    # safe.directory: the checkout may be another's, as in a course; its code runs here already, so git may read it too.
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root)]
    command += ["describe", "--always", "--exclude=*", "--abbrev=40", "--dirty=+"]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
