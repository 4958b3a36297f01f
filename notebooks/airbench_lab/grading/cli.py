"""`airbench grade` and `airbench leaderboard`: folders of submissions."""

import argparse
import os
import sys
import warnings
from collections import Counter
from collections.abc import Collection
from dataclasses import asdict, replace
from pathlib import Path

from airbench_core import SCALES, AirbenchWarning, UsageError
from airbench_lab import tell
from airbench_lab.cli.options import seeds_from
from airbench_lab.grading import confined
from airbench_lab.grading.folder import GRADED, feedback_folder, grade, harmless
from airbench_lab.grading.generate import GENERATED
from airbench_lab.grading.leaderboard import ASSIGNMENT, COLUMNS, compete
from airbench_lab.grading.marking import assignments_in
from airbench_lab.grading.process import Limits
from airbench_lab.grading.submissions import Submission, find, read_roster
from airbench_lab.grading.training import data_name
from airbench_lab.lessons.speedrun import RULES
from airbench_lab.study import layout
from airbench_lab.study.statistics import FEWEST, legal_target

MOST = 1_000_000  # of any limit: poll() counts milliseconds with 31 bits


def add(verbs: argparse._SubParsersAction) -> None:
    _add_grade(verbs)
    _add_leaderboard(verbs)


def _add_grade(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "grade",
        description="Grades every notebook in FOLDER and below, in .zip files too. What cannot be graded is "
        "listed with the reason. Started again it goes on where it was.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that holds the submissions")
    parser.add_argument("--out", type=Path, default=Path("grades.csv"), metavar="FILE.csv", help="default grades.csv")
    parser.add_argument(
        "--assignments", type=Path, default=GENERATED, metavar="FOLDER", help="what `make assignments` wrote"
    )
    parser.add_argument("--jobs", type=int, default=1, help="submissions at a time (default 1)")
    _add_grading(parser, SCALES)
    parser.set_defaults(run=run_grade)


def _add_leaderboard(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "leaderboard",
        description="Runs the recipe and parts of every speedrun submission in FOLDER, in turns and one at a time, "
        "tests each mean accuracy as `airbench verify` does, and ranks what passes by median seconds. Started again it "
        "goes on where it was.",
    )
    parser.add_argument("folder", type=Path, metavar="FOLDER", help="the folder that holds the submissions")
    parser.add_argument(
        "--out", type=Path, default=Path("leaderboard.md"), metavar="FILE.md", help="default leaderboard.md; also .csv"
    )
    parser.add_argument("--runs", type=int, default=FEWEST, help=f"of each entry (default {FEWEST})")
    parser.add_argument("--seed", type=int, default=1000, help="of the first run; better one that nobody knows (1000)")
    parser.add_argument("--target", type=float, help="mean accuracy in 0..1 (default: that of lesson 12 for the scale)")
    _add_grading(parser, RULES)
    parser.set_defaults(run=run_leaderboard)


def _add_grading(parser: argparse.ArgumentParser, scales: Collection[str]) -> None:
    """The options of every command that runs submissions."""
    limits = Limits()
    parser.add_argument("--roster", type=Path, metavar="FILE.csv", help="the students' ids, in the first column")
    parser.add_argument("--scale", choices=scales, default="laptop", help="of the trainings (default laptop)")
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
    for name, what in ("memory", "GB of memory"), ("disk", "GB that it may write, in memory"):
        most = getattr(limits, name)
        parser.add_argument(f"--{name}", type=float, default=most, help=f"{what} for a submission (default {most:g})")


def run_grade(args: argparse.Namespace) -> int:
    if args.out.suffix != ".csv":
        raise UsageError(f"--out {args.out}: the table is a .csv file")
    limits = _limits(args, "jobs")
    assignments = assignments_in(args.assignments)
    submissions = _submissions(args, assignments)
    _say_how_safe(args.folder, args.assignments)
    print(f"trainings on this machine: with {data_name()}, at the scale {args.scale}")
    os.environ["AIRBENCH_SCALE"] = args.scale  # for the tests' own part of a training
    rows = grade(submissions, assignments, args.out, scale=args.scale, jobs=args.jobs, limits=limits, say=_say)
    counted = Counter(row["status"] for row in rows)
    _say(f"{', '.join(f'{n} {status}' for status, n in counted.items())}; written to {args.out}")
    return 0 if set(counted) == {GRADED} else 1


def run_leaderboard(args: argparse.Namespace) -> int:
    if args.out.suffix != ".md":
        raise UsageError(f"--out {args.out}: the leaderboard is a .md file")
    rules = RULES[args.scale]
    if args.target is not None:
        rules = replace(rules, target=legal_target(args.target))
    submissions = _submissions(args, [ASSIGNMENT])
    seeds = seeds_from(args.seed, args.runs, "runs")
    _say_how_safe(args.folder)
    print(rules)
    rows = compete(submissions, args.out.with_suffix(".jsonl"), rules, seeds, limits=_limits(args), say=_say)
    named = f"# Leaderboard\n\n{rules}\n\n{layout.table(rows, COLUMNS, 'markdown')}\n"
    args.out.write_text(named, encoding="utf-8")
    table = layout.csv(harmless(asdict(row)) for row in rows) + "\n"
    args.out.with_suffix(".csv").write_text(table, encoding="utf-8", errors="backslashreplace")
    print(layout.table(rows, COLUMNS))
    _say(f"written to {args.out}")
    return 0


def _say(line: str) -> None:
    """On standard output, whatever ids and names of files are in it."""
    tell(line, sys.stdout)


def _submissions(args: argparse.Namespace, assignments: Collection[str]) -> list[Submission]:
    roster = read_roster(args.roster) if args.roster else None
    return find(args.folder, assignments, roster, without=feedback_folder(args.out))


def _limits(args: argparse.Namespace, *others: str) -> Limits:
    for name in ("seconds", "training_seconds", "total_seconds", "memory", "disk", *others):
        if not 0 < getattr(args, name) <= MOST:
            raise UsageError(f"{name}={getattr(args, name):g} is not legal: more than 0, at most {MOST:,}")
    return Limits(
        seconds=args.seconds,
        training=args.training_seconds,
        total=args.total_seconds,
        memory=args.memory,
        disk=args.disk,
    )


def _say_how_safe(*private: Path) -> None:
    """Say what holds submitted code here, and warn of what does not. private: folders that it should not read."""
    limits = confined.holds()
    print(f"submitted code on this machine: {'; '.join(words for words, yes in limits.items() if yes)}")
    if missing := [words for words, yes in limits.items() if not yes]:
        words = f"not on this machine ({confined.namespaces()}): {'; '.join(missing)}. Use a machine for it alone"
        warnings.warn(words, AirbenchWarning, stacklevel=2)
    open_to_all = [Path(path) for path in confined.readable()]
    for folder in private:
        if any(folder.resolve().is_relative_to(path) for path in open_to_all):
            words = f"submitted code can read {folder}, as all programs and libraries there: keep it somewhere else"
            warnings.warn(words, AirbenchWarning, stacklevel=2)
