"""`airbench report`: what a run log says, as a table."""

import argparse
import sys
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airbench_core import SCALES, AirbenchError, UsageError
from airbench_lab.study.studies import STUDIES, study_named

if TYPE_CHECKING:
    import pandas as pd


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "report",
        description="A table of the runs in one or more logs: a row for each recipe and runtime, with n and 95 % "
        "intervals. A NAME is what stands in a table's first column: a published recipe with the fields in which the "
        "row's differs, as they were asked for, before the scale; with --study what the study calls it.",
    )
    parser.add_argument(
        "logs", type=Path, nargs="+", metavar="LOG", help="what `airbench sweep` or `airbench train --out LOG` wrote"
    )
    parser.add_argument(
        "--study",
        metavar="STUDY",
        help=f"only the runs of this study, by the names of its variants and in their order: {', '.join(STUDIES)}, or "
        "a recipe; those trained with other epochs than the study's are its runs too",
    )
    parser.add_argument(
        "--data",
        metavar="NAME",
        help="only the runs on this data set, as the log names it, such as cifar10-holdout5000; needed where it holds "
        "several",
    )
    parser.add_argument(
        "--baseline",
        metavar="NAME",
        help="compare the others with this row: their accuracies, seed by seed; with --target the epochs",
    )
    other = parser.add_mutually_exclusive_group()
    other.add_argument(
        "--reference",
        metavar="NAME",
        help="add how many epochs of this recipe give the same accuracy, and the effective speedup: these over the "
        "row's own epochs; NAME without epochs, of a recipe trained with several",
    )
    other.add_argument(
        "--target",
        type=float,
        metavar="ACCURACY",
        help="instead: the epochs that take each recipe to this mean accuracy, such as 0.94, between the epochs that "
        "it was trained with, as the scale shortened them; NAMEs are without epochs",
    )
    other.add_argument(
        "--variance",
        action="store_true",
        help="instead: the variance between runs, on the test set and of the distribution, and the calibration of "
        "their ensemble, from the predictions in the log",
    )
    parser.add_argument("--root", help="with --variance: folder that holds the data (default: as `airbench data`)")
    parser.add_argument("--tta", help="only this level of TTA (default: the recipe's own; with --variance every one)")
    parser.add_argument(
        "--format", choices=("text", "markdown", "csv"), default="text", help="csv: every number, unrounded"
    )
    parser.set_defaults(run=run, only_reads=True)


def run(args: argparse.Namespace) -> int:
    from airbench_lab import runlog  # here and below: what `report --help` does not need is slow to import
    from airbench_lab.study.frames import frame, one_setting
    from airbench_lab.study.names import check_named, failures, named

    if args.variance and args.baseline is not None:
        raise UsageError("argument --baseline: not allowed with argument --variance")
    if args.root is not None and not args.variance:
        raise UsageError("argument --root: only with --variance, whose labels it finds")
    study = None if args.study is None else study_named(args.study)
    records = list(chain(*(runlog.load(log, failed=True) for log in args.logs)))
    logged = every = frame(records, failed=True)
    if args.data is not None and len(logged):
        check_named("data", args.data, logged["data"])
        every = logged[logged["data"] == args.data]
    runs = named(every, study)
    left_out = every["key"].nunique() - runs["key"].nunique()
    if left_out and runs.empty:
        raise UsageError(f"study={args.study}: none of the {left_out} runs in the log is of it")
    failed, finished = failures(runs), runs[runs["failed"].isna()]
    if finished.empty:
        logs, why = ", ".join(map(str, args.logs)), "; ".join(failed[:3]) + "; ..." * (len(failed) > 3)
        raise AirbenchError(f"nothing in {logs} succeeded: {why or 'nothing is logged there'}")
    if len(counts := finished["data"].value_counts(sort=False)) > 1:
        mixed = ", ".join(f"{name}: {n}" for name, n in counts.items())
        raise UsageError(f"these {len(finished)} runs mix data sets ({mixed}): choose one by --data NAME")
    one_setting(finished, device=False)
    table = _table(finished, records, args)
    if args.format == "text":
        print(_about(finished, args))
    print(table)
    beside = sys.stdout if args.format == "text" else sys.stderr
    for line in failed:
        print(line, file=beside)
    others = logged["key"].nunique() - every["key"].nunique()
    for n, kind in (others, f"data set {args.data}"), (left_out, f"study {args.study}"):
        if n:
            print(f"{n} run{'s' * (n > 1)} left out: not of the {kind}", file=beside)
    return 0


def _table(runs: "pd.DataFrame", records: list[dict[str, Any]], args: argparse.Namespace) -> str:
    if args.variance:
        from airbench_lab.study import report_variance as report

        labels = report.labels_of([records[run] for run in runs.index], args.root)
        rows = report.rows(runs, records, labels, args.tta)
    elif args.target is not None:
        from airbench_lab.study import report_epochs as report

        rows = report.rows(runs, args.target, args.baseline, args.tta)
    else:
        from airbench_lab.study import report

        rows = report.rows(runs, args.baseline, args.tta, args.reference)
    return report.table(rows, args.format)


def _about(runs: "pd.DataFrame", args: argparse.Namespace) -> str:
    data, scale = runs["data"].iloc[0], runs["scale"].iloc[0]
    level = "" if args.variance else f"; accuracy with TTA {args.tta or 'as trained'}"
    epochs, shrunk = "", SCALES[scale].epochs if scale in SCALES else 1
    if shrunk != 1 and (args.target is not None or args.reference is not None):
        epochs = f"; epochs as trained, {shrunk:g} times those asked for"
    return f"{data}, scale {scale}, {', '.join(sorted(set(runs['device_name'])))}{level}{epochs}"
