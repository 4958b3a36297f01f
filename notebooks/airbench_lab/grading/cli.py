"""`airbench grade`: a folder of submissions. An entry point of `airbench.verbs` (pyproject.toml) brings it in."""

import argparse
import os
import sys
from collections import Counter
from pathlib import Path

from airbench_core import SCALES, UsageError
from airbench_lab.grading.folder import GRADED, grade
from airbench_lab.grading.limits import landlock_version
from airbench_lab.grading.marking import assignments_in
from airbench_lab.grading.sandbox import Limits
from airbench_lab.grading.submissions import find, read_roster

GENERATED = Path(__file__).parents[2] / "assignments" / "generated"


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "grade",
        help="grade a folder of submissions",
        description="Grades every notebook (.ipynb, or .zip with one) in FOLDER and below. What cannot be graded is "
        "listed with the reason. Started again it goes on where it was.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that holds the submissions")
    parser.add_argument("--out", type=Path, default=Path("grades.csv"), metavar="FILE.csv", help="default grades.csv")
    add_grading(parser)
    parser.set_defaults(run=run)


def add_grading(parser: argparse.ArgumentParser) -> None:
    """The options of every command that runs submissions."""
    limits = Limits()
    parser.add_argument(
        "--assignments", type=Path, default=GENERATED, metavar="FOLDER", help="what `make assignments` wrote"
    )
    parser.add_argument("--roster", type=Path, metavar="FILE.csv", help="the students' ids, in the first column")
    parser.add_argument("--scale", choices=SCALES, default="laptop", help="of the trainings (default laptop)")
    parser.add_argument("--jobs", type=int, default=1, help="submissions at a time (default 1)")
    parser.add_argument(
        "--seconds", type=float, default=limits.seconds, help=f"for a call of a function (default {limits.seconds:g})"
    )
    parser.add_argument(
        "--training-seconds",
        type=float,
        default=limits.training,
        help=f"for a cell or a training (default {limits.training:g})",
    )
    parser.add_argument(
        "--total-seconds", type=float, default=limits.total, help=f"for a submission (default {limits.total:g})"
    )
    parser.add_argument(
        "--memory", type=float, default=limits.memory, help=f"GB for a submission (default {limits.memory:g})"
    )


def limits_from(args: argparse.Namespace) -> Limits:
    for name in ("jobs", "seconds", "training_seconds", "total_seconds", "memory"):
        if not getattr(args, name) > 0:
            raise UsageError(f"{name}={getattr(args, name)} is not legal: more than 0")
    return Limits(seconds=args.seconds, training=args.training_seconds, total=args.total_seconds, memory=args.memory)


def run(args: argparse.Namespace) -> int:
    if args.out.suffix != ".csv":
        raise UsageError(f"--out {args.out}: the table is a .csv file")
    limits = limits_from(args)
    assignments = assignments_in(args.assignments)
    submissions = find(args.folder, assignments, read_roster(args.roster) if args.roster else None)
    say_how_safe()
    os.environ["AIRBENCH_SCALE"] = args.scale  # for the tests' own part of a training
    rows = grade(submissions, assignments, args.out, scale=args.scale, jobs=args.jobs, limits=limits)
    counted = Counter(row["status"] for row in rows)
    print(f"{', '.join(f'{n} {status}' for status, n in counted.items())}; written to {args.out}")
    return 0 if set(counted) == {GRADED} else 1


def say_how_safe() -> None:
    if not landlock_version():
        print(
            "airbench: warning: this system has no Landlock (Linux 5.13 or newer has): submitted code runs with limits "
            "of time and memory, but can read and write what you can. Use a machine or an account for it alone.",
            file=sys.stderr,
        )
