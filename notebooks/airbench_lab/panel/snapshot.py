"""All that there is to be shown of an experiment at a moment, in words and lines."""

from dataclasses import dataclass
from typing import Any

from airbench_lab.figures import Line
from airbench_lab.panel.experiment import STUCK, Experiment, Message
from airbench_lab.panel.runner import Runner
from airbench_lab.panel.runs import LatestRun, run_curve, run_name
from airbench_lab.panel.settings import Settings
from airbench_lab.speed import duration


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """live: the curve of the latest run, on or over, or that it was a race; others: earlier and recorded ones.

    losses: within its epochs, see `RunningLoss`. recorded: what is, of the settings, in a line. fraction_done: of a
    press. epochs: how many the plot has room for. racing: nothing is to be drawn now.
    """

    title: str
    settings: Settings
    state: str
    message: Message
    cost: str
    fraction_done: float
    progress: str
    epochs: float
    live: Line | None
    losses: tuple[tuple[float, float], ...]
    others: tuple[Line, ...]
    recorded: str
    rows: tuple[dict[str, Any], ...]
    racing: bool


def take_snapshot(experiment: Experiment) -> Snapshot:
    settings, state, message, runner = experiment.status()
    active = state in ("running", "stopping")
    here = runner is not None and runner.settings.scale_and_data == settings.scale_and_data
    live, latest = _live(runner, state) if here else (None, None)
    recorded = experiment.recorded.lookup(settings)
    return Snapshot(
        title=_title(experiment, settings),
        settings=settings,
        state=state,
        message=message,
        cost=_cost(experiment, settings),
        fraction_done=runner.fraction_done(_expected(experiment, runner)) if runner else 0.0,
        progress=_progress(experiment, runner, state) if runner else "",
        epochs=(runner.settings if active and here else settings).scaled.epochs,
        live=live,
        losses=runner.losses if here else (),
        others=experiment.runs.lines(settings, latest) + recorded.lines,
        recorded=recorded.about,
        rows=(*experiment.runs.rows(settings), *recorded.rows),
        racing=state == "running" and runner.settings.race,
    )


def _title(experiment: Experiment, settings: Settings) -> str:
    title = f"{experiment.start_name} on {experiment.device}"
    if settings.data.split("-")[0] == "builtin":  # also what is held out of them
        return f"{title}; drawn pictures: they say nothing about a trick"
    return f"{title}; this scale only shows that all runs" if settings.scale == "smoke" else title


def _live(runner: Runner, state: str) -> tuple[Line | None, LatestRun | None]:
    """The curve of the latest run, and which it is if it is over."""
    settings, progress, active = runner.settings, runner.progress, state in ("running", "stopping")
    name = run_name(settings, runner.parts)
    if settings.race:
        raced = not active and progress.results
        return Line(label=name, epochs=[], accuracies=[], state="race") if raced else None, None
    seeded = f"{name}, seed {{}}" if settings.seeds > 1 else name
    if state in ("stopped", "failed") and progress.seed is not None:
        latest = LatestRun(name, None) if progress.epochs else None
        return run_curve(seeded.format(progress.seed), progress.epochs, state), latest
    if progress.seed is None and progress.results:
        last = progress.results[-1]
        return run_curve(seeded.format(last.seed), last.epochs, "done"), LatestRun(name, last.seed)
    if not active:  # over before it began
        return None, None
    seed = settings.first_seed if progress.seed is None else progress.seed
    return run_curve(seeded.format(seed), progress.epochs, "running"), None


def _cost(experiment: Experiment, settings: Settings) -> str:
    if not experiment.datasets.is_available(settings.data):
        return f"{settings.data} is not on this machine: `airbench data {settings.data}` fetches it"
    one = experiment.costs.estimate(settings, experiment.runtime)
    if one is not None:
        all_runs = f", {settings.seeds} runs: {duration(one * settings.seeds)}" if settings.seeds > 1 else ""
        return f"cost here: {duration(one)} a run of {settings.scaled.epochs:.3g} epochs{all_runs}"
    if settings.compile:
        return "cost: known after the first compiled run, which compiles before its clock starts"
    return "cost: being measured" if experiment.is_measuring else "cost: known after the first run"


def _expected(experiment: Experiment, runner: Runner) -> float | None:
    return experiment.costs.estimate(runner.settings, runner.runtime)


def _progress(experiment: Experiment, runner: Runner, state: str) -> str:
    settings = runner.settings
    if state not in ("running", "stopping"):
        return state
    if experiment.is_stuck:
        return STUCK
    if experiment.is_queued:
        return "first this machine is measured" if experiment.is_measuring else "waiting: another panel is at work"
    if state == "stopping":
        return "stopping as soon as all is compiled" if runner.is_compiling else "stopping at the next step"
    n = min(len(runner.progress.results) + 1, settings.seeds)
    which = f"run {n} of {settings.seeds}, " if settings.seeds > 1 else ""
    how = "; to stop, interrupt the cell" * experiment.in_foreground
    if runner.is_compiling:
        return f"compiling, which can take minutes; no run's clock is on yet{how}"
    if settings.race:
        return f"racing: {which}nothing is drawn until it is over{how}"
    left = runner.seconds_left(_expected(experiment, runner))
    epochs = runner.epochs_text()
    return which + f"{epochs} epochs" + ("" if left is None else f", {duration(left)} left") + how
