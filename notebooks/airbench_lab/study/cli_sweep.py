"""`airbench sweep`: the many runs of a study, planned, made and logged; started again it goes on where it was."""

import argparse
import shlex
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from pathlib import Path

import torch
from tabulate import tabulate
from tqdm import tqdm

from airbench_core import RECIPES, Dataset, Recipe, Runtime, UsageError
from airbench_core.devices import available_cores
from airbench_core.scales import scale_named
from airbench_lab import runlog, tell
from airbench_lab.cli.interrupt import ctrl_c
from airbench_lab.cli.options import add_data, add_runtime, add_scale, data_from, seeds_from
from airbench_lab.cli.train import say
from airbench_lab.runlog import lines
from airbench_lab.speed import available_memory, duration, estimate_seconds, measure_speed
from airbench_lab.study.engines import Engine, Here, Outcome, Setting
from airbench_lab.study.layout import number
from airbench_lab.study.studies import STUDIES, Variant, axes_from, check_runs, grid, study_named
from airbench_lab.study.sweep import Plan, make, plan

# Bytes that a run on a CPU may come to need: measured for airbench96 in bfloat16 at full scale, where airbench94 in
# float32 needs 3.7e9, and for the longest runs of the flip study at the laptop scale.
MEMORY = {"full": 4.5e9, "quarter": 4.5e9, "laptop": 1.4e9, "smoke": 1.0e9}


def add(verbs: argparse._SubParsersAction) -> None:
    studies = "\n".join(f"  {name:10}{study.about}" for name, study in STUDIES.items())
    parser = verbs.add_parser(
        "sweep",
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
    add_data(parser)
    parser.add_argument("--race", action="store_true", help="no test accuracy between epochs")
    add_runtime(parser, threads="CPU threads of a run (default 1: runs side by side use cores better)")
    parser.add_argument(
        "--workers",
        type=int,
        help="runs at a time, by Ray where it is more than one (default: one a GPU; on a CPU for all cores but one, by "
        "--threads; without Ray: one, with all cores but one)",
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
    check_runs(len(variants) * len(seeds))
    scale = scale_named(args.scale)
    if args.out.exists() and not args.dry_run:
        runlog.check_writable(args.out)
    data = scale.data(data_from(args))
    # Planned and made under one lock: nothing is made twice.
    alone = nullcontext() if args.dry_run else lines.claimed(args.out)
    with alone, _engine(args, study.predictions, data) as engine:
        runtimes = engine.runtimes()
        left_out = []  # what is compiled, where that only slows it down, if it was not asked for
        if not args.compile and all(runtime["device"] == "cpu" for runtime in runtimes):
            left_out = [variant.label for variant in variants if variant.compile]
            variants = [variant for variant in variants if not variant.compile]
        planned = plan(
            variants, seeds, scale=scale, data=data, runtimes=runtimes, log=args.out, predictions=study.predictions
        )
        say(f"{args.study}: {study.about}")
        about = ", ".join(sorted({f"{runtime['name']}, {runtime['dtype']}" for runtime in runtimes}))
        say(
            f"scale {scale.name}, {data.name}: {len(data.train_images):,} training and {len(data.test_images):,} test "
            f"images; {engine}, {about}"
        )
        if planned.todo and not planned.costs.measured and args.engine == "local":  # of a cluster it says nothing
            first = planned.todo[0].recipe
            planned.costs.guess(first, _measured(first, engine.setting, data))
        _print_plan(variants, planned, args, engine)
        if left_out:
            say(f"left out: {', '.join(left_out)}: on a CPU compiled steps are slower (--compile: all compiled)")
        if args.dry_run:
            return 0
        runlog.check_writable(args.out)
        return _make(planned, engine, args, data.name)


@contextmanager
def _engine(args: argparse.Namespace, predictions: bool, data: Dataset) -> Iterator[Engine]:
    """The engine that was asked for; `data`: as scaled."""
    common = {"scale": args.scale, "race": args.race, "predictions": predictions}
    if args.engine == "ray":
        if args.workers is not None:
            raise UsageError("--workers does not go with --engine ray, which uses what the cluster has: leave it out")
        about = {"device": args.device, "threads": args.threads or 1, "address": args.address or "auto"}
    else:
        if args.address is not None:
            raise UsageError("--address is that of a Ray cluster: add --engine ray, or leave it out")
        workers, runtime = _local(args)
        if workers == 1:
            yield Here(Setting(runtime=runtime, **common), data)
            return
        about = {"device": runtime.device.type, "threads": runtime.threads, "workers": workers}
    from airbench_lab.study.cluster import RayEngine  # here: Ray may not be installed

    with RayEngine(data, dtype=args.dtype, **about, **common) as engine:
        yield engine


def _local(args: argparse.Namespace) -> tuple[int, Runtime]:
    """How many runs go on at a time on this machine, and each one's runtime."""
    several = args.workers is not None or find_spec("ray") is not None
    threads = 1 if several and args.threads is None else args.threads
    runtime = Runtime.detect(args.device, dtype=args.dtype, threads=threads)
    if runtime.device.type != "cpu":
        each = runtime.device.type == "cuda" and runtime.device.index is None
        most = default = torch.cuda.device_count() if each else 1
        room = f"one for each of the {most} device(s) here, at most"
    else:
        cores, threads = available_cores(), runtime.threads
        most = max(1, cores // threads)
        default = max(1, min((cores - 1) // threads, int(available_memory() // MEMORY[args.scale])))
        room = f"with {threads} thread(s) each, 1 to {most} on the {cores} core(s) here"
    workers = (default if several else 1) if args.workers is None else args.workers
    if not 1 <= workers <= most:
        raise UsageError(f"workers={workers} is not legal: {room}")
    return workers, runtime


def _measured(recipe: Recipe, setting: Setting, data: Dataset) -> float:
    """Seconds that a run of `recipe` on `data` will about take here, one at a time."""
    scale, runtime = scale_named(setting.scale), setting.runtime
    images = len(data.train_images), len(data.test_images)
    try:
        return estimate_seconds(recipe, scale, measure_speed(recipe, scale, runtime, seconds=0.5), images)
    finally:
        if runtime.device.type == "cuda":
            torch.cuda.empty_cache()  # a run of the sweep needs it


def _make(planned: Plan, engine: Engine, args: argparse.Namespace, data: str) -> int:
    left = list(planned.todo)

    def observer(outcome: Outcome) -> None:
        left.remove(outcome.task)
        if not outcome.failed:
            planned.costs.learn(outcome.task.recipe, outcome.task.compile, outcome.seconds)
        seconds = planned.costs.total(left, engine.slots)
        rest = f"; {duration(seconds)} left" if seconds else ""
        say(f"{planned.total - len(left):>5}/{planned.total}  {outcome.task}: {_what(outcome)}{rest}")
        bar.update()

    with ctrl_c() as stop, tqdm(total=len(left), unit="run", leave=False, disable=None) as bar:
        failed = make(planned.todo, engine, args.out, observer=observer, stop=stop)
    for outcome in failed:
        tell(f"airbench: {outcome.task} failed: {outcome.failed['message']}")
    for task in planned.diverged:
        tell(f"airbench: {task} diverged earlier")
    finished = planned.total - len(planned.diverged) - len(left) - len(failed)
    how = " --variance" if study_named(args.study).predictions else f" --study {args.study}" * (args.study in STUDIES)
    how += f" --data {shlex.quote(data)}" * planned.others
    then = f": `airbench report {args.out}{how}` shows what they say" if finished else ""
    say(f"{finished} of {planned.total} runs are in {args.out}{then}")
    if left:
        tell("airbench: stopped: the same command goes on from here")
        return 130
    return 1 if failed or planned.diverged else 0


def _what(outcome: Outcome) -> str:
    if outcome.failed:
        return f"failed: {outcome.failed['message']}"
    seconds = outcome.record["seconds"]
    time = "" if seconds is None else f", {seconds:.1f} s"
    return f"{outcome.record['accuracy']:.4f} with TTA {outcome.task.recipe.tta}{time}"


def _print_plan(variants: list[Variant], planned: Plan, args: argparse.Namespace, engine: Engine) -> None:
    scale, costs = scale_named(args.scale), planned.costs
    groups = {"to do": planned.todo, "in the log": planned.held, "diverged": planned.diverged}
    counts = [Counter((task.recipe, task.compile) for task in tasks) for tasks in groups.values()]
    rows = []
    for label, recipe, compile in variants:
        numbers = [count[recipe, compile] for count in counts]
        each = number(costs.expect(recipe, compile), ".1f") or "?"
        rows.append([label, f"{scale.recipe(recipe).epochs:.4g}", *numbers, each])
    headings = ["recipe", "epochs", *groups, "seconds each"]
    align = ["left"] + ["right"] * (len(headings) - 1)
    say("\n" + tabulate(rows, headings, "plain", disable_numparse=True, colalign=align))
    seconds = costs.total(planned.todo, engine.slots)
    cost = "as long as the first run shows" if seconds is None else duration(seconds)
    compiling = " and compilation" * any(task.compile for task in planned.todo)
    diverged = f", {len(planned.diverged)} diverged" if planned.diverged else ""
    rest = f"{len(planned.todo)} to do, {cost}{compiling}" if planned.todo else "nothing to do"
    say(f"\n{planned.total} runs: {len(planned.held)} in {args.out}{diverged}; {rest}\n")
