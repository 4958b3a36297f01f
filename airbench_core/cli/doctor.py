"""`airbench doctor`: what this machine has, whether it works, and what a run will cost on it."""

import argparse
import os
import platform
import sys
from dataclasses import replace

import torch

import airbench_core
from airbench_core.cli.data import add_root
from airbench_core.cli.options import add_runtime, runtime_from
from airbench_core.datasets import load_dataset
from airbench_core.devices import Runtime, available_cores
from airbench_core.errors import DataError
from airbench_core.fast.cpu import plain_
from airbench_core.fast.kernels import kernels
from airbench_core.published import AIRBENCH94
from airbench_core.scales import SCALES, Scale
from airbench_core.speed import duration, estimate_seconds, measure_speed, random_dataset
from airbench_core.training import Trainer

PROBE_BATCH = 512  # on a CPU: a step at the published batch of 1,024 would take longer than the whole check


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("doctor", help="check this machine and say what each scale costs on it")
    add_root(parser)
    add_runtime(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    runtime = runtime_from(args)
    ok = True
    for name, value in _facts(runtime).items():
        print(f"{name:12}{value}")
    try:
        data = load_dataset("cifar10", args.root, download=False)
        print(f"{'data':12}cifar10, {len(data.train_images):,} + {len(data.test_images):,} images, verified")
    except DataError as error:
        print(f"{'data':12}{error}")
    print(f"{'cost':12}one run of airbench94, measured now:")
    for scale in SCALES.values():
        print(f"{'':12}{scale.name:8}{duration(_cost(scale, runtime))}")
    if runtime.device.type == "cuda":
        worst = compiled_difference(runtime)
        ok = worst < 0.02
        said = f"losses of compiled steps, replayed as CUDA graphs, and of plain ones differ by {worst:.2%} at most"
        _print_verdict("compile", ok, said)
    if runtime.device.type == "cpu":
        worst = fast_error(runtime)
        ok = worst < 1.5
        said = f"rounding with {_kernels(runtime)} is {worst:.2f} times that of plain ones at most"
        _print_verdict("kernels", ok, said)
    return 0 if ok else 1


def _print_verdict(name: str, ok: bool, said: str) -> None:
    print(f"{name:12}{'ok' if ok else 'FAILED'}: {said}")


def _facts(runtime: Runtime) -> dict[str, str]:
    device = runtime.describe()
    cuda = f", CUDA {torch.version.cuda}" if runtime.device.type == "cuda" else ""
    return {
        "device": f"{device['device']}: {device['name']}",
        "dtype": f"{device['dtype']}, weights {str(runtime.weights_dtype).removeprefix('torch.')}",
        "threads": f"{runtime.threads} of {available_cores()} cores",
        "memory": _memory(runtime),
        "versions": f"airbench {airbench_core.__version__}, torch {torch.__version__}{cuda}, "
        f"Python {platform.python_version()}, {sys.platform}",
    }


def _memory(runtime: Runtime) -> str:
    if runtime.device.type == "cuda":
        free, total = torch.cuda.mem_get_info(runtime.device)
        return f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB free on the device"
    try:
        return f"{os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE') / 2**30:.1f} GiB free"
    except (AttributeError, ValueError, OSError):
        return "unknown on this system"


def _cost(scale: Scale, runtime: Runtime) -> float:
    batch = None if runtime.device.type == "cuda" else min(PROBE_BATCH, scale.recipe(AIRBENCH94).batch_size)
    return estimate_seconds(AIRBENCH94, scale, measure_speed(AIRBENCH94, scale, runtime, seconds=0.5, batch=batch))


def _kernels(runtime: Runtime) -> str:
    there = kernels(runtime.dtype) is not None
    return "kernels compiled here" if there else "torch's functions (with a C compiler here it would be faster)"


def compiled_difference(runtime: Runtime, steps: int = 5) -> float:
    """The largest relative difference between the losses of `steps` eager and compiled steps from the same start.

    In two runs: the second replays what the first recorded.
    """
    eager, compiled = (_short_trainer(replace(runtime, compile=on), steps) for on in (False, True))
    plain_(eager.network)
    runs = [(eager.run(seed).epochs, compiled.run(seed).epochs) for seed in (0, 1)]
    return max(abs(b.train_loss / a.train_loss - 1) for pair in runs for a, b in zip(*pair, strict=True))


def fast_error(runtime: Runtime) -> float:
    """How many times the error of plain functions that of the fast ones is, in the gradient where this is largest.

    An error is the distance from plain functions in float32, relative to norms, and at least 0.001.
    """
    exact = _gradients(replace(runtime, dtype=torch.float32), plain=True)
    fast, plain = (_gradients(runtime, plain) for plain in (False, True))

    def error(gradient: torch.Tensor, reference: torch.Tensor) -> float:
        return max(((gradient - reference).norm() / reference.norm()).item(), 1e-3)

    return max(error(f, e) / error(p, e) for f, p, e in zip(fast, plain, exact, strict=True))


def _gradients(runtime: Runtime, plain: bool) -> list[torch.Tensor]:
    """Those of one step on noise."""
    trainer = _short_trainer(runtime, steps=1, batch=256)
    if plain:
        plain_(trainer.network)
    trainer.reset(0)
    trainer.begin()
    augmentation, batches = trainer.batches(seed=0)
    rows = next(batches)
    trainer.main.loss(augmentation.batch(rows), trainer.data.train_labels[rows[:, 0]]).backward()
    return [p.grad for p in trainer.network.parameters() if p.requires_grad]


def _short_trainer(runtime: Runtime, steps: int, batch: int = AIRBENCH94.batch_size) -> Trainer:
    # One batch of images makes each epoch one step, whose loss is then the epoch's record; a small
    # learning rate keeps rounding from growing into a difference.
    recipe = replace(AIRBENCH94, epochs=steps, lr=2.0, batch_size=batch)
    return Trainer(recipe, random_dataset(batch, 100), runtime=runtime)
