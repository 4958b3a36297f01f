"""`airbench diff`: the fields in which two recipes differ, side by side."""

import argparse

from airbench_core.published import RECIPES, recipe_named
from airbench_core.tables import diff


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("diff", help="show the fields in which two recipes differ")
    for name in ("first", "second"):
        parser.add_argument(name, metavar="RECIPE", help=f"one of {', '.join(RECIPES)}")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    print(diff(recipe_named(args.first), recipe_named(args.second)))
    return 0
