"""`airbench verify`: whether a recipe reaches its accuracy here: many runs, their mean, a test against the target."""

import argparse

from airbench_core.cli.train import add_runs, make_runs
from airbench_core.errors import UsageError
from airbench_core.published import PUBLISHED, recipe_named
from airbench_core.study.statistics import against_target, mean_interval


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "verify",
        help="train a recipe many times and test its mean accuracy against a target",
        description="Exit status 0: nothing speaks against the target. 1: the mean accuracy is below it (one-sided t "
        "test, 5 %). 2: asked for wrongly.",
    )
    add_runs(parser, runs=25)
    parser.add_argument("--target", type=float, help="accuracy in 0..1 (default: the published one)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    target = _target(args)
    if args.runs < 2:
        raise UsageError(f"runs={args.runs} is not legal: a test needs 2 or more")
    accuracies = [result.accuracy for result in make_runs(args)]
    if len(accuracies) < args.runs:
        return 130  # stopped; `make_runs` has said so
    measured, test = mean_interval(accuracies), against_target(accuracies, target)
    print(
        f"mean accuracy {measured.mean:.4f}, 95 % interval {measured.low:.4f} to {measured.high:.4f}, n={measured.n}; "
        f"target {target:g}: {'FAILED, the mean is below it' if test.failed else 'nothing speaks against it'} "
        f"(one-sided t test, p={test.p:.3g}; it fails below {test.noticed:.4f})"
    )
    return 1 if test.failed else 0


def _target(args: argparse.Namespace) -> float:
    """The accuracy asked for; the published one is on CIFAR-10 and nothing else."""
    if args.target is not None:
        if not 0 < args.target < 1:
            raise UsageError(f"target={args.target:g} is not legal: above 0, below 1, such as 0.94")
        return args.target
    recipe_named(args.recipe)
    if args.scale != "full" or args.settings or args.data not in ("auto", "cifar10"):
        raise UsageError(
            "a published accuracy is that of a recipe as it is, at full scale on CIFAR-10: name a --target instead"
        )
    args.data = "cifar10"
    return PUBLISHED[args.recipe].target
