"""`airbench report`: what a run log says, as a table."""

import argparse
import sys
from itertools import chain
from pathlib import Path

from airbench_core.errors import AirbenchError
from airbench_core.study import runlog


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
    from airbench_core.study import groups, keys, report  # here: scipy is slow to import

    records, failed = _load(args.logs)
    failures = groups.failures(failed, records)
    if not records:
        logs, why = ", ".join(map(str, args.logs)), "; ".join(map(str, failures[:3])) + "; ..." * (len(failures) > 3)
        raise AirbenchError(f"no run in {logs} succeeded: {why or 'nothing is logged there'}")
    keys.one_setting([*records, *failed], device=False)
    rows = report.rows(records, args.baseline, args.tta)
    if args.format == "text":
        print(_about(records, args.tta))
    print(report.table(rows, args.format))
    for some in failures:
        n = len(some.seeds)
        print(f"{n} run{'s' * (n > 1)} failed: {some}", file=sys.stdout if args.format == "text" else sys.stderr)
    return 0


def _load(logs: list[Path]) -> tuple[list[dict], list[dict]]:
    """The records of the finished runs in all of `logs`, and those of the failed ones."""
    finished, failed = zip(*map(runlog.load_both, logs), strict=True)
    return list(chain(*finished)), list(chain(*failed))


def _about(records: list[dict], tta: str | None) -> str:
    first, devices = records[0], ", ".join(sorted({record["runtime"]["name"] for record in records}))
    return f"{first['data']['name']}, scale {first['scale']}, {devices}; accuracy with TTA {tta or 'as trained'}"
