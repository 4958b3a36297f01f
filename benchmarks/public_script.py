"""A public speedrun script, made ready to be run here: two places of its text, its table, its data.

Known are the scripts of github.com/KellerJordan/cifar10-airbench and github.com/hiverge/cifar10-speedrun, in all their
revisions. They have one loop that calls main(run, ...) for a counter in `range(200)`, as a statement or in brackets;
loaders made by `CifarLoader("cifar10", ...)` or `InfiniteCifarLoader('cifar10', ...)`; perhaps, before the loop,
`main("warmup", ...)`; and one table:

    |  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |
    |  warmup  |      1  |     0.1043  |   0.1000  |               |        1.2345  |
    |          |   eval  |     0.1080  |   0.1000  |       0.1000  |        9.8765  |

`tta_val_acc` is filled in a run's last row, a run's name may stand in its first row alone, and the seconds, which
follow the speedrun's rule, are called `time_seconds` or `total_time_seconds`.
"""

import ast
import os
import shutil
from pathlib import Path
from typing import NamedTuple

from airbench_lab.data import load_dataset
from airbench_lab.data.sources import CIFAR10

from airbench_core.dataset import Dataset
from airbench_core.errors import AirbenchError, DataError, UsageError

ACCURACY, SECONDS = "tta_val_acc", ("time_seconds", "total_time_seconds")


class Run(NamedTuple):
    """What a table says of a finished run: accuracy with TTA in 0..1, seconds by the script's own clock."""

    accuracy: float
    seconds: float


def rewrite_script(text: str, runs: int, data: str) -> str:
    """`text` with `runs` runs that read their data in the folder `data`; nothing else is changed.

    Raises UsageError where a place to change is missing, or where it is not clear which one is meant.
    """
    nodes = list(ast.walk(_parsed(text)))
    counts = [count for node in nodes if (count := _count_of_runs(node)) is not None]
    if len(counts) != 1:
        raise UsageError(
            "the number of runs is looked for in one loop that calls main for a counter in range(25), and there are "
            f"{len(counts)} in the script: change a copy of it to that form, and name the copy"
        )
    loaders = [node for node in nodes if isinstance(node, ast.Call) and _name(node.func).endswith("CifarLoader")]
    folders = [call.args[0] for call in loaders if call.args and _value(call.args[0]) == "cifar10"]
    if not folders or len(folders) != len(loaders):
        raise UsageError(
            f"the data's folder is looked for in calls such as CifarLoader('cifar10', ...), and {len(folders)} of the "
            f"{len(loaders)} calls in the script have that form: change a copy of it to that form, and name the copy"
        )
    return _replaced(text, [(counts[0], repr(runs)), *((folder, repr(data)) for folder in folders)])


def warms_up(text: str) -> bool:
    """Whether the script makes a warm-up run by itself; the first run of one that does not pays for compilation."""
    calls = [node for node in ast.walk(_parsed(text)) if isinstance(node, ast.Call) and _name(node.func) == "main"]
    return any(call.args and _value(call.args[0]) == "warmup" for call in calls)


def _parsed(text: str) -> ast.Module:
    try:
        return ast.parse(text)
    except (SyntaxError, ValueError) as error:
        raise UsageError(f"the script is no Python that can be read ({error}): name another file") from error


def _count_of_runs(node: ast.AST) -> ast.Constant | None:
    """The 25 of `for run in range(25): main(run)` or `[main(run) for run in range(25)]`, if `node` is such a loop."""
    if isinstance(node, ast.For):
        times, body = node.iter, node.body
    elif isinstance(node, ast.ListComp | ast.GeneratorExp) and len(node.generators) == 1:
        times, body = node.generators[0].iter, [node.elt]
    else:
        return None
    called = {_name(call.func) for part in body for call in ast.walk(part) if isinstance(call, ast.Call)}
    if "main" not in called or not isinstance(times, ast.Call) or _name(times.func) != "range" or len(times.args) != 1:
        return None
    return times.args[0] if isinstance(_value(times.args[0]), int) else None


def _name(function: ast.expr) -> str:
    return function.id if isinstance(function, ast.Name) else ""


def _value(node: ast.expr) -> object:
    return node.value if isinstance(node, ast.Constant) else None


def _replaced(text: str, changes: list[tuple[ast.expr, str]]) -> str:
    """`text` with each expression, which stands on one line, replaced; all else stays as it is, byte for byte."""
    lines = [line.encode() for line in text.split("\n")]  # columns are counted in bytes
    for node, new in sorted(changes, key=lambda change: -change[0].col_offset):  # so that columns stay true
        line = lines[node.lineno - 1]
        lines[node.lineno - 1] = line[: node.col_offset] + new.encode() + line[node.end_col_offset :]
    return b"\n".join(lines).decode()


def parse_table(text: str) -> list[Run]:
    """The finished runs in what a script printed, in their order, without a warm-up. Raises AirbenchError."""
    columns: list[str] = []
    finals: dict[str, Run] = {}
    name = ""
    for line in text.splitlines():
        cells = [cell.strip() for cell in line.strip().split("|")[1:-1]]
        if ACCURACY in cells:
            columns = cells
        elif columns and len(cells) == len(columns):
            row = dict(zip(columns, cells, strict=True))
            name = row.get("run") or name
            if row[ACCURACY] and name != "warmup":
                finals[name] = _run(row)
    if not columns:
        raise AirbenchError(f"the script printed no table with a column {ACCURACY}: it is none of the known kind")
    return list(finals.values())


def _run(row: dict[str, str]) -> Run:
    seconds = next((row[name] for name in SECONDS if name in row), None)
    if seconds is None:
        raise AirbenchError(f"the script's table has no column {' or '.join(SECONDS)}, only {', '.join(row)}")
    try:
        return Run(float(row[ACCURACY]), float(seconds))
    except ValueError as error:
        raise AirbenchError(f"the script's table holds what is no number, in the row {row}: {error}") from error


def provide_data(name: str, root: str | None, folder: Path) -> None:
    """Fill `folder` with the data set `name` as the scripts look for it; nothing is downloaded or written elsewhere.

    CIFAR-10 is linked file by file in torchvision's layout, verified, so that the scripts make their caches from it,
    in `folder`. Another data set is written as such a cache. Raises DataError where CIFAR-10 is not on disk.
    """
    folder.mkdir()
    if name == "cifar10":
        found = CIFAR10.find(None if root is None else Path(root))
        if found is None:
            raise DataError("CIFAR-10 is not on disk: run `airbench data cifar10`, or name its folder with --root")
        for _ in CIFAR10.obtain(found.parent, None):  # verifies, and extracts an archive
            pass
        source = found.parent / CIFAR10.folder
        target = folder / source.name
        target.mkdir()  # a folder of links, not a link to the folder: what is written into it stays here
        for file in source.iterdir():
            _link(file.resolve(), target / file.name)
    else:
        _write_cache(load_dataset(name, root), folder)


def _link(file: Path, target: Path) -> None:
    try:
        os.symlink(file, target)
    except OSError:  # Windows, where only some may link
        shutil.copyfile(file, target)


def _write_cache(data: Dataset, folder: Path) -> None:
    import torch

    for split in ("train", "test"):
        images, labels = getattr(data, f"{split}_images"), getattr(data, f"{split}_labels")
        contents = {"images": images.permute(0, 2, 3, 1).contiguous(), "labels": labels, "classes": list(data.classes)}
        torch.save(contents, folder / f"{split}.pt")
