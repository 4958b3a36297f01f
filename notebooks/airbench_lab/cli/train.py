"""`airbench train`: train a recipe one or more times and print what came out."""

import argparse
import statistics
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

from airbench_core.errors import Diverged
from airbench_core.models import check_savable
from airbench_core.results import EpochRecord, RunResult, Stopped
from airbench_core.training import Trainer
from airbench_lab import runlog, tell
from airbench_lab.cli.interrupt import ctrl_c
from airbench_lab.cli.options import (
    add_data,
    add_recipe,
    add_runtime,
    add_scale,
    data_from,
    recipe_from,
    runtime_from,
    seeds_from,
)


def add(verbs: argparse._SubParsersAction) -> None:
    parser = verbs.add_parser("train")
    add_runs(parser, runs=1)
    parser.set_defaults(run=run)


def add_runs(parser: argparse.ArgumentParser, runs: int) -> None:
    """The options of a command that trains one recipe several times; `make_runs` does so."""
    add_recipe(parser)
    add_scale(parser)
    add_data(parser)
    parser.add_argument(
        "--runs", type=int, default=runs, help=f"how many runs, with seeds counted up from --seed (default {runs})"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the first run (default 0)")
    parser.add_argument(
        "--race", action="store_true", help="no test accuracy between epochs, and a GPU never waits: the honest time"
    )
    add_runtime(parser)
    parser.add_argument(
        "--out", type=Path, metavar="FILE", help="append each finished run to this log, a line of JSON each"
    )
    parser.add_argument(
        "--save", type=Path, metavar="FILE", help="keep the last run's network, for `airbench classify`"
    )


def run(args: argparse.Namespace) -> int:
    return 0 if len(make_runs(args)) == args.runs else 130


def make_runs(args: argparse.Namespace) -> list[float]:
    """Train as often as asked, logging and then printing each run, and a summary.

    Gives the accuracies; fewer if Ctrl-C stopped it.
    """
    seeds = seeds_from(args.seed, args.runs, "runs")
    recipe, runtime = recipe_from(args), runtime_from(args)
    if args.out:
        runlog.check_writable(args.out)
    if args.save:
        check_savable(args.save)
    trainer = Trainer(recipe, data_from(args), scale=args.scale, runtime=runtime)
    about = runtime.describe()
    say(
        f"{' '.join([args.recipe, *args.settings])}, scale {args.scale}, {trainer.data.name}: "
        f"{trainer.images:,} training and {len(trainer.data.test_images):,} test images, {trainer.steps:,} steps; "
        f"{about['name']}, {about['dtype']}, {about['threads']} thread(s){', compiled' * runtime.compile}"
    )
    say(f"{'run':>4}{'epoch':>8}{'train loss':>13}{'accuracy':>11}{'seconds':>10}")
    accuracies: list[float] = []
    seconds: list[float] = []
    try:
        with ctrl_c() as stop:
            for number, seed in enumerate(seeds, 1):
                result = _one_run(trainer, number, seed, stop, args.race)
                if args.out:
                    runlog.append(args.out, runlog.record(result))
                if args.save:
                    result.save(args.save)
                accuracies.append(result.accuracy)
                seconds.append(result.seconds)
                say(f"{number:>4}{'TTA':>8}{'':13}{result.accuracy:>11.4f}{result.seconds:>10.1f}")
    except Stopped as stopped:
        tell(f"airbench: run {len(accuracies) + 1} {stopped}")
    except Diverged as error:
        raise Diverged(f"run {len(accuracies) + 1}: {error}") from error
    finally:
        if n := len(accuracies):
            spread = f", std {statistics.stdev(accuracies):.4f}" if n > 1 else ""
            missing = f" of {args.runs} asked for" if n < args.runs else ""
            say(
                f"accuracy with TTA {recipe.tta}: mean {statistics.mean(accuracies):.4f}{spread}, n={n}{missing}; "
                f"seconds a run: median {statistics.median(seconds):.1f}"
            )
    return accuracies


def _one_run(trainer: Trainer, number: int, seed: int, stop: threading.Event, race: bool) -> RunResult:
    def show(record: EpochRecord) -> None:
        say(
            f"{number:>4}{record.epochs:>8.2f}{record.train_loss:>13.4f}{record.accuracy:>11.4f}{record.seconds:>10.1f}"
        )

    with _progress(trainer):
        return trainer.run(seed, observer=None if race else show, stop=stop)


@contextmanager
def _progress(trainer: Trainer) -> Iterator[None]:
    """A bar with the time left on a terminal, nothing in a pipe. A thread polls; the training never waits."""
    if not sys.stderr.isatty():
        yield
        return
    from tqdm import tqdm  # here: a machine that only measures may lack it

    done = threading.Event()
    with tqdm(total=trainer.steps, unit="step", leave=False) as bar:

        def poll() -> None:
            while not done.wait(0.25):
                bar.update(trainer.steps_done - bar.n)

        thread = threading.Thread(target=poll, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()


def say(text: str) -> None:
    """Print `text` at once, above a progress bar if there may be one; see `errors.tell`."""
    aside = nullcontext()
    if sys.stderr.isatty():
        from tqdm import tqdm  # here: a machine that only measures may lack it

        aside = tqdm.external_write_mode(file=sys.stdout)
    with aside:
        for line in text.split("\n"):
            tell(line, sys.stdout)
