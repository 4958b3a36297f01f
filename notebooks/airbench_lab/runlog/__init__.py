"""The run log: one line of JSON for each run. Its fields: records.py. How lines are written and read: lines.py."""

import base64
import reprlib
import subprocess
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

import airbench_core
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.recipes import Recipe
from airbench_core.results import RunResult
from airbench_lab.runlog import lines
from airbench_lab.runlog.records import SCHEMA, checked, unpacked

if TYPE_CHECKING:
    from torch import Tensor


def record(result: RunResult, *, predictions: bool = False) -> dict[str, Any]:
    """What is logged of a finished run: plain values, with the fields of records.py."""
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
        **({"seeds": dict(result.seeds)} if result.seeds else {}),
        "epochs": [asdict(epoch) for epoch in result.epochs],
        "accuracy": result.accuracy,
        "accuracies": result.accuracies,
        "seconds": result.seconds,
        **({"predictions": {tta: _pack(of) for tta, of in result.predictions.items()}} if predictions else {}),
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
    import torch  # here: it takes seconds, and is not needed to read logs

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
            "cuda": (torch.version.cuda or f"ROCm {torch.version.hip}") if runtime["device"] == "cuda" else None,
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
    return {tta: unpacked(of).astype(np.int64) for tta, of in record["predictions"].items()}


def check_writable(path: Path) -> None:
    """Raise AirbenchError if `path` is no log of runs to append to: better before a run than after it."""
    commit()  # now, since the checkout may change while a long run goes on
    lines.check_writable(path)
    if (first := lines.first(path)) is not None:
        _checked(first, f"{path}, line 1")


def _checked(values: Mapping[str, Any], where: str) -> dict[str, Any]:
    """`values` as a record. Raises AirbenchError, which says `where`, if they are none."""
    if (schema := values.get("schema", SCHEMA)) != SCHEMA:
        raise AirbenchError(
            f"{where}: a record of schema {reprlib.repr(schema)}, and airbench {airbench_core.__version__} reads "
            f"schema {SCHEMA}: read it with the version that wrote it, or begin another log"
        )
    try:
        return checked(values)
    except UsageError as error:
        raise AirbenchError(f"{where}: {error}") from error


def append(path: Path, record: Mapping[str, Any]) -> None:
    """Append the record of a run, finished or failed, on the disk when this returns.

    Raises AirbenchError if it cannot be written.
    """
    how = f"is done (accuracy {record['accuracy']:.4f})" if "accuracy" in record else "failed"
    lines.append(path, record, f"run with seed {record['seed']} {how}")


def load(path: Path, *, failed: bool = False) -> list[dict[str, Any]]:
    """The records of the finished runs in the log at `path`, as written; half a line is reported, not read.

    Of each just the fields of the table. failed: those of the failed ones too. Raises AirbenchError if the file cannot
    be read, and, with the line, if it holds what is not a record of this schema.
    """
    records = [_checked(values, f"{path}, line {number}") for number, values in lines.numbered(path)]
    return [one for one in records if failed or "failed" not in one]


def _pack(classes: "Tensor") -> str:
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
