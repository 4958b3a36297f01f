"""`airbench verify`: whether a recipe reaches its accuracy here: many runs, their mean, a test against the target."""

import argparse

from airbench_core.errors import UsageError
from airbench_core.published import recipe_named
from airbench_lab.cli.train import add_runs, make_runs, say
from airbench_lab.study.statistics import FEWEST, against_target, legal_target, mean_interval

# The accuracy on CIFAR-10 that is published for just this recipe: none is for resnet18 and airbench94_next.
TARGETS = {
    "baseline": 0.94, "airbench94": 0.94, "airbench94_muon": 0.94,
    "airbench95": 0.95, "airbench96": 0.96, "airbench96_faster": 0.96,
}  # fmt: skip


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser(
        "verify",
        description="Exit status 0: nothing speaks against the target. 1: the mean accuracy is below it (one-sided t "
        "test, 5 %). 2: asked for wrongly. Without --data it is CIFAR-10, downloaded where it is missing.",
    )
    add_runs(parser, runs=25)
    parser.add_argument("--target", type=float, help="accuracy in 0..1 (default: the published one)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    if args.runs < FEWEST:
        raise UsageError(f"runs={args.runs} is not legal: fewer than {FEWEST} runs say nothing about a mean")
    if args.data == "auto":
        args.data = "cifar10"  # drawn pictures in its place would make a verdict on nothing
    target = legal_target(args.target if args.target is not None else _published(args))
    accuracies = make_runs(args)
    if len(accuracies) < args.runs:
        return 130  # stopped; `make_runs` has said so
    measured, test = mean_interval(accuracies), against_target(accuracies, target)
    say(
        f"mean accuracy {measured.mean:.4f}, 95 % interval {measured.low:.4f} to {measured.high:.4f}, n={measured.n}; "
        f"target {target:g}: {'FAILED, the mean is below it' if test.failed else 'nothing speaks against it'} "
        f"(one-sided t test, p={test.p:.3g}; it fails below {test.critical:.4f})"
    )
    return 1 if test.failed else 0


def _published(args: argparse.Namespace) -> float:
    """The accuracy that is published for just what is asked for."""
    recipe_named(args.recipe)
    target = TARGETS.get(args.recipe)
    if target is None:
        raise UsageError(f"no accuracy is published for {args.recipe} as it is here: name a --target")
    if args.scale != "full" or args.settings or args.data != "cifar10" or args.holdout is not None:
        raise UsageError(
            "a published accuracy is that of a recipe as it is, at full scale on CIFAR-10: name a --target instead"
        )
    return target
