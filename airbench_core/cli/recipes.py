"""`airbench recipes`: the recipes and the ladder, with what they cost, computed."""

import argparse

from airbench_core.flops import CIFAR10_TRAIN, parameters, training_flops
from airbench_core.published import LADDER, RECIPES, recipe_named
from airbench_core.recipes import Recipe
from airbench_core.tables import describe


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("recipes", help="list the recipes, or the fields of one")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="show this recipe's fields")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.recipe:
        print(describe(recipe_named(args.recipe)))
        return 0
    print(f"{'recipe':42}{'epochs':>8}{'steps':>8}{'parameters':>12}{'PFLOPs':>8}")
    for name, recipe in RECIPES.items():
        print(_row(name, recipe))
    print("\nThe ladder: each rung adds one trick to the rung above")
    for rung in LADDER:
        print(_row(rung.label, rung.recipe))
    return 0


def _row(name: str, recipe: Recipe) -> str:
    return (
        f"{name:42}{recipe.epochs:>8g}{recipe.steps(CIFAR10_TRAIN):>8}{parameters(recipe):>12,}"
        f"{training_flops(recipe) / 1e15:>8.3f}"
    )
