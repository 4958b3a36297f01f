"""`airbench report`: what a run log says, as a table."""

import argparse
import sys
from itertools import chain
from pathlib import Path

from airbench_core.errors import AirbenchError, UsageError
from airbench_core.study import runlog


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "report",
        help="what run logs say: accuracies, differences, epochs to a target, with intervals",
        description="A table of the runs in one or more logs: a row for each recipe and runtime, with n and 95 % "
        "intervals. A NAME is what stands in a table's first column.",
    )
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="what `airbench train --out LOG` wrote")
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
        "it was trained with; NAMEs are without epochs",
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from airbench_core.study import groups, keys  # here and below: scipy is slow to import

    _check(args)
    records, failed = _load(args.logs)
    failures = groups.failures(failed, records)
    if not records:
        logs, why = ", ".join(map(str, args.logs)), "; ".join(map(str, failures[:3])) + "; ..." * (len(failures) > 3)
        raise AirbenchError(f"no run in {logs} succeeded: {why or 'nothing is logged there'}")
    keys.one_setting([*records, *failed], device=False)
    table = _table(records, args)
    if args.format == "text":
        print(_about(records, args))
    print(table)
    for some in failures:
        n = len(some.seeds)
        print(f"{n} run{'s' * (n > 1)} failed: {some}", file=sys.stdout if args.format == "text" else sys.stderr)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.variance and args.baseline is not None:
        raise UsageError("argument --baseline: not allowed with argument --variance")
    if args.root is not None and not args.variance:
        raise UsageError("argument --root: only with --variance, whose labels it finds")


def _table(records: list[dict], args: argparse.Namespace) -> str:
    if args.variance:
        from airbench_core.study import report_variance as report

        rows = report.rows(records, report.labels_of(records, args.root), args.tta)
    elif args.target is not None:
        from airbench_core.study import report_epochs as report

        rows = report.rows(records, args.target, args.baseline, args.tta)
    else:
        from airbench_core.study import report

        rows = report.rows(records, args.baseline, args.tta, args.reference)
    return report.table(rows, args.format)


def _load(logs: list[Path]) -> tuple[list[dict], list[dict]]:
    """The records of the finished runs in all of `logs`, and those of the failed ones."""
    finished, failed = zip(*map(runlog.load_both, logs), strict=True)
    return list(chain(*finished)), list(chain(*failed))


def _about(records: list[dict], args: argparse.Namespace) -> str:
    first, devices = records[0], ", ".join(sorted({record["runtime"]["name"] for record in records}))
    level = "" if args.variance else f"; accuracy with TTA {args.tta or 'as trained'}"
    return f"{first['data']['name']}, scale {first['scale']}, {devices}{level}"
