"""Options that several commands share, and what they stand for."""

import argparse

from airbench_core.devices import DTYPES, Runtime
from airbench_core.published import RECIPES, recipe_named
from airbench_core.recipes import Recipe, parse_field, with_fields
from airbench_core.scales import SCALES


def add_recipe(parser: argparse.ArgumentParser, default: str | None = None) -> None:
    parser.add_argument(
        "recipe",
        nargs="?" if default else None,
        default=default,
        metavar="RECIPE",
        help=f"one of {', '.join(RECIPES)}",
    )
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE",
        dest="settings",
        help="change a field of the recipe, such as flip=random; may be repeated",
    )


def recipe_from(args: argparse.Namespace) -> Recipe:
    return with_fields(recipe_named(args.recipe), **dict(parse_field(setting) for setting in args.settings))


def add_scale(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--scale",
        default="full",
        choices=SCALES,
        help="full: as published (default); laptop: narrower, fewer images; smoke: seconds, only to see that it runs",
    )


def add_runtime(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--device", default="auto", help="auto (default), cpu, cuda, cuda:N or mps")
    parser.add_argument("--dtype", default="auto", choices=["auto", *DTYPES], help="precision of the activations")
    parser.add_argument("--threads", type=int, help="CPU threads (default: all cores but one)")
    parser.add_argument("--compile", action="store_true", help="compile with torch.compile")


def runtime_from(args: argparse.Namespace) -> Runtime:
    return Runtime.detect(args.device, dtype=args.dtype, threads=args.threads, compile=args.compile)
