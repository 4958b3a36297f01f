"""`airbench bench`: images per second of training, augmentation and evaluation; or a public script beside ours."""

import argparse
import hashlib
import json
from dataclasses import asdict
from pathlib import Path

import torch

from airbench_core.cli.data import add_root
from airbench_core.cli.options import add_recipe, add_runtime, add_scale, recipe_from, runtime_from
from airbench_core.data.datasets import LOADERS
from airbench_core.devices import Runtime
from airbench_core.errors import UsageError
from airbench_core.scales import SCALES
from airbench_core.speed import measure_speed

# Options of one of the two measurements, with their defaults there: given to the other they are refused.
SPEED = {"seconds": 5.0}
AGAINST = {"runs": 3, "pairs": 3, "script_args": "", "out": None, "data": "cifar10", "root": None}


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "bench",
        help="measure images per second on this machine, or compare with a public script",
        description="Without --against: images per second of training, augmentation and evaluation. With it: the "
        "recipe's training and a public speedrun script, each in processes of its own, in turns, by the speedrun's "
        "clock. Of the script a temporary copy is run, changed in two places: the number of runs, the data's folder.",
    )
    add_recipe(parser, default="airbench94")
    add_scale(parser)
    add_runtime(parser)
    parser.add_argument("--seconds", type=float, help="how long each measurement of speed takes (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    against = parser.add_argument_group("beside a public script")
    against.add_argument("--against", type=Path, metavar="SCRIPT", help="such as airbench94_muon.py of the repository")
    against.add_argument(
        "--script-args", metavar="ARGS", help='arguments of the script: --script-args="--scale laptop"'
    )
    against.add_argument("--runs", type=int, help="runs of each side in a turn (default 3)")
    against.add_argument("--pairs", type=int, help="how often each side takes its turn (default 3)")
    against.add_argument("--out", type=Path, metavar="FILE", help="append each finished turn, a line of JSON each")
    against.add_argument("--data", help=f"{', '.join(LOADERS)} (default cifar10, which must be on disk)")
    add_root(against)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    wanted, other = (SPEED, AGAINST) if args.against is None else (AGAINST, SPEED)
    for name in other:
        if getattr(args, name) is not None:
            option = f"--{name.replace('_', '-')}"
            if args.against is None:
                raise UsageError(f"{option} belongs to --against SCRIPT: add that, or leave {option} out")
            raise UsageError(f"{option} does not go with --against: leave one of them out")
    for name, default in wanted.items():
        if getattr(args, name) is None:
            setattr(args, name, default)
    return speed(args) if args.against is None else against(args)


def speed(args: argparse.Namespace) -> int:
    if not 0 < args.seconds <= 3600:
        raise UsageError(f"seconds={args.seconds} is not legal: above 0, to 3600")
    recipe, runtime = recipe_from(args), runtime_from(args)
    speed = measure_speed(recipe, SCALES[args.scale], runtime, args.seconds)
    about = _about(args, runtime)
    if args.json:
        print(json.dumps({**about, "images_per_second": asdict(speed)}))
        return 0
    print(_line(about))
    for what, rate in asdict(speed).items():
        print(f"{what:10}{rate:>12,.0f} images/s")
    return 0


def against(args: argparse.Namespace) -> int:
    from airbench_core.study import against, lines

    if args.pairs < 1:
        raise UsageError(f"pairs={args.pairs} is not legal: 1 or more")
    recipe_from(args)  # for its errors, before anything is started
    runtime = runtime_from(args)
    pairing = against.Pairing(
        ours=_train_arguments(args),
        script=args.against,
        script_args=args.script_args,
        runs=args.runs,
        data=args.data,
        root=args.root,
    )
    about = {
        **_about(args, runtime),
        "script_name": str(args.against),
        "script_sha256": hashlib.sha256(args.against.read_bytes()).hexdigest() if args.against.is_file() else None,
        "script_args": args.script_args,
        "runs": args.runs,
        "data": args.data,
        "gpu": against.gpu_state(runtime.device),
    }
    if args.out:
        lines.check_writable(args.out)
    if not args.json:
        print(_line({**about, "gpu": None}))
        if about["gpu"]:
            print("GPU: " + _line(about["gpu"]))
        print(against.HEADER, flush=True)
    turns: list[against.Turn] = []
    try:
        for turn in against.take_turns(pairing, range(2 * args.pairs), runtime.device):
            turns.append(turn)
            if args.out:
                lines.append(args.out, about | against.to_record(turn), f"turn {turn.turn // 2 + 1} is done")
            if not args.json:
                print(against.row(turn), flush=True)
    finally:  # what was measured before an error or Ctrl-C is said
        if turns:
            report = against.report(turns)
            print(json.dumps({**about, **report}) if args.json else against.shown(report))
    return 0


def _train_arguments(args: argparse.Namespace) -> tuple[str, ...]:
    """The recipe, scale and runtime that were asked for, as arguments of `airbench train`."""
    arguments = [args.recipe, *(word for setting in args.settings for word in ("--set", setting))]
    arguments += ["--scale", args.scale, "--device", args.device, "--dtype", args.dtype]
    arguments += ["--threads", str(args.threads)] if args.threads is not None else []
    return (*arguments, *["--compile"] * args.compile)


def _about(args: argparse.Namespace, runtime: Runtime) -> dict[str, object]:
    return {
        "recipe": args.recipe,
        "set": args.settings,
        "scale": args.scale,
        **runtime.describe(),
        "torch": torch.__version__,
    }


def _line(about: dict[str, object]) -> str:
    return ", ".join(f"{key} {value}" for key, value in about.items() if value not in ([], False, None, ""))
