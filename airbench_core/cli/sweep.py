"""`airbench sweep`: the many runs of a study, planned, made and logged; started again it goes on where it was."""

import argparse
import sys
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airbench_core.cli.data import add_root
from airbench_core.cli.options import add_runtime, add_scale, seeds_from
from airbench_core.cli.terminal import ctrl_c, say
from airbench_core.datasets import LOADERS, Dataset, load_dataset
from airbench_core.devices import Runtime
from airbench_core.errors import UsageError
from airbench_core.published import RECIPES
from airbench_core.recipes import parse_field
from airbench_core.scales import scale_named
from airbench_core.speed import duration
from airbench_core.study import runlog
from airbench_core.study.engines import Engine, Outcome, Setting, Task
from airbench_core.study.local import LocalEngine
from airbench_core.study.studies import STUDIES, Variant, grid, study_named
from airbench_core.study.sweep import Kind, Plan, make, plan


def add(verbs: argparse._SubParsersAction) -> None:
    studies = "\n".join(f"  {name:10}{study.about}" for name, study in STUDIES.items())
    parser = verbs.add_parser(
        "sweep",
        help="make the many runs of a study; started again it goes on",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description=f"The runs of a study, each with several seeds, into one log.\n\nstudies:\n{studies}\n"
        f"  RECIPE    one of {', '.join(RECIPES)}",
        epilog="Runs that the log holds are not made again: after Ctrl-C or a crash, start the same command again.",
    )
    parser.add_argument("study", metavar="STUDY", help="one of those above")
    parser.add_argument(
        "--set",
        action="append",
        default=[],
        metavar="FIELD=VALUE,VALUE",
        dest="axes",
        help="each recipe with each of these values, such as epochs=5,10,20; repeated: all combinations",
    )
    parser.add_argument("--seeds", type=int, default=5, help="runs of each recipe (default 5)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the first of them (default 0)")
    parser.add_argument("--out", type=Path, metavar="LOG", required=True, help="the log: runs are appended to it")
    parser.add_argument("--dry-run", action="store_true", help="print the plan and its cost, and stop")
    add_scale(parser)
    names = f"{', '.join(LOADERS)} or auto"
    parser.add_argument("--data", default="auto", help=f"{names} (default: CIFAR-10 if it is on disk)")
    add_root(parser)
    parser.add_argument("--race", action="store_true", help="no test accuracy between epochs")
    add_runtime(parser, threads="CPU threads of each process (default 1: runs side by side use cores better)")
    parser.add_argument(
        "--workers", type=int, help="processes (default: one a GPU; on a CPU for all cores but one, by --threads)"
    )
    parser.add_argument("--engine", choices=("local", "ray"), default="local", help="this machine, or a Ray cluster")
    parser.add_argument("--address", help="of the Ray cluster (default: the one that this machine belongs to)")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    study = study_named(args.study)
    seeds = seeds_from(args.seed, args.seeds, "seeds")
    variants = study.variants()
    if args.compile:
        variants = [variant._replace(compile=True) for variant in variants]
    variants = grid(variants, axes_from(args.axes))
    scale = scale_named(args.scale)
    data = scale.data(load_dataset(args.data, args.root))
    with _engine(args, study.predictions, data) as engine:
        runtimes = engine.runtimes()
        variants, left_out = _without_pointless(variants, runtimes, asked=args.compile)
        planned = plan(
            variants, seeds, scale=scale, data=data, runtimes=runtimes, log=args.out, predictions=study.predictions
        )
        say(f"{args.study}: {study.about}")
        about = ", ".join(sorted({f"{runtime['name']}, {runtime['dtype']}" for runtime in runtimes}))
        say(
            f"scale {scale.name}, {data.name}: {len(data.train_images):,} training and {len(data.test_images):,} test "
            f"images; {engine}, {about}"
        )
        if planned.todo and not planned.costs.measured:
            first = planned.todo[0].recipe
            if (seconds := engine.measure(first)) is not None:
                planned.costs.guess(scale.recipe(first), seconds)
        _print_plan(variants, planned, args, engine)
        if left_out:
            say(f"left out: {', '.join(left_out)}: on a CPU compiled steps are slower (--compile: all compiled)")
        if args.dry_run:
            return 0
        runlog.check_writable(args.out)
        return _make(planned, engine, args)


def axes_from(settings: list[str]) -> dict[str, list[Any]]:
    """The values of each field of "epochs=5,10,20" and the like."""
    axes: dict[str, list[Any]] = {}
    for setting in settings:
        name, equals, values = setting.partition("=")
        if name in axes:
            raise UsageError(f"--set {name} is given twice: write {name}=VALUE,VALUE")
        parsed = [parse_field(f"{name}{equals}{value}") for value in values.split(",")]
        axes[name] = [value for _, value in parsed]
    return axes


@contextmanager
def _engine(args: argparse.Namespace, predictions: bool, data: Dataset) -> Iterator[Engine]:
    """The engine that was asked for; `data`: as scaled."""
    common = {"scale": args.scale, "race": args.race, "predictions": predictions}
    threads = 1 if args.threads is None else args.threads
    if args.engine == "ray":
        if args.workers is not None:
            raise UsageError("--workers does not go with --engine ray, which uses what the cluster has: leave it out")
        from airbench_core.study.cluster import RayEngine  # here: Ray may not be installed

        where = {"device": args.device, "dtype": args.dtype, "threads": threads, "address": args.address}
        with RayEngine(data, **where, **common) as engine:
            yield engine
        return
    if args.address is not None:
        raise UsageError("--address is that of a Ray cluster: add --engine ray, or leave it out")
    runtime = Runtime.detect(args.device, dtype=args.dtype, threads=threads)
    yield LocalEngine(Setting(runtime=runtime, **common), data, root=args.root, workers=args.workers)


def _without_pointless(variants: list[Variant], runtimes: list, asked: bool) -> tuple[list[Variant], list[str]]:
    """Without what is compiled where that only slows it down, if it was not asked for; and the labels of those."""
    if asked or any(runtime["device"] != "cpu" for runtime in runtimes):
        return variants, []
    kept = [variant for variant in variants if not variant.compile]
    return kept, [variant.label for variant in variants if variant.compile]


def _make(planned: Plan, engine: Engine, args: argparse.Namespace) -> int:
    with ctrl_c() as stop, _progress(planned, engine, args) as observer:
        failed = make(planned.todo, engine, args.out, observer=observer, stop=stop)
    missing = len(planned.todo) - observer.done
    for outcome in failed:
        print(f"airbench: {_who(outcome)} failed: {outcome.failed['message']}", file=sys.stderr)
    for task in planned.diverged:
        print(f"airbench: {task.label}, seed {task.seed} diverged earlier", file=sys.stderr)
    finished = len(planned.held) + observer.done - len(failed)
    how = " --variance" if study_named(args.study).predictions else f" --study {args.study}" * (args.study in STUDIES)
    then = f": `airbench report {args.out}{how}` shows what they say" if finished else ""
    say(f"{finished} of {planned.total} runs are in {args.out}{then}")
    if missing:
        print("airbench: stopped: the same command goes on from here", file=sys.stderr)
        return 130
    return 1 if failed or planned.diverged else 0


class _Observer:
    """Prints a line for each outcome, and moves the bar where there is one."""

    def __init__(self, planned: Plan, engine: Engine, args: argparse.Namespace, bar):
        self.planned, self.engine, self.bar = planned, engine, bar
        self.kinds = _kinds(planned.todo, args)
        self.left = Counter(self.kinds[task.recipe, task.compile] for task in planned.todo)
        self.done = 0

    def __call__(self, outcome: Outcome | None) -> None:
        if outcome is not None:
            self.done += 1
            kind = self.kinds[outcome.task.recipe, outcome.task.compile]
            self.left[kind] -= 1
            if not outcome.failed:
                self.planned.costs.learn(kind, outcome.seconds)
            number = len(self.planned.held) + len(self.planned.diverged) + self.done
            say(f"{number:>5}/{self.planned.total}  {_who(outcome)}: {_what(outcome)}{self._rest()}")
        if self.bar is not None:
            self.bar.n = self.done + self.engine.underway()
            self.bar.set_postfix_str(self._rest().removeprefix("; "), refresh=False)
            self.bar.refresh()

    def _rest(self) -> str:
        seconds = self.planned.costs.total(self.left, self.engine.slots, self.engine.underway())
        return f"; {duration(seconds)} left" if seconds else ""


def _kinds(tasks: Iterable[Task], args: argparse.Namespace) -> dict[Kind, Kind]:
    """For what each task trains the same as scaled, computed once: a sweep may be of thousands of runs."""
    scale = scale_named(args.scale)
    kinds = dict.fromkeys((task.recipe, task.compile) for task in tasks)
    return {(recipe, compile): (scale.recipe(recipe), compile) for recipe, compile in kinds}


@contextmanager
def _progress(planned: Plan, engine: Engine, args: argparse.Namespace) -> Iterator[_Observer]:
    if not sys.stderr.isatty() or not planned.todo:
        yield _Observer(planned, engine, args, None)
        return
    from tqdm import tqdm

    form = "{percentage:3.0f}%|{bar}| {n:.1f}/{total} runs, {elapsed}{postfix}"
    with tqdm(total=len(planned.todo), leave=False, bar_format=form) as bar:
        yield _Observer(planned, engine, args, bar)


def _who(outcome: Outcome) -> str:
    return f"{outcome.task.label}, seed {outcome.task.seed}"


def _what(outcome: Outcome) -> str:
    if outcome.failed:
        return f"failed: {outcome.failed['message']}"
    seconds = outcome.record["seconds"]
    time = "" if seconds is None else f", {seconds:.1f} s"
    return f"{outcome.record['accuracy']:.4f} with TTA {outcome.task.recipe.tta}{time}"


def _print_plan(variants: list[Variant], planned: Plan, args: argparse.Namespace, engine: Engine) -> None:
    scale, costs = scale_named(args.scale), planned.costs
    groups = (planned.todo, planned.held, planned.diverged)
    counts = [Counter((task.recipe, task.compile) for task in tasks) for tasks in groups]
    width = max(len("recipe"), *(len(variant.label) for variant in variants))
    heads = f"{'epochs':>9}{'to do':>8}{'in the log':>12}{'diverged':>10}{'seconds each':>14}"
    say(f"\n{'recipe':{width}}{heads}")
    for variant in variants:
        recipe = scale.recipe(variant.recipe)
        todo, held, diverged = (count[variant.recipe, variant.compile] for count in counts)
        seconds = costs.expect((recipe, variant.compile))
        each = "?" if seconds is None else f"{seconds:.1f}"
        say(f"{variant.label:{width}}{recipe.epochs:>9.4g}{todo:>8}{held:>12}{diverged:>10}{each:>14}")
    kinds = _kinds(planned.todo, args)
    seconds = costs.total(Counter(kinds[task.recipe, task.compile] for task in planned.todo), engine.slots)
    cost = "as long as the first run shows" if seconds is None else duration(seconds)
    compiling = " and compilation" * any(task.compile for task in planned.todo)
    diverged = f", {len(planned.diverged)} diverged" if planned.diverged else ""
    rest = f"{len(planned.todo)} to do, {cost}{compiling}" if planned.todo else "nothing to do"
    say(f"\n{planned.total} runs: {len(planned.held)} in {args.out}{diverged}; {rest}\n")
