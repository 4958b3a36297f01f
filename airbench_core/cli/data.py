"""`airbench data`: find, download and verify a data set."""

import argparse

from airbench_core.data.datasets import LOADERS, load_dataset


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("data", help="find, download and verify a data set")
    parser.add_argument("data", metavar="NAME", help=f"{', '.join(LOADERS)} or auto")
    add_root(parser)
    parser.set_defaults(run=run)


def add_root(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--root", help="folder that holds the data (default: $AIRBENCH_DATA, then the cache folder)")


def run(args: argparse.Namespace) -> int:
    data = load_dataset(args.data, args.root)
    names = ", ".join(data.classes[:10]) + ", ..." * (len(data.classes) > 10)
    print(
        f"{data.name}: {len(data.train_images):,} training and {len(data.test_images):,} test images, "
        f"{len(data.classes)} classes ({names}), digest {data.digest}"
    )
    return 0
