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
    """live: the curve of the newest run, on or over, or that it was a race; others: earlier and recorded ones.

    done: share of a press. epochs: how many the plot has room for. still: a race is on, and nothing is to be drawn.
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
    settings, state, message, training = experiment.now()
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
        done=training.done(_expected(training)) if training else 0.0,
        progress=_progress(experiment, training, state) if training else "",
        epochs=(training.settings if on and here else settings).scaled.epochs,
        live=live,
        others=experiment.runs.lines(settings, newest) + recorded.lines,
        rows=(*experiment.runs.rows(settings), *recorded.rows),
        still=state == "running" and training.settings.race,
    )


def _title(experiment: "Experiment", settings: Settings) -> str:
    title = f"{experiment.reference_name} on {experiment.device}"
    if settings.data == "builtin":
        return f"{title}; drawn pictures: they say nothing about a trick"
    return f"{title}; this scale only shows that all runs" if settings.scale == "smoke" else title


def _live(training: Training, state: str) -> tuple[Line | None, Newest | None]:
    """The curve of the newest run, and which it is if it is over."""
    settings, moment = training.settings, training.moment
    name = name_of(settings, training.parts)
    if settings.race:
        raced = state not in ("running", "stopping") and moment.results
        return Line(label=name, epochs=[], accuracies=[], state="race") if raced else None, None
    seeded = f"{name}, seed {{}}" if settings.seeds > 1 else name
    if state in ("stopped", "failed") and moment.seed is not None:
        newest = Newest(name, None) if moment.epochs else None
        return partial(seeded.format(moment.seed), moment.epochs, state), newest
    if moment.seed is None and moment.results:
        last = moment.results[-1]
        return partial(seeded.format(last.seed), last.epochs, "done"), Newest(name, last.seed)
    if state not in ("running", "stopping"):  # over before it began
        return None, None
    seed = settings.first_seed if moment.seed is None else moment.seed
    return partial(seeded.format(seed), moment.epochs, "running"), None


def _cost(experiment: "Experiment", settings: Settings) -> str:
    if not experiment.shelf.is_there(settings.data):
        return f"{settings.data} is not on this machine: `airbench data {settings.data}` fetches it"
    one = PRICES.expect(settings, experiment.runtime)
    if one is not None:
        all_runs = f", {settings.seeds} runs: {duration(one * settings.seeds)}" if settings.seeds > 1 else ""
        return f"cost here: {duration(one)} a run of {settings.scaled.epochs:.3g} epochs{all_runs}"
    if settings.compile:
        return "cost: known after the first compiled run, which compiles before its clock starts"
    return "cost: being measured" if experiment.measuring else "cost: known after the first run"


def _expected(training: Training) -> float | None:
    return PRICES.expect(training.settings, training.runtime)


def _progress(experiment: "Experiment", training: Training, state: str) -> str:
    settings, moment = training.settings, training.moment
    if state not in ("running", "stopping"):
        return state
    if experiment.stuck:
        return "the step does not end: does a function of yours loop for ever? Only restarting the kernel helps"
    if experiment.waits:
        return "first this machine is measured" if experiment.measuring else "waiting: another panel is at work"
    if state == "stopping":
        return "stopping at the next step"
    n = min(len(moment.results) + 1, settings.seeds)
    which = f"run {n} of {settings.seeds}, " if settings.seeds > 1 else ""
    how = "; to stop, interrupt the cell" * experiment.foreground
    if settings.race:
        return f"racing: {which}nothing is drawn until it is over{how}"
    left = training.seconds_left(_expected(training))
    epochs = training.epochs_done()
    return which + f"{epochs} epochs" + ("" if left is None else f", {duration(left)} left") + how
