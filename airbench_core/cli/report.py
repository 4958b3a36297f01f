"""`airbench report`: what a run log says, as a table."""

import argparse
from pathlib import Path


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("report", help="accuracy and seconds of each recipe in a run log, with intervals")
    parser.add_argument("logs", type=Path, nargs="+", metavar="LOG", help="what `airbench train --out LOG` wrote")
    parser.add_argument(
        "--baseline", metavar="RECIPE", help="compare with this one, seed by seed: a row's first column"
    )
    parser.add_argument("--tta", help="the accuracy at this level of TTA (default: the recipe's own)")
    parser.add_argument("--format", choices=("text", "markdown", "csv"), default="text")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    from airbench_core.study import report, runlog  # here: scipy is slow to import

    records = [record for log in args.logs for record in runlog.load(log)]
    rows = report.rows(records, args.baseline, args.tta)
    if args.format == "text":
        first = records[0]
        devices = ", ".join(sorted({record["runtime"]["name"] for record in records}))
        print(
            f"{first['data']['name']}, scale {first['scale']}, {devices}; accuracy with TTA {args.tta or 'as trained'}"
        )
    print(report.table(rows, args.format))
    return 0
