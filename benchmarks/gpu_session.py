"""All measurements that need a GPU, in one command that may be stopped and called again until all is done.

    python benchmarks/gpu_session.py --out results --minutes 12 --data folder-of-CIFAR-10
    python benchmarks/gpu_session.py --list                                   # the pieces, and what they cost
    python benchmarks/gpu_session.py --out tiny --device cpu --scale smoke    # without a GPU, to see that all runs

It takes the pieces of gpu_plan.py in their order, skips every run that --out already holds (of the same recipe, seed,
device and data), and starts none that, by what was measured so far, its minutes are too short for. --out then holds a
run log for each piece, the comparisons' turns and reports, doctor.txt and summary.txt. Exit status: 0 all is done, 3
something is left, 2 asked for wrongly. --reference names the folder with the clones cifar10-airbench (of
github.com/KellerJordan) and cifar10-speedrun (of github.com/hiverge), for the comparisons.
"""

import argparse
import json
import statistics
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a machine that is lent has this checkout alone
sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "notebooks"))

import against
import torch
from airbench_lab.runlog import lines
from airbench_lab.study.keys import key
from airbench_lab.study.statistics import against_target, mean_interval
from gpu_pace import MARGIN, Pace
from gpu_plan import Piece, plan
from gpu_state import gpu_state
from gpu_work import REPOSITORY, Session, compare, doctor, make_jobs, say

from airbench_core import SCALES
from airbench_core.errors import AirbenchError, UsageError


def work(session: Session, pieces: Sequence[Piece]) -> dict[str, int]:
    """Do what fits of the pieces, in their order; gives what is left of each. A piece that fails leaves the others."""
    left = {}
    for piece in pieces:
        try:
            if piece.jobs:
                left[piece.name] = make_jobs(session, piece)
            elif piece.comparison:
                left[piece.name] = compare(session, piece)
            else:
                left[piece.name] = doctor(session)
        except UsageError:
            raise
        except Exception as error:  # of whatever kind: what comes next is worth as much
            left[piece.name] = 1
            say(f"{piece.name}: {type(error).__name__}: {error}")
            with (session.out / "errors.txt").open("a") as errors:
                errors.write(f"{piece.name}\n{traceback.format_exc()}\n")
            if not device_answers(session):
                say(f"the device answers no more: call again, with --skip {piece.name} if it fails again")
                left |= {other.name: 1 for other in pieces if other.name not in left}
                break
    return left


def device_answers(session: Session) -> bool:
    try:
        session.runtimes[False].synchronize()
    except RuntimeError:
        return False
    return True


def summary(session: Session, pieces: Sequence[Piece], left: dict[str, int]) -> str:
    """A line for each recipe of the pieces with few, one for each piece that records many, and what is left."""
    lines = []
    for piece in pieces:
        done, rows = session.done(piece) if piece.jobs else {}, []
        report = session.out / f"{piece.name}.json"
        if piece.comparison and report.exists():
            rows = [f"  {line}" for line in against.shown(json.loads(report.read_text())).splitlines()]
        for job in piece.jobs:
            records = [done.get(key(session.values(job, seed)), {}) for seed in job.seeds]
            if scored := [record for record in records if "seconds" in record]:
                rows.append(f"  {job.label}: {described(scored, piece.target)}")
        shown = rows if len(piece.jobs) < 10 else [f"  {len(rows)} of {len(piece.jobs)} recipes"] * bool(rows)
        lines += [f"{piece.name}: {f'{left[piece.name]} left' if left[piece.name] else 'done'}", *shown]
    return "\n".join(lines)


def described(records: list[dict], target: float | None) -> str:
    accuracies = [record["accuracy"] for record in records]
    seconds = statistics.median(record["seconds"] for record in records)
    text = f"mean {statistics.mean(accuracies):.4f}"
    if len(accuracies) > 1:
        mean = mean_interval(accuracies)
        text += f", 95 % interval {mean.low:.4f} to {mean.high:.4f}"
    text += f", n={len(accuracies)}; median {seconds:.3f} s"
    if target is not None and len(accuracies) > 1:
        test = against_target(accuracies, target)
        text += f"; target {target:g}: {'FAILED' if test.failed else 'nothing speaks against it'} (p={test.p:.3g})"
    return text


def listed(pieces: Sequence[Piece]) -> str:
    """The pieces with what they are expected to take, before anything was measured."""
    pace, lines, total = Pace(0), [], 0.0
    for piece in pieces:
        if piece.comparison:
            c = piece.comparison
            seconds, what = 2 * c.pairs * pace.turn(c.compile, c.runs, c.expected), f"{c.recipe} beside {c.script}"
        elif piece.jobs:
            seconds = sum(pace.setup(job.compile) + len(job.seeds) * pace.run(job.expected) for job in piece.jobs)
            what = f"{len(piece.jobs)} recipe(s), {sum(len(job.seeds) for job in piece.jobs)} runs"
        else:
            seconds, what = pace.setup(compile=True), "airbench doctor"
        total += seconds
        lines.append(f"{piece.name:22}{seconds / 60:>6.1f} min  {what}")
    closing = f"{'together':22}{total / 60:>6.1f} min  at an A100's pace, with {MARGIN - 1:.0%} to spare"
    return "\n".join([*lines, closing])


def chosen(args: argparse.Namespace) -> list[Piece]:
    pieces = plan(args.scale)
    names = [piece.name for piece in pieces]
    for name in [*args.only, *args.skip]:
        if name not in names:
            raise UsageError(f"there is no piece {name}: they are {', '.join(names)}")
    return [piece for piece in pieces if (not args.only or piece.name in args.only) and piece.name not in args.skip]


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, metavar="DIR", help="the folder for all results; to go on, the same again")
    parser.add_argument("--minutes", type=float, default=12.0, help="of this call (default 12)")
    parser.add_argument("--data", metavar="PATH", help="folder that holds CIFAR-10 (default: $AIRBENCH_DATA)")
    parser.add_argument("--reference", default=str(REPOSITORY / ".reference"), help="folder of the public scripts")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores but one)")
    parser.add_argument("--scale", default="full", choices=SCALES, help="other than full: only to see that all runs")
    parser.add_argument("--only", action="append", default=[], metavar="PIECE", help="may be repeated")
    parser.add_argument("--skip", action="append", default=[], metavar="PIECE", help="may be repeated")
    parser.add_argument("--list", action="store_true", help="show the pieces and end")
    args = parser.parse_args(argv)
    args.dataset = "cifar10" if args.scale == "full" or args.data else "builtin"
    return args


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    pieces = chosen(args)
    if args.list:
        print(listed(pieces))
        return 0
    if args.out is None:
        raise UsageError("where to? --out DIR names the folder for the results")
    session = Session(args)
    if args.scale == "full" and session.device.type != "cuda":
        raise UsageError(
            f"full scale is for a CUDA device, not {session.device}: --device cpu --scale smoke runs small"
        )
    args.out.mkdir(parents=True, exist_ok=True)
    versions = {"torch": torch.__version__, "cuda": torch.version.cuda, "python": sys.version.split()[0]}
    state = {"started": time.time(), "gpu": gpu_state(session.device), "minutes": args.minutes, **versions}
    lines.append(session.log("sessions"), state, "the session has started")
    left = work(session, pieces)
    text = summary(session, pieces, left)
    (args.out / "summary.txt").write_text(text + "\n")
    say(text)
    return 3 if any(left.values()) else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except AirbenchError as error:
        sys.exit(print(f"gpu_session: error: {error}", file=sys.stderr) or error.exit_status)
