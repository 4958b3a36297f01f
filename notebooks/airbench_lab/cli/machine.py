"""`airbench doctor` and `bench`: what this machine has, whether it works, how fast it is, what a run will cost."""

import argparse
import json
import platform
import sys
from dataclasses import asdict, replace

import torch

import airbench_core
from airbench_core.devices import Runtime, available_cores
from airbench_core.errors import DataError, UsageError
from airbench_core.fast.cpu import plain_
from airbench_core.fast.kernels import kernels
from airbench_core.published import AIRBENCH94, RECIPES
from airbench_core.scales import SCALES
from airbench_core.training import Trainer
from airbench_lab.cli import gradients
from airbench_lab.cli.options import add_recipe, add_root, add_runtime, add_scale, recipe_from, runtime_from
from airbench_lab.data import load_dataset
from airbench_lab.speed import (
    available_memory,
    duration,
    estimate_seconds,
    gpu_memory,
    measure_speed,
    random_dataset,
)

PROBE_BATCH = 64  # on a CPU, whose speed depends little on it: a step of the published 1,024 takes many seconds


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("doctor")
    add_root(parser)
    add_runtime(parser)
    parser.set_defaults(run=doctor)
    parser = verbs.add_parser("bench")
    add_recipe(parser, default="airbench94")
    add_scale(parser)
    add_runtime(parser)
    parser.add_argument("--seconds", type=float, default=5, help="how long each measurement takes (default 5)")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    parser.set_defaults(run=bench)


def doctor(args: argparse.Namespace) -> int:
    runtime = runtime_from(args)
    kind, about = runtime.device.type, runtime.describe()
    gpu = kind == "cuda"
    memory = available_memory()
    tell("device", f"{kind}: {about['name']}")
    tell("dtype", f"{about['dtype']}, weights {str(runtime.weights_dtype).removeprefix('torch.')}")
    tell("threads", f"{runtime.threads} of {available_cores()} cores")
    if gpu:
        tell_what_fits(runtime.device)
    else:
        tell("memory", f"{memory / 2**30:.1f} GiB" if memory < float("inf") else "unknown on this system")
    built_for = f", ROCm {torch.version.hip}" if torch.version.hip else f", CUDA {torch.version.cuda}"
    versions = f"airbench {airbench_core.__version__}, torch {torch.__version__}{built_for * gpu}"
    tell("versions", f"{versions}, Python {platform.python_version()}, {sys.platform}")
    try:
        data = load_dataset("cifar10", args.root)
        tell("data", f"cifar10, {len(data.train_images):,} + {len(data.test_images):,} images, verified")
    except DataError as error:
        tell("data", str(error))
    how = "" if gpu else f" in steps of {PROBE_BATCH} images at most"
    tell("cost", f"one run of airbench94, by the speed measured now{how}:")
    for scale in SCALES.values():
        batch = None if gpu else min(PROBE_BATCH, scale.recipe(AIRBENCH94).batch_size)
        speed = measure_speed(AIRBENCH94, scale, runtime, seconds=0.3, batch=batch)
        tell("", f"{scale.name:8}{duration(estimate_seconds(AIRBENCH94, scale, speed))}")
    ok = True
    if gpu:
        worst = compiled_difference(runtime)
        ok = worst < 0.02
        said = f"losses of compiled steps, replayed as CUDA graphs, and of plain ones differ by {worst:.2%} at most"
        tell("compile", f"{'ok' if ok else 'FAILED'}: {said}")
    if kind == "cpu":
        there = kernels(runtime.dtype) is not None
        tell("kernels", "compiled here" if there else "torch's own: with a C compiler here training would be faster")
        ok, said = gradients.checked(runtime)
        tell("gradients", f"{'ok' if ok else 'FAILED'}: {said}")
    return 0 if ok else 1


def tell_what_fits(device: torch.device) -> None:
    """Of a GPU's memory, what is free and what the published recipes take; and whether there are more GPUs."""
    free, total = (size / 2**30 for size in torch.cuda.mem_get_info(device))
    tell("memory", f"{free:.1f} of {total:.1f} GiB free on the device")
    needed = {name: gpu_memory(recipe) / 2**30 for name, recipe in RECIPES.items()}
    tell("", f"a training's GiB, by its shapes: {', '.join(f'{name} {size:.1f}' for name, size in needed.items())}")
    if large := [name for name, size in needed.items() if size > 0.9 * free]:  # the rest for CUDA and cuDNN
        tell("", f"too much for what is free: {', '.join(large)}; take a smaller batch_size, or --scale laptop")
    if (n := torch.cuda.device_count()) > 1:
        tell("", f"{n} such devices: a training takes one (--device cuda:0 to cuda:{n - 1}), a sweep all")


def tell(name: str, value: str) -> None:
    print(f"{name:12}{value}")


def compiled_difference(runtime: Runtime, steps: int = 5) -> float:
    """The largest relative difference between the losses of `steps` eager and compiled steps from the same start.

    In two runs: the second replays what the first recorded.
    """
    # One batch of images makes each epoch one step, whose loss is then the epoch's record; a small
    # learning rate keeps rounding from growing into a difference.
    recipe, data = replace(AIRBENCH94, epochs=steps, lr=2.0), random_dataset(AIRBENCH94.batch_size, 100)
    eager, compiled = (Trainer(recipe, data, runtime=replace(runtime, compile=on)) for on in (False, True))
    plain_(eager.network)
    runs = [(eager.run(seed).epochs, compiled.run(seed).epochs) for seed in (0, 1)]
    return max(abs(b.train_loss / a.train_loss - 1) for pair in runs for a, b in zip(*pair, strict=True))


def bench(args: argparse.Namespace) -> int:
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
