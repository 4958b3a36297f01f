"""How much faster than the plain port does `airbench_core` train on this CPU? In turns, pair by pair.

    python benchmarks/against_plain.py --width 1 --pairs 5
    python benchmarks/against_plain.py --width 0.25 --batch-size 192 --neighbour     # with one other core busy

Both train airbench94 on the same images with the same batch size, dtype and threads, from whitening to the last
step, each in a process of its own with torch's settings as they come. One JSON line: images/s of both, and the
ratio pair by pair.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from airbench_lab.data import load_dataset
from plain_port import train as train_plain

from airbench_core import AIRBENCH94, Runtime, Scale, Trainer
from airbench_core.augmentation import normalize

train: Callable[[], object]  # what a worker process does; `prepare` sets it


def prepare(which: str, args: argparse.Namespace) -> None:
    """Get a worker process ready to train once and again, and let it warm up."""
    global train
    runtime = Runtime.detect("cpu", threads=args.threads)
    trainer = Trainer(AIRBENCH94, load_dataset("auto").head(args.images, 10), scale=scale(args), runtime=runtime)
    recipe, data = trainer.recipe, trainer.data
    if which == "ours":
        train = trainer.run
    else:
        torch.set_num_threads(args.threads)
        images = normalize(data.train_images, data.mean, data.std, torch.float32)
        options = {"widths": recipe.widths, "batch_size": recipe.batch_size, "epochs": recipe.epochs}

        def train() -> object:
            return train_plain(images, data.train_labels, dtype=runtime.dtype, **options)

    train()


def scale(args: argparse.Namespace) -> Scale:
    return Scale(
        name="benchmark",
        width=args.width,
        batch_size=args.batch_size / AIRBENCH94.batch_size,
        epochs=args.epochs / AIRBENCH94.epochs,
    )


def seconds() -> float:
    started = time.perf_counter()
    train()
    return time.perf_counter() - started


def spin() -> None:
    while True:
        pass


@contextmanager
def neighbour(busy: bool) -> Iterator[None]:
    """Another process that keeps one core busy."""
    process = multiprocessing.Process(target=spin, daemon=True)
    if busy:
        process.start()
    try:
        yield
    finally:
        if busy:
            process.kill()
            process.join()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="times airbench94's widths (default 1)")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--images", type=int, default=4096, help="training images (default 4096)")
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--neighbour", action="store_true", help="keep one other core busy")
    args = parser.parse_args()

    spawn = multiprocessing.get_context("spawn")
    with spawn.Pool(1, prepare, ("ours", args)) as ours, spawn.Pool(1, prepare, ("plain", args)) as plain:
        ours.apply(seconds), plain.apply(seconds)
        with neighbour(args.neighbour):
            pairs = [(ours.apply(seconds), plain.apply(seconds)) for _ in range(args.pairs)]
    recipe = scale(args).recipe(AIRBENCH94)
    trained = recipe.steps(args.images) * recipe.batch_size
    ratios = [b / a for a, b in pairs]
    report = {
        **vars(args),
        **Runtime.detect("cpu", threads=args.threads).describe(),
        "torch": torch.__version__,
        "images_per_second": [round(trained / a) for a, _ in pairs],
        "plain_images_per_second": [round(trained / b) for _, b in pairs],
        "ratios": [round(ratio, 3) for ratio in ratios],
        "median_ratio": round(statistics.median(ratios), 3),
    }
    print(json.dumps(report))


if __name__ == "__main__":
    main()
