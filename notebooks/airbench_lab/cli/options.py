"""Options that several commands share, and what they stand for."""

import argparse
from typing import TYPE_CHECKING

from airbench_core.errors import UsageError
from airbench_core.fields import SEEDS
from airbench_core.published import RECIPES, recipe_named
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES
from airbench_lab.data import DATASETS, load_dataset
from airbench_lab.study.settings import parse_field, split_settings, with_fields

if TYPE_CHECKING:
    from airbench_core.dataset import Dataset
    from airbench_core.devices import Runtime


def add_recipe(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    about = {"metavar": "RECIPE", "help": f"one of {', '.join(RECIPES)}"}
    parser.add_argument("recipe", nargs="?" if default else None, default=default, **about)
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="settings",
        help="change a field of the recipe, such as flip=random; may be repeated",
    )


def recipe_from(args: argparse.Namespace) -> Recipe:
    split_settings(args.settings)  # none twice
    return with_fields(recipe_named(args.recipe), **dict(map(parse_field, args.settings)))


def seeds_from(first: int, n: int, option: str) -> range:
    """`n` seeds from `first` on. option: how `n` is called."""
    if n < 1:
        raise UsageError(f"{option}={n} is not legal: 1 or more")
    if not 0 <= first <= first + n - 1 < SEEDS:
        raise UsageError(f"seed={first} with {option}={n} is not legal: seeds are 0 to {SEEDS - 1:,}")
    return range(first, first + n)


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        default="full",
        choices=SCALES,
        help="; ".join(f"{name}: {scale.about}" for name, scale in SCALES.items()) + " (default: full)",
    )


def add_data(parser: argparse.ArgumentParser) -> None:
    names = f"{', '.join(DATASETS)}, auto, or a folder that holds one with pictures for each class"
    parser.add_argument("--data", default="auto", help=f"{names} (default: CIFAR-10 if it is on disk)")
    add_root(parser)
    parser.add_argument("--holdout", type=int, metavar="N", help="test on N of the training images, held out of them")


def data_from(args: argparse.Namespace) -> "Dataset":
    data = load_dataset(args.data, args.root, download=True)
    return data if args.holdout is None else data.holdout(args.holdout)


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", help="folder that holds the data (default: $AIRBENCH_DATA, then the cache folder)")


def add_runtime(parser: argparse.ArgumentParser, threads: str = "CPU threads (default: all cores but one)") -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", default="auto", help="of the activations: auto, float16, bfloat16 or float32")
    parser.add_argument("--threads", type=int, help=threads)
    parser.add_argument("--compile", action="store_true", help="compile with torch.compile")


def runtime_from(args: argparse.Namespace) -> "Runtime":
    from airbench_core.devices import Runtime  # here: it imports torch

    return Runtime.detect(args.device, dtype=args.dtype, threads=args.threads, compile=args.compile)
