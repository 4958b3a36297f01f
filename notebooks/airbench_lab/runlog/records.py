"""The fields of a record of the run log, and what is legal in each: what is read from a log is what `checked` gives.

Accuracies are in 0..1, seconds on the run's clock (the speedrun's rule). A field that is only added keeps the schema:
what reads records takes its default where it is lacking. SCHEMA is counted up when a field changes its meaning or comes
to be needed: older records are then refused.
"""

import base64
import json
import reprlib
import zlib
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from airbench_core.errors import UsageError, printable
from airbench_core.fields import SEEDS
from airbench_core.recipes import TTA_WEIGHTS, Recipe
from airbench_lab.study.settings import with_fields

SCHEMA = 2
DEFAULTS = json.loads(json.dumps(asdict(Recipe())))  # as JSON has them

Check = Callable[[str, Any], Any]  # of a field's name and value: gives the value, or raises UsageError


def _legal(legal: str, is_legal: Callable[[Any], bool], null: bool = False) -> Check:
    def check(name: str, value: Any) -> Any:
        if not ((null and value is None) or is_legal(value)):
            raise _illegal(name, value, f"{legal} or null" if null else legal)
        return value

    return check


def _number(low: float, high: float, *, null: bool = False) -> Check:
    return _legal(f"{low:,} to {high:,}", lambda value: type(value) in (int, float) and low <= value <= high, null)


def _whole(low: int, high: int) -> Check:
    return _legal(f"a whole number, {low:,} to {high:,}", lambda value: type(value) is int and low <= value <= high)


_switch = _legal("true or false", lambda value: isinstance(value, bool))


def _recipe(name: str, value: Any) -> dict[str, Any]:
    try:
        recipe_of(_object(name, value))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    return DEFAULTS | value


def _time(name: str, value: Any) -> str:
    try:
        time = datetime.fromisoformat(value)
        if 1900 < time.year < 2200:
            return time.astimezone(UTC).isoformat(timespec="seconds")
    except (TypeError, ValueError):
        pass
    raise _illegal(name, value, "a time such as 2026-11-22T12:00:00+00:00")


def _text(name: str, value: Any) -> str:
    if not isinstance(value, str):
        raise _illegal(name, value, "text")
    return printable(value)


def _text_or_null(name: str, value: Any) -> str | None:
    return value if value is None else _text(name, value)


def _packed(name: str, value: Any) -> str:
    try:
        unpacked(value)
    except (TypeError, ValueError, zlib.error) as error:
        raise _illegal(name, value, "classes, packed") from error
    return value


HEAD: dict[str, tuple[Check, str]] = {
    "schema": (_whole(SCHEMA, SCHEMA), "SCHEMA of the version that wrote the record"),
    "asked": (_recipe, "the recipe's fields as asked for; one that is lacking is at its default (`load` fills it in)"),
    "recipe": (_recipe, "the same as scaled, so what was trained"),
    "scale": (_text, "name of the scale"),
    "data.name": (_text, "name of the data set"),
    "data.digest": (_text, "of the images and labels that were used, so of those that the scale keeps"),
    "runtime.device": (_text, "kind of device: cpu, cuda or mps"),
    "runtime.name": (_text, "the hardware's own name"),
    "runtime.dtype": (_text, "of the activations"),
    "runtime.threads": (_whole(1, 1_000_000), "of the CPU's kernels"),
    "runtime.compile": (_switch, "whether compiled functions were asked for"),
    "runtime.graphs": (_switch, "whether steps were replayed as CUDA graphs (lacking in the oldest records)"),
    "seed": (_whole(-(2**63), 2**64 - 1), "of weights, order and augmentation"),
    "versions.airbench": (_text, "version of the project"),
    "versions.commit": (
        _text_or_null,
        'commit of its checkout, with "+" where its files were changed since; null: an installed copy',
    ),
    "versions.torch": (_text, "version of PyTorch"),
    "versions.cuda": (
        _text_or_null,
        "that PyTorch was built for, or ROCm and its version; null: not on a GPU",
    ),
    "started": (_time, "start of the run, ISO 8601, UTC"),
}
FINISHED: dict[str, tuple[Check, str]] = {
    "parts[]": (_text, "names of the parts that were somebody's own (`tricks.Parts`); lacking where none was"),
    "seeds.*": (_whole(0, SEEDS - 1), "of init, order or augment where it had its own; lacking where none had"),
    "epochs[].epoch": (_whole(1, 1_000_000), "number of the epoch, counted from 1"),
    "epochs[].epochs": (_number(0, 1_000_000), "epochs done by then; the last may be a fraction"),
    "epochs[].train_loss": (_number(-1e38, 1e38), "mean over the epoch's images"),
    "epochs[].accuracy": (_number(0, 1, null=True), "on the test images without TTA; null: nobody watched"),
    "epochs[].seconds": (_number(0, 1e9, null=True), "since the start; null as `seconds`"),
    "accuracy": (_number(0, 1), "at the recipe's level of TTA"),
    "accuracies.*": (_number(0, 1), "at that level and those below it: none, mirror, mirror+translate"),
    "seconds": (
        _number(0, 1e9, null=True),
        "of the run, with the final TTA; null: not to be quoted, since other work went on beside it",
    ),
    "predictions.*": (_packed, "classes of the test images at each level, packed; only where asked for"),
}
# Of a run that failed in a sweep, instead of those.
FAILED: dict[str, tuple[Check, str]] = {
    "failed.kind": (
        _legal("diverged, error or died", lambda value: value in ("diverged", "error", "died")),
        "diverged (the seed would do so again), error, or died (its process was killed)",
    ),
    "failed.message": (_text, "what went wrong"),
}
FIELDS = HEAD | FINISHED | FAILED
MAY_LACK = {"runtime.graphs", "parts", "seeds", "predictions"}


def recipe_of(values: Mapping[str, Any]) -> Recipe:
    """The recipe of a record's `asked` or `recipe`; equal ones are one object. Raises UsageError if it is none."""
    return _recipe_of(json.dumps(values))


@cache
def _recipe_of(values: str) -> Recipe:
    return with_fields(Recipe(), **json.loads(values))


def checked(values: Mapping[str, Any]) -> dict[str, Any]:
    """A record as it was read, with the fields of the table and no others. Raises UsageError if it is none."""
    return _read(_TREES["failed" in values], values, "")


def _tree(table: Mapping[str, tuple[Check, str]]) -> dict[str, Any]:
    """The table as a record is nested: {"data": {"name": check}, "epochs[]": {"epoch": check}}."""
    tree: dict[str, Any] = {}
    for name, (check, _) in table.items():
        *path, last = name.split(".")
        branch = tree
        for part in path:
            branch = branch.setdefault(part, {})
        branch[last] = check
    return tree


_TREES = {False: _tree(HEAD | FINISHED), True: _tree(HEAD | FAILED)}


def _read(tree: dict[str, Any] | Check, value: Any, name: str) -> Any:
    if not isinstance(tree, dict):
        return tree(name, value)
    found, dot = {}, f"{name}." * bool(name)
    for key, branch in tree.items():
        if key == "*":  # levels of TTA, or what has a seed
            known = {*TTA_WEIGHTS, "init", "order", "augment"}
            found |= {one: branch(f"{dot}{one}", of) for one, of in _object(name, value).items() if one in known}
            continue
        field = key.removesuffix("[]")
        full = f"{dot}{field}"
        if field not in _object(name, value):
            if full not in MAY_LACK:
                raise UsageError(f"not the record of a run (no {full}): name a log of runs")
        elif field == key:
            found[field] = _read(branch, value[field], full)
        elif isinstance(value[field], list):
            found[field] = [_read(branch, one, f"{full}[{i}]") for i, one in enumerate(value[field])]
        else:
            raise _illegal(full, value[field], "a list")
    return found


def _object(name: str, value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise _illegal(name, value, "an object")
    return value


def _illegal(name: str, value: Any, legal: str) -> UsageError:
    return UsageError(f"{name}={reprlib.repr(value)} is not legal: {legal}")


def unpacked(packed: str) -> NDArray[np.uint16]:
    """Little-endian 16-bit integers that were compressed by zlib and written as base64. Raises several errors."""
    unpack = zlib.decompressobj()
    content = unpack.decompress(base64.b64decode(packed, validate=True), 2**24)
    if not unpack.eof:
        raise ValueError("cut off, or too much")
    return np.frombuffer(content, "<u2")
