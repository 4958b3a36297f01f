"""How the cost of training airbench94 grows with width, training images and epochs: seconds and peak memory.

python benchmarks/cost_growth.py                         # prints the tables of the newest recording
python benchmarks/cost_growth.py --figure growth.png     # also draws it
python benchmarks/cost_growth.py --check                 # exit status 1 if anything grows faster than linearly
python benchmarks/cost_growth.py --record --rounds 3     # measures anew first, and appends to the results

Each of the three is varied alone. Linear means: seconds linear in FLOPs (those of the convolutions grow with the square
of the width), in images and in epochs; memory linear in width and images, and constant in epochs.
"""

import argparse
import json
import re
import statistics
import sys
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from datetime import UTC, datetime
from io import BytesIO
from multiprocessing import get_context
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from airbench_lab.flops import training_flops
from airbench_lab.runlog import lines
from airbench_lab.speed import random_dataset
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator
from PIL import Image

import airbench_core
from airbench_core import AIRBENCH94, Runtime, Scale, Trainer

LOG = Path(__file__).parent / "results" / "cost-growth.jsonl"
BATCH_SIZE = 250  # divides all numbers of images, so that none is dropped
TEST_IMAGES = 250  # few, so that inference is a small part of the shortest training as well
LIMIT = 1.15  # exponents above it are faster than linear; what is below may be the scatter of a busy machine
BASE = {"width": 0.25, "images": 2_000, "epochs": 1}
VARIED = {
    "width": (0.25, 0.5, 0.75, 1, 1.5, 2),
    "images": (2_000, 5_000, 10_000, 20_000, 50_000),
    "epochs": (1, 2, 4, 8, 16),
}
CONFIGURATIONS = [BASE] + [BASE | {name: x} for name, values in VARIED.items() for x in values if x != BASE[name]]
NAMES = {"width": "width, times airbench94's", "images": "training images", "epochs": "epochs"}
NAMES |= {"flops": "TFLOPs of the training", "seconds": "seconds", "memory": "peak memory, MB"}
UNITS = {"flops": 1e12, "memory": 1e6}  # what NAMES counts in


class Growth(NamedTuple):
    """`cost` grows as `against` to the power of `exponent`."""

    cost: str
    against: str
    points: dict[float, list[float]]  # what the rounds measured at each value of `against`, which rises
    fitted: list[float]  # the upper half of the values, where fixed costs weigh least
    exponent: float  # of the medians
    low: float  # of single rounds
    high: float


def measure(configuration: dict[str, float], device: str) -> dict[str, object]:
    """Train once in this process, which has trained nothing so far; what one line of the results says of it."""
    runtime = Runtime.detect(device, threads=1)
    small = Scale(name="first", width=1 / 8, batch_size=8 / AIRBENCH94.batch_size, epochs=0.1)
    Trainer(AIRBENCH94, random_dataset(8, 8), scale=small, runtime=runtime).run()  # what torch loads at the first use
    images = configuration["images"]
    scale = Scale(
        name="growth",
        width=configuration["width"],
        batch_size=BATCH_SIZE / AIRBENCH94.batch_size,
        epochs=configuration["epochs"] / AIRBENCH94.epochs,
    )
    before = 0 if device == "cuda" else peak_memory(device)  # torch.cuda counts tensors alone, Linux all of torch
    result = Trainer(AIRBENCH94, random_dataset(images, TEST_IMAGES), scale=scale, runtime=runtime).run()
    memory = peak_memory(device) - before
    steps, trained = result.recipe.steps(images), result.epochs[-1].seconds
    return configuration | {
        "batch_size": BATCH_SIZE,
        "test_images": TEST_IMAGES,
        "steps": steps,
        "flops": training_flops(result.recipe, images, TEST_IMAGES),
        "seconds": result.seconds,  # by the speedrun's clock: whitening, training, inference with TTA
        "seconds_per_step": trained / steps,  # without the inference
        "seconds_per_image": trained / (steps * BATCH_SIZE),
        "memory": memory,
        "runtime": runtime.describe(),
        "versions": {"airbench": airbench_core.__version__, "torch": torch.__version__, "cuda": torch.version.cuda},
    }


def peak_memory(device: str) -> int:
    """Bytes, the most so far: of tensors on a GPU, else of what this process has had in memory (Linux, macOS)."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    if sys.platform == "linux":  # not ru_maxrss, which there begins with the parent's
        return 1024 * int(re.search(r"VmHWM:\s+(\d+)", Path("/proc/self/status").read_text())[1])
    import resource  # Windows has none

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def record(rounds: int, device: str, log: Path = LOG) -> None:
    """Measure every configuration once a round, each time in a process of its own: memory has no other fresh start."""
    recorded = datetime.now(UTC).isoformat(timespec="seconds")
    children = get_context("forkserver")  # forked where torch is loaded but has computed nothing: 4 s sooner each
    children.set_forkserver_preload(["airbench_lab.flops", "matplotlib.figure", "torch._dynamo"])
    for number in range(rounds):
        for configuration in CONFIGURATIONS[:: -1 if number % 2 else 1]:  # to and fro: a drift hits both ends alike
            with ProcessPoolExecutor(1, mp_context=children) as process:
                run = process.submit(measure, configuration, device).result()
            with log.open("a") as file:
                file.write(json.dumps({"recorded": recorded, "round": number} | run) + "\n")
            print(f"round {number}: {configuration}, {run['seconds']:.2f} s, {run['memory'] / 1e6:.0f} MB")


def load(log: Path = LOG) -> list[dict]:
    """The measurements of the newest recording."""
    runs = lines.load(log)
    return [run for run in runs if run["recorded"] == runs[-1]["recorded"]]


def growths(runs: list[dict]) -> list[Growth]:
    """Seconds, then memory, against each of the three, then the FLOPs (which are counted) against the width."""
    against = {"width": "flops", "images": "images", "epochs": "epochs"}
    seconds = [growth(runs, "seconds", varied, x) for varied, x in against.items()]
    return [*seconds, *(growth(runs, "memory", name, name) for name in VARIED), growth(runs, "flops", "width", "width")]


def growth(runs: list[dict], cost: str, varied: str, against: str) -> Growth:
    points: dict[float, list[float]] = {}
    for run in sorted(runs, key=lambda run: run[varied]):
        if all(run[name] == value for name, value in BASE.items() if name != varied):
            points.setdefault(run[against], []).append(run[cost])
    fitted = list(points)[len(points) // 2 :]

    def slope(costs: Sequence[float]) -> float:
        return float(np.polyfit(np.log(fitted), np.log(costs), 1)[0])

    rounds = [slope(costs) for costs in zip(*(points[x] for x in fitted), strict=False)]  # without an unfinished one
    medians = [statistics.median(points[x]) for x in fitted]  # one disturbed training does not move them
    return Growth(cost, against, points, fitted, slope(medians), min(rounds), max(rounds))


def too_fast(found: list[Growth]) -> list[str]:
    """What grows faster than linearly, in words; FLOPs are counted and may."""
    return [
        f"{NAMES[g.cost]} against {NAMES[g.against]}: exponent {g.exponent:.2f}, more than {LIMIT}"
        for g in found
        if g.cost != "flops" and not g.exponent <= LIMIT
    ]


def markdown(runs: list[dict]) -> str:
    runtime, versions = runs[0]["runtime"], runs[0]["versions"]
    lines = [
        f"{runtime['name']}, {runtime['dtype']}, {runtime['threads']} thread, torch {versions['torch']}: medians of n.",
        "",
        "| width | images | epochs | TFLOPs | seconds | ms per step | TFLOPs per second | peak memory, MB | n |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for configuration in CONFIGURATIONS:
        same = [run for run in runs if all(run[name] == value for name, value in configuration.items())]
        median = {name: statistics.median(run[name] for run in same) for name in ("seconds", "memory")}
        step, tera = 1000 * statistics.median(run["seconds_per_step"] for run in same), same[0]["flops"] / 1e12
        width, images, epochs = configuration.values()
        lines.append(
            f"| {width:g} | {images:,} | {epochs} | {tera:.2f} | {median['seconds']:.2f} | {step:,.1f} "
            f"| {tera / median['seconds']:.2f} | {median['memory'] / 1e6:,.0f} | {len(same)} |"
        )
    lines += ["", "| cost | against | fitted from | to | exponent | single rounds |", "|---|---|---|---|---|---|"]
    for g in growths(runs):
        first, last = (f"{round(x / UNITS.get(g.against, 1), 2):,g}" for x in (g.fitted[0], g.fitted[-1]))
        interval = "counted" if g.cost == "flops" else f"{two_digits(g.low)} to {two_digits(g.high)}"
        exponent = two_digits(g.exponent)
        lines.append(f"| {NAMES[g.cost]} | {NAMES[g.against]} | {first} | {last} | {exponent} | {interval} |")
    return "\n".join(lines)


def two_digits(x: float) -> str:
    return f"{round(x, 2) + 0:.2f}".replace("-", "−")  # + 0: no minus before a zero


def figure(runs: list[dict]) -> Figure:
    picture = Figure(figsize=(9, 5.4), layout="constrained", dpi=130)
    axes = picture.subplots(2, 3, sharey="row")
    for place, g in zip(axes.flat, growths(runs), strict=False):  # the FLOPs have no place
        panel(place, g)
    for row, cost in zip(axes, ("seconds", "memory"), strict=True):
        row[0].set_ylabel(NAMES[cost])
    runtime = runs[0]["runtime"]
    picture.suptitle(f"Cost of training airbench94, {runtime['name']}, {runtime['dtype']}", fontsize=11)
    return picture


def panel(axes: Axes, g: Growth) -> None:
    color, marker = ("#4477aa", "o") if g.cost == "seconds" else ("#ee7733", "s")
    x = [value / UNITS.get(g.against, 1) for value in g.points]
    y = [statistics.median(values) / UNITS.get(g.cost, 1) for values in g.points.values()]
    axes.loglog(x, y, color=color, marker=marker, label=f"exponent {two_digits(g.exponent)}")
    axes.loglog([x[0], x[-1]], [y[-1] * x[0] / x[-1], y[-1]], color="#777777", linestyle="--", label="slope 1")
    axes.set_xticks(x, [f"{value:.2g}" if value < 1000 else f"{value:,.0f}" for value in x], fontsize=8)
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.yaxis.set_major_formatter("{x:,g}")
    axes.minorticks_off()
    axes.set_xlabel(NAMES[g.against] + (", by width" if g.against == "flops" else ""))
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(fontsize=8, frameon=False, loc="upper left")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="measure first")
    parser.add_argument("--rounds", type=int, default=3, help="measurements of each configuration (default 3)")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to measure (default cpu)")
    parser.add_argument("--figure", type=Path, help="also draw the growth into this file")
    parser.add_argument("--check", action="store_true", help=f"fail if an exponent is above {LIMIT}")
    args = parser.parse_args()
    if args.record:
        record(args.rounds, args.device)
    runs = load()
    print(markdown(runs))
    if args.figure:
        figure(runs).savefig(buffer := BytesIO())
        Image.open(buffer).convert("RGB").quantize(64).save(args.figure, optimize=True)  # a third of the bytes
    if args.check and (faults := too_fast(growths(runs))):
        sys.exit("\n".join(faults))


if __name__ == "__main__":
    main()
