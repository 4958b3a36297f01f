"""The run log: one line of JSON for each finished run, appended."""

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from pathlib import Path

import torch

import airbench_core
from airbench_core.errors import AirbenchError
from airbench_core.training import RunResult

SCHEMA = 1


def record(result: RunResult) -> dict[str, object]:
    """What is logged of a run: plain values, the recipe whole (as scaled), accuracies in 0..1, seconds."""
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
    try:
        with path.open("a"):
            pass
    except OSError as error:
        raise AirbenchError(f"cannot write the run log {path}: {error.strerror}; choose another --out") from error


def append(path: Path, result: RunResult) -> None:
    """Append one line for `result`, on the disk when this returns. Raises AirbenchError if it cannot be written."""
    append_line(path, record(result), f"run with seed {result.seed} is done (accuracy {result.accuracy:.4f})")


def append_line(path: Path, values: dict[str, object], what: str) -> None:
    """Append `values` as one line of JSON; the error says `what` is lost if it cannot be written."""
    line = json.dumps(values).encode() + b"\n"
    size = path.stat().st_size if path.exists() else 0
    try:
        if size and not _ends_a_line(path):
            line = b"\n" + line  # what a killed process left half written stays a line of its own
        with path.open("ab") as log:
            log.write(line)
            log.flush()
            os.fsync(log.fileno())
    except OSError as error:
        with suppress(OSError):  # only now: closing the file tries once more to write what is left of the line
            os.truncate(path, size)
        raise AirbenchError(
            f"{what} but could not be logged in {path}: {error.strerror}; make room and run it again"
        ) from error


def load(path: Path) -> list[dict[str, object]]:
    """The records in the log at `path`, in the order in which they were written; half a line is reported, not read."""
    records = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            records.append(json.loads(line))
        except ValueError:
            print(f"{path}, line {number}: not a whole record, left out", file=sys.stderr)
    return records


def _ends_a_line(path: Path) -> bool:
    with path.open("rb") as log:
        log.seek(-1, os.SEEK_END)
        return log.read() == b"\n"


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
