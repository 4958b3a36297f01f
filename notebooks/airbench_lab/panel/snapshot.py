"""All that there is to be shown of an experiment at a moment, in words and lines."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from airbench_core.cli.terminal import duration
from airbench_lab.figures import Line
from airbench_lab.panel.costs import PRICES
from airbench_lab.panel.runs import Newest, name_of, partial
from airbench_lab.panel.settings import Settings
from airbench_lab.panel.training import Training

if TYPE_CHECKING:
    from airbench_lab.panel.experiment import Experiment


class Message(NamedTuple):
    """A line for people."""

    kind: Literal["info", "warning", "error"]
    text: str


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """live: the curve of the newest run, on or over; others: earlier and recorded ones. done: share of a press.

    epochs: how many the plot has room for. still: a race is on, and nothing is to be drawn.
    """

    title: str
    settings: Settings
    state: str
    message: Message
    cost: str
    done: float
    progress: str
    epochs: float
    live: Line | None
    others: tuple[Line, ...]
    rows: tuple[dict[str, Any], ...]
    still: bool


def take(experiment: "Experiment") -> Snapshot:
    settings, state, message, training, waits = experiment.now()
    on = state in ("running", "stopping")
    here = training is not None and training.settings.place == settings.place
    live, newest = _live(training, state) if here else (None, None)
    recorded = experiment.recorded.of(settings)
    return Snapshot(
        title=_title(experiment, settings),
        settings=settings,
        state=state,
        message=message,
        cost=_cost(experiment, settings),
        done=_done(training) if training else 0.0,
        progress=_progress(training, state, waits) if training else "",
        epochs=(training.settings if on and here else settings).scaled.epochs,
        live=live,
        others=experiment.runs.lines(settings, newest) + recorded.lines,
        rows=(*experiment.runs.rows(settings), *recorded.rows),
        still=on and training.settings.race and state == "running",
    )


def _title(experiment: "Experiment", settings: Settings) -> str:
    title = f"{experiment.name} on {experiment.device}"
    if settings.data == "builtin":
        return f"{title}; on these drawn pictures nothing about a trick follows"
    return f"{title}; this scale only shows that all runs" * (settings.scale == "smoke") or title


def _live(training: Training, state: str) -> tuple[Line | None, Newest | None]:
    settings, results = training.settings, training.results
    if settings.race:
        return None, None
    name, over = name_of(settings, training.parts), len(results) == settings.seeds
    shown = "done" if over else "stopped" if state in ("stopped", "failed") else "running"
    seed = f", seed {training.seed}" if settings.seeds > 1 else ""
    newest = Newest(name, training.seed) if over else Newest(name, None) if shown == "stopped" else None
    return partial(name + seed, training.epochs, shown), newest


def _cost(experiment: "Experiment", settings: Settings) -> str:
    if not experiment.shelf.is_there(settings.data):
        return f"{settings.data} is not on this machine: `airbench data {settings.data}` fetches it"
    one = PRICES.expect(settings, experiment.runtime)
    if one is not None:
        all_runs = f", {settings.seeds} runs: {duration(one * settings.seeds)}" if settings.seeds > 1 else ""
        return f"cost here: {duration(one)} a run{all_runs}"
    if settings.compile:
        return "cost: known after the first compiled run, which compiles before its clock starts"
    return "cost: being measured" if experiment.measuring else "cost: known after the first run"


def _done(training: Training) -> float:
    expected = PRICES.expect(training.settings, training.runtime)
    n, seeds = len(training.results), training.settings.seeds
    return (n + (training.run_done(expected) if n < seeds else 0)) / seeds


def _progress(training: Training, state: str, waits: bool) -> str:
    settings, n = training.settings, len(training.results)
    if waits:
        return "waiting: another panel is at work"
    if state == "stopping":
        return "stopping at the next step"
    if state != "running":
        return state
    which = f"run {n + 1} of {settings.seeds} (seed {training.seed}), " if settings.seeds > 1 else ""
    if settings.race:
        return f"racing: {which}nothing is drawn until it is over"
    left = training.seconds_left(PRICES.expect(settings, training.runtime))
    epochs = f"{training.epochs_done:.1f} of {settings.scaled.epochs:.3g} epochs"
    return which + epochs + ("" if left is None else f", {duration(left)} left")
