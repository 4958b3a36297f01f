"""`airbench bench`: images per second of training, augmentation and evaluation."""

import argparse
import json
from dataclasses import asdict

import torch

from airbench_core.cli.options import add_recipe, add_runtime, add_scale, recipe_from, runtime_from
from airbench_core.errors import UsageError
from airbench_core.scales import SCALES
from airbench_core.speed import measure_speed


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("bench", help="measure images per second on this machine")
    add_recipe(parser, default="airbench94")
    add_scale(parser)
    add_runtime(parser)
    parser.add_argument("--seconds", type=float, default=5, help="how long each measurement takes (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if not 0 < args.seconds <= 3600:
        raise UsageError(f"seconds={args.seconds} is not legal: above 0, to 3600")
    recipe, runtime = recipe_from(args), runtime_from(args)
    speed = measure_speed(recipe, SCALES[args.scale], runtime, args.seconds)
    about = {"recipe": args.recipe, "set": args.settings, "scale": args.scale, **runtime.describe()}
    about["torch"] = torch.__version__
    if args.json:
        print(json.dumps({**about, "images_per_second": asdict(speed)}))
        return 0
    print(", ".join(f"{key} {value}" for key, value in about.items() if value not in ([], False, None, "")))
    for what, rate in asdict(speed).items():
        print(f"{what:10}{rate:>12,.0f} images/s")
    return 0
