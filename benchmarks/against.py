"""Our training beside a public speedrun script: child processes on one machine, in turns, ours first.

    python benchmarks/against.py .reference/cifar10-airbench/airbench94_muon.py airbench94_muon --compile
    python benchmarks/against.py benchmarks/plain_port.py --scale laptop --script-args="--scale laptop"

Of the script a temporary copy is run, changed in the two places that public_script.py names. One without a warm-up run
makes one run more, and its first is left out. Most set no seed: torch then draws anew in every process, and so do they.
"""

import argparse
import dataclasses
import hashlib
import json
import os
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from airbench_lab import runlog
from airbench_lab.cli.options import add_recipe, add_root, add_runtime, add_scale, recipe_from, runtime_from
from airbench_lab.data import DATASETS
from airbench_lab.runlog import lines
from gpu_state import gpu_state
from public_script import Run, parse_table, provide_data, rewrite_script, warms_up

import airbench_core
from airbench_core.errors import AirbenchError, UsageError


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """What is compared. `ours`: the arguments of `airbench train` that name recipe, scale and runtime."""

    ours: tuple[str, ...]
    script: Path
    script_args: str = ""  # as typed in a shell
    runs: int = 3  # in a turn
    data: str = "cifar10"
    root: str | None = None


@dataclass(frozen=True, kw_only=True)
class Turn:
    """One process that has ended. accuracies: with TTA, in 0..1. seconds: of each run, by the speedrun's rule."""

    turn: int  # from 0; the even ones are ours
    side: str  # "ours" or "script"
    accuracies: tuple[float, ...]
    seconds: tuple[float, ...]
    wall: float  # seconds of the whole process
    started: float  # seconds since 1970
    gpu: dict[str, str] | None  # as found before the turn


def take_turns(
    pairing: Pairing,
    turns: Sequence[int],
    device: torch.device | None = None,
    timeout: Callable[[], float] | None = None,
) -> Iterator[Turn]:
    """Make the `turns`, such as range(6) for three pairs, giving each as it ends; a later call may go on.

    timeout: called before each turn, the seconds that it may take. Raises UsageError for a script that cannot be
    changed, AirbenchError, with the child's last lines, where a child fails, takes too long or prints another number
    of runs than it was told.
    """
    if pairing.runs < 1:
        raise UsageError(f"runs={pairing.runs} is not legal: 1 or more")
    text = _read(pairing.script)
    extra = 0 if warms_up(text) else 1
    with tempfile.TemporaryDirectory(prefix="airbench-") as name:
        folder = Path(name)
        copy = folder / pairing.script.name
        copy.write_text(rewrite_script(text, pairing.runs + extra, str(folder / "data")), encoding="utf-8")
        provide_data(pairing.data, pairing.root, folder / "data")
        for turn in turns:
            side, gpu, started = ("ours", "script")[turn % 2], gpu_state(device), time.time()
            limit = timeout and timeout()
            if side == "ours":
                runs = _ours(pairing, turn, folder / "ours.jsonl", limit)
            else:
                runs = _theirs(pairing, turn, copy, extra, limit)
            wall = time.time() - started
            yield Turn(
                turn=turn,
                side=side,
                accuracies=tuple(run.accuracy for run in runs),
                seconds=tuple(run.seconds for run in runs),
                wall=wall,
                started=started,
                gpu=gpu,
            )


def _ours(pairing: Pairing, turn: int, log: Path, timeout: float | None) -> list[Run]:
    log.unlink(missing_ok=True)
    seed = turn // 2 * pairing.runs
    command = [sys.executable, "-m", "airbench_lab.cli", "train", *pairing.ours, "--data", pairing.data]
    command += ["--root", pairing.root] if pairing.root else []
    command += ["--runs", str(pairing.runs), "--seed", str(seed), "--out", str(log), "--race"]
    _child(command, f"our turn {turn // 2 + 1}", None, "", timeout)
    return [Run(record["accuracy"], record["seconds"]) for record in runlog.load(log)]


def _theirs(pairing: Pairing, turn: int, copy: Path, extra: int, timeout: float | None) -> list[Run]:
    what = f"turn {turn // 2 + 1} of {pairing.script}"
    command = [sys.executable, str(copy), *shlex.split(pairing.script_args)]
    # In the temporary folder, where scripts leave their logs; modules beside the script are found as before.
    printed = _child(command, what, copy.parent, str(pairing.script.parent.resolve()), timeout)
    try:
        runs = parse_table(printed)
    except AirbenchError as error:
        raise AirbenchError(f"{what}: {error}{_last_lines(printed)}") from error
    if len(runs) != pairing.runs + extra:
        raise AirbenchError(f"{what}: {len(runs)} runs in its table instead of {pairing.runs + extra}")
    return runs[extra:]


def _child(command: list[str], what: str, folder: Path | None, modules: str, timeout: float | None) -> str:
    """What the child printed on its standard output."""
    paths = [str(Path(airbench_core.__file__).parents[1]), modules, os.environ.get("PYTHONPATH", "")]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, paths))}
    options = {"capture_output": True, "text": True, "encoding": "utf-8", "errors": "replace"}
    try:
        done = subprocess.run(command, cwd=folder, env=environment, timeout=timeout, **options)
    except subprocess.TimeoutExpired as error:
        raise AirbenchError(f"{what} took longer than {timeout:.0f} s and was ended: give it more time") from error
    if done.returncode:
        raise AirbenchError(f"{what} failed with status {done.returncode}{_last_lines(done.stderr or done.stdout)}")
    return done.stdout


def _last_lines(printed: str, count: int = 4) -> str:
    lines = [line.strip() for line in printed.splitlines() if line.strip(" ^~")]  # without a traceback's marks
    return "; its last lines: " + " | ".join(lines[-count:]) if lines else "; it printed nothing"


def _read(script: Path) -> str:
    try:
        return script.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(
            f"cannot read the script {script}: {getattr(error, 'strerror', None) or error}; name a Python file, such "
            "as airbench94_muon.py of a clone of github.com/KellerJordan/cifar10-airbench"
        ) from error


def report(turns: Sequence[Turn]) -> dict[str, object]:
    """Both sides' accuracy and seconds, and script's over our seconds pair by pair: above 1 where ours are fewer."""
    both = {side: [turn for turn in turns if turn.side == side] for side in ("ours", "script")}
    pairs = list(zip(both["ours"], both["script"], strict=False))
    ratios = [statistics.median(theirs.seconds) / statistics.median(ours.seconds) for ours, theirs in pairs]
    return {
        **{side: _described(some) for side, some in both.items()},
        "ratios": [round(ratio, 4) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 4) if ratios else None,
    }


def _described(turns: Sequence[Turn]) -> dict[str, object]:
    from airbench_lab.study.statistics import mean_interval  # here: scipy is slow to import

    accuracies = [accuracy for turn in turns for accuracy in turn.accuracies]
    seconds = [s for turn in turns for s in turn.seconds]
    described: dict[str, object] = {"n": len(accuracies), "seconds": seconds, "accuracies": accuracies}
    if accuracies:
        described |= {"accuracy": statistics.mean(accuracies), "median_seconds": statistics.median(seconds)}
    if len(accuracies) > 1:
        mean = mean_interval(accuracies)
        described["interval"] = [mean.low, mean.high]
    return described


def row(turn: Turn) -> str:
    """A line of the table that is printed while the turns are taken."""
    n, mean, seconds = len(turn.seconds), statistics.mean(turn.accuracies), statistics.median(turn.seconds)
    return f"{turn.turn // 2 + 1:>4}  {turn.side:8}{n:>4}{mean:>11.4f}{seconds:>10.3f}"


HEADER = f"{'pair':>4}  {'side':8}{'n':>4}{'accuracy':>11}{'seconds':>10}"


def shown(report: dict) -> str:
    """A `report` in words, a line for each side and one for the ratios."""
    lines = []
    for side in ("ours", "script"):
        one = report[side]
        if not one["n"]:
            continue
        interval = ", 95 % interval {:.4f} to {:.4f}".format(*one["interval"]) if "interval" in one else ""
        lines.append(
            f"{side:8}accuracy {one['accuracy']:.4f}{interval}, n={one['n']}; "
            f"seconds a run: median {one['median_seconds']:.3f}"
        )
    if report["ratios"]:
        each = ", ".join(f"{ratio:.3f}" for ratio in report["ratios"])
        lines.append(f"script's over our seconds, pair by pair: {each}; median {report['median_ratio']:.3f}")
    return "\n".join(lines)


def to_record(turn: Turn) -> dict[str, object]:
    """Plain values for a log; `from_record` reads them."""
    return dataclasses.asdict(turn)


def from_record(record: dict) -> Turn:
    """The turn that `to_record` wrote, whatever else the record says."""
    values = {field.name: record[field.name] for field in dataclasses.fields(Turn)}
    return Turn(**values | {name: tuple(values[name]) for name in ("accuracies", "seconds")})


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("script", type=Path, metavar="SCRIPT", help="such as airbench94_muon.py of the repository")
    add_recipe(parser, default="airbench94")
    add_scale(parser)
    add_runtime(parser)
    parser.add_argument("--script-args", default="", metavar="ARGS", help="arguments of the script, as in a shell")
    parser.add_argument("--runs", type=int, default=3, help="runs of each side in a turn (default 3)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each side takes its turn (default 3)")
    parser.add_argument("--out", type=Path, metavar="FILE", help="append each finished turn, a line of JSON each")
    parser.add_argument("--data", default="cifar10", help=f"{', '.join(DATASETS)} (default cifar10, to be on disk)")
    add_root(parser)
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    args = parser.parse_args(argv)
    if args.pairs < 1:
        raise UsageError(f"pairs={args.pairs} is not legal: 1 or more")
    recipe_from(args)  # for its errors, before anything is started
    runtime = runtime_from(args)
    about = {
        "recipe": args.recipe,
        "set": args.settings,
        "scale": args.scale,
        **runtime.describe(),
        "torch": torch.__version__,
        "script_name": str(args.script),
        "script_sha256": hashlib.sha256(_read(args.script).encode()).hexdigest(),
        "script_args": args.script_args,
        "runs": args.runs,
        "data": args.data,
        "gpu": gpu_state(runtime.device),
    }
    pairing = Pairing(
        ours=_train_arguments(args),
        script=args.script,
        **{name: getattr(args, name) for name in ("script_args", "runs", "data", "root")},
    )
    if args.out:
        lines.check_writable(args.out)
    if not args.json:
        print(", ".join(f"{name} {value}" for name, value in about.items() if value not in ([], False, None, "")))
        print(HEADER, flush=True)
    turns: list[Turn] = []
    try:
        for turn in take_turns(pairing, range(2 * args.pairs), runtime.device):
            turns.append(turn)
            if args.out:
                lines.append(args.out, about | to_record(turn), f"turn {turn.turn // 2 + 1} is done")
            if not args.json:
                print(row(turn), flush=True)
    finally:  # what was measured before an error or Ctrl-C is said
        if turns:
            print(json.dumps({**about, **report(turns)}) if args.json else shown(report(turns)))
    return 0


def _train_arguments(args: argparse.Namespace) -> tuple[str, ...]:
    """The recipe, scale and runtime that were asked for, as arguments of `airbench train`."""
    arguments = [args.recipe, *(word for setting in args.settings for word in ("--set", setting))]
    arguments += ["--scale", args.scale, "--device", args.device, "--dtype", args.dtype]
    arguments += ["--threads", str(args.threads)] if args.threads is not None else []
    return (*arguments, *["--compile"] * args.compile)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AirbenchError as error:
        sys.exit(print(f"against: error: {error}", file=sys.stderr) or error.exit_status)
