"""How much faster than the plain port does `airbench_core` train on this CPU? In turns, pair by pair.

    python benchmarks/against_plain.py --width 1 --pairs 5
    python benchmarks/against_plain.py --width 0.25 --pairs 5 --neighbour     # with one other core busy

Both train airbench94 on the same images with the same batch size, dtype and threads, from whitening to the last
step. One JSON line: images/s of both, and the ratio pair by pair.
"""

import argparse
import json
import multiprocessing
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
from plain_port import train as train_plain

from airbench_core import AIRBENCH94, Runtime, Scale, Trainer, load_dataset
from airbench_core.augmentation import normalize


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


def seconds(work: Callable[[], object]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--width", type=float, default=1.0, help="times airbench94's widths")
    parser.add_argument("--batch-size", type=int, default=1024)
    parser.add_argument("--images", type=int, default=4096, help="training images")
    parser.add_argument("--epochs", type=float, default=2)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--neighbour", action="store_true", help="keep one other core busy")
    args = parser.parse_args()

    runtime = Runtime.detect("cpu", threads=args.threads)
    batch_size = args.batch_size / AIRBENCH94.batch_size
    epochs = args.epochs / AIRBENCH94.epochs
    scale = Scale(name="benchmark", width=args.width, batch_size=batch_size, epochs=epochs, train_images=args.images)
    data = load_dataset("auto").head(args.images, 10)
    trainer = Trainer(AIRBENCH94, data, scale=scale, runtime=runtime)
    images = normalize(trainer.data.train_images, data.mean, data.std, torch.float32)

    def ours() -> None:
        trainer.run(0)

    def plain() -> None:
        train_plain(
            images,
            trainer.data.train_labels,
            widths=trainer.recipe.widths,
            batch_size=trainer.recipe.batch_size,
            epochs=trainer.recipe.epochs,
            dtype=runtime.dtype,
        )

    with neighbour(args.neighbour), runtime.active():
        ours(), plain()
        pairs = [(seconds(ours), seconds(plain)) for _ in range(args.pairs)]
    trained = trainer.steps * trainer.recipe.batch_size
    ratios = [b / a for a, b in pairs]
    print(
        json.dumps(
            {
                **vars(args),
                **runtime.describe(),
                "torch": torch.__version__,
                "data": data.name,
                "images_per_second": [round(trained / a) for a, _ in pairs],
                "plain_images_per_second": [round(trained / b) for _, b in pairs],
                "ratios": [round(ratio, 3) for ratio in ratios],
                "median_ratio": round(statistics.median(ratios), 3),
            }
        )
    )


if __name__ == "__main__":
    main()
