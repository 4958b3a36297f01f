"""`airbench recipes`, `diff`, `data`, `classify`: recipes and their costs, two side by side, a data set, pictures."""

import argparse

from airbench_core.errors import printable
from airbench_core.published import RECIPES, recipe_named
from airbench_core.recipes import Recipe
from airbench_lab.cli.options import add_root
from airbench_lab.data import DATASETS, load_dataset
from airbench_lab.flops import CIFAR10_TRAIN, parameters, training_flops
from airbench_lab.study.ladder import LADDER
from airbench_lab.tables import describe, diff


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("recipes")
    parser.add_argument("recipe", nargs="?", metavar="RECIPE", help="show this recipe's fields")
    parser.set_defaults(run=run_recipes, only_reads=True)
    parser = verbs.add_parser("diff")
    for name in ("first", "second"):
        parser.add_argument(name, metavar="RECIPE", help=f"one of {', '.join(RECIPES)}")
    parser.set_defaults(run=run_diff, only_reads=True)
    parser = verbs.add_parser("data")
    parser.add_argument("data", metavar="NAME", help=f"{', '.join(DATASETS)} auto or a folder of pictures")
    add_root(parser)
    parser.set_defaults(run=run_data)
    parser = verbs.add_parser("classify")
    parser.add_argument("model", metavar="MODEL", help="a file that `airbench train --save` wrote")
    parser.add_argument(
        "pictures", nargs="+", metavar="PICTURE", help="JPEG, PNG, ...; the square in the middle is seen"
    )
    parser.set_defaults(run=run_classify)


def run_recipes(args: argparse.Namespace) -> int:
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
    cost = f"{recipe.steps(CIFAR10_TRAIN):>8}{parameters(recipe):>12,}{training_flops(recipe) / 1e15:>8.3f}"
    return f"{name:42}{recipe.epochs:>8g}{cost}"


def run_diff(args: argparse.Namespace) -> int:
    print(diff(recipe_named(args.first), recipe_named(args.second)))
    return 0


def run_data(args: argparse.Namespace) -> int:
    data = load_dataset(args.data, args.root, download=True)
    names = ", ".join(data.classes[:10]) + ", ..." * (len(data.classes) > 10)
    print(
        f"{data.name}: {len(data.train_images):,} training and {len(data.test_images):,} test images, "
        f"{len(data.classes)} classes ({names}), digest {data.digest}"
    )
    return 0


def run_classify(args: argparse.Namespace) -> int:
    from airbench_core.models import load  # here: it imports torch

    model = load(args.model)
    for path in args.pictures:
        (shares,) = model.shares([path])
        best = shares.topk(min(3, len(shares)))
        named = (f"{model.classes[i]} {share:.0%}" for share, i in zip(best.values, best.indices, strict=True))
        print(f"{printable(path)}: {', '.join(named)}", flush=True)
    return 0
