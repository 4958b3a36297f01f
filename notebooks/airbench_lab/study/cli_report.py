"""`airbench report`: what a run log says, as a table."""

import argparse
import sys
from itertools import chain
from pathlib import Path

from airbench_core import runlog
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.scales import SCALES
from airbench_lab.study.studies import STUDIES, Study, study_named


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "report",
        help="what run logs say: accuracies, differences, epochs to a target, with intervals",
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
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from airbench_lab.study import groups, keys  # here and below: scipy is slow to import

    _check(args)
    study = None if args.study is None else study_named(args.study)
    records, failed = logged = _load(args.logs)
    left_out = 0
    if study is not None:
        records, failed = (groups.of_study(some, study) for some in logged)
        left_out = len({keys.key(run) for run in chain(*logged)} - {keys.key(run) for run in chain(records, failed)})
    if left_out and not records and not failed:
        raise UsageError(f"study={args.study}: none of the {left_out} runs in the log is of it")
    failures = groups.failures(failed, records, study)
    if not records:
        logs, why = ", ".join(map(str, args.logs)), "; ".join(map(str, failures[:3])) + "; ..." * (len(failures) > 3)
        raise AirbenchError(f"no run in {logs} succeeded: {why or 'nothing is logged there'}")
    keys.one_setting([*records, *failed], device=False)
    table = _table(records, study, args)
    if args.format == "text":
        print(_about(records, args))
    print(table)
    beside = sys.stdout if args.format == "text" else sys.stderr
    for some in failures:
        print(f"{_runs(len(some.seeds))} failed: {some}", file=beside)
    if left_out:
        print(f"{_runs(left_out)} left out: not of the study {args.study}", file=beside)
    return 0


def _check(args: argparse.Namespace) -> None:
    if args.variance and args.baseline is not None:
        raise UsageError("argument --baseline: not allowed with argument --variance")
    if args.root is not None and not args.variance:
        raise UsageError("argument --root: only with --variance, whose labels it finds")


def _runs(n: int) -> str:
    return f"{n} run{'s' * (n > 1)}"


def _table(records: list[dict], study: Study | None, args: argparse.Namespace) -> str:
    if args.variance:
        from airbench_lab.study import report_variance as report

        rows = report.rows(records, report.labels_of(records, args.root), args.tta, study)
    elif args.target is not None:
        from airbench_lab.study import report_epochs as report

        rows = report.rows(records, args.target, args.baseline, args.tta, study)
    else:
        from airbench_lab.study import report

        rows = report.rows(records, args.baseline, args.tta, args.reference, study)
    return report.table(rows, args.format)


def _load(logs: list[Path]) -> tuple[list[dict], list[dict]]:
    """The records of the finished runs in all of `logs`, and those of the failed ones."""
    finished, failed = zip(*map(runlog.load_both, logs), strict=True)
    return list(chain(*finished)), list(chain(*failed))


def _about(records: list[dict], args: argparse.Namespace) -> str:
    first, devices = records[0], ", ".join(sorted({record["runtime"]["name"] for record in records}))
    level = "" if args.variance else f"; accuracy with TTA {args.tta or 'as trained'}"
    epochs, scale = "", SCALES.get(first["scale"])
    if scale and scale.epochs != 1 and (args.target is not None or args.reference is not None):
        epochs = f"; epochs as trained, {scale.epochs:g} times those asked for"
    return f"{first['data']['name']}, scale {first['scale']}, {devices}{level}{epochs}"
