"""`airbench site`."""

import argparse
from pathlib import Path

from airbench_lab.site.build import build


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "site", help="the lessons, the explorer of the recorded runs and the API as a web site, in a folder"
    )
    parser.add_argument("--out", type=Path, default=Path("site"), metavar="FOLDER", help="default: %(default)s")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    build(args.out)
    print(f"{args.out}/index.html")
    return 0
