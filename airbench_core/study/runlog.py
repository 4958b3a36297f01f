"""The run log: one line of JSON for each finished run. How lines are written and read: lines.py.

The fields of a record of schema 1; accuracies are in 0..1, seconds on the run's clock (the speedrun's rule):

    schema               SCHEMA of the version that wrote the record
    recipe               every field of the recipe, as scaled
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
    versions.commit      commit of its checkout, with "+" where files were changed since; null: an installed copy
    versions.torch       version of PyTorch
    versions.cuda        version of CUDA that PyTorch was built for; null: not on a GPU
    started              start of the run, ISO 8601, UTC
    epochs[].epoch       number of the epoch, counted from 1
    epochs[].epochs      epochs done by then; the last may be a fraction
    epochs[].train_loss  mean over the epoch's images
    epochs[].accuracy    on the test images without TTA; null: nobody watched
    epochs[].seconds     since the start
    accuracy             at the recipe's level of TTA
    accuracies.*         at that level and those below it: none, mirror, mirror+translate
    seconds              of the run, with the final TTA

A field that is only added keeps the schema: what reads records takes its default where it is lacking. SCHEMA is
counted up when a field changes its meaning or goes, and `load` then rewrites the older records that it reads.
"""

import subprocess
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import torch

import airbench_core
from airbench_core.errors import AirbenchError
from airbench_core.study import lines
from airbench_core.training import RunResult

SCHEMA = 1


def record(result: RunResult) -> dict[str, Any]:
    """What is logged of a run: plain values, with the fields above."""
    return {
        "schema": SCHEMA,
        "recipe": asdict(result.recipe),
        "scale": result.scale,
        "data": {"name": result.data_name, "digest": result.data_digest},
        "runtime": {**result.runtime.describe(), "graphs": result.graphs},
        "seed": result.seed,
        "versions": {
            "airbench": airbench_core.__version__,
            "commit": _commit(),
            "torch": torch.__version__,
            "cuda": torch.version.cuda if result.runtime.device.type == "cuda" else None,
        },
        "started": datetime.fromtimestamp(result.started, UTC).isoformat(timespec="seconds"),
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "accuracy": result.accuracy,
        "accuracies": result.accuracies,
        "seconds": result.seconds,
    }


def check_writable(path: Path) -> None:
    """Raise AirbenchError if nothing can be appended at `path`: better before a run than after it."""
    _commit()  # now, since the checkout may change while a long run goes on
    lines.check_writable(path)


def append(path: Path, result: RunResult) -> None:
    """Append one line for `result`, on the disk when this returns. Raises AirbenchError if it cannot be written."""
    what = f"run with seed {result.seed} is done (accuracy {result.accuracy:.4f})"
    lines.append(path, record(result), what)


def load(path: Path) -> list[dict[str, Any]]:
    """The records in the log at `path`, in the order in which they were written; half a line is reported, not read.

    Raises AirbenchError if the file cannot be read, or holds what is not a record of this schema.
    """
    records = []
    for number, values in lines.numbered(path):
        schema = values.get("schema")
        if schema is None:
            raise AirbenchError(f"{path}, line {number}: not the record of a run (no schema): name a log of runs")
        if schema != SCHEMA:
            raise AirbenchError(
                f"{path}, line {number}: a record of schema {schema}, and airbench {airbench_core.__version__} reads "
                f"schema {SCHEMA}: update airbench to the version that wrote it"
            )
        records.append(values)
    return records


@cache
def _commit() -> str | None:
    """The commit of the project's own checkout, with "+" where files were changed since; None for an installed copy."""
    root = Path(airbench_core.__file__).parents[1]
    if not (root / ".git").exists():
        return None
    git = ["git", "-C", str(root)]
    try:
        commit = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True).stdout
    except (OSError, subprocess.CalledProcessError):
        return None
    return commit + ("+" if changed.strip() else "")
