"""What a panel does, without a widget: its settings, its runs, their states. Knows nothing of what shows it."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, NamedTuple

from airbench_core import AirbenchError, DataError, Parts, RunResult, Runtime, UsageError
from airbench_lab import runlog
from airbench_lab.panel.costs import RUN_COSTS, RunCosts
from airbench_lab.panel.recorded import RecordedRuns
from airbench_lab.panel.runner import Runner, TrainerCache
from airbench_lab.panel.runs import InterruptedRun, RunHistory, rows_frame, run_name
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.worker import Foreground, Job, State, Worker

FOLDER = Path()  # where exports go: the notebook's
STUCK = "the step does not end: does a function of yours loop for ever? Only restarting the kernel helps"


class Message(NamedTuple):
    """A line for people."""

    kind: Literal["info", "warning", "error"]
    text: str


class Status(NamedTuple):
    """What is chosen, and how the last press is doing: of one moment."""

    settings: Settings
    state: State | Literal["idle"]
    message: Message
    runner: Runner | None  # of the last press


class Experiment:
    """Runs of a recipe with some of its values changed, one press after the other, and what was recorded of them.

    on_change: called, in any thread, when there is something new to be shown. on_step: called at each step, in the
    foreground, where no other thread can show anything meanwhile.
    """

    def __init__(
        self,
        settings: Settings,
        datasets: DataSets,
        runtime: Runtime,
        *,
        parts: Parts,
        worker: Worker | Foreground,
    ):
        self.settings, self.datasets = settings, datasets
        self.recorded = RecordedRuns(datasets, settings.recipe)
        self.runs = RunHistory(self.recorded.baseline)
        own = {"network", "optimizer", "loss", "augment"} & {*parts.replaced}
        self.costs = RunCosts() if own else RUN_COSTS  # what is one's own costs what it costs: its runs will tell
        self.device = f"{runtime.device_name}, {str(runtime.dtype).removeprefix('torch.')}"
        self.on_change: Callable[[], object] = lambda: None
        self.on_step: Callable[[], object] | None = None
        self._start, self._parts = settings, parts
        self._runtime, self._worker, self._trainers = runtime, worker, TrainerCache()
        self._message, self._repeats = Message("info", ""), ""
        self._runner: Runner | None = None
        self._job: Job | None = None
        self._measuring: Job | None = None
        self._lock = threading.RLock()

    @property
    def state(self) -> State | Literal["idle"]:
        return "idle" if self._job is None else self._job.state

    @property
    def is_active(self) -> bool:
        return self.state in ("running", "stopping")

    @property
    def is_queued(self) -> bool:
        """Whether what was started waits for its turn."""
        job = self._job
        return job is not None and job.is_queued and self._worker.is_busy_with_another(job)

    @property
    def is_stuck(self) -> bool:
        """Whether what is on, or what it waits for, does not answer any more."""
        job = self._job
        return job is not None and (job.is_stuck or (job.is_queued and self._worker.is_stuck))

    @property
    def in_foreground(self) -> bool:
        return isinstance(self._worker, Foreground)

    @property
    def is_measuring(self) -> bool:
        return self._measuring is not None and self._measuring.state == "running"

    @property
    def runtime(self) -> Runtime:
        return replace(self._runtime, compile=self.settings.compile)

    @property
    def name(self) -> str:
        """What the next run is called."""
        return run_name(self.settings, self._parts)

    @property
    def start_name(self) -> str:
        """What the switches start from."""
        return run_name(self._start)

    def status(self) -> Status:
        with self._lock:
            return Status(self.settings, self.state, self._message, self._runner)

    def set(self, **values: Any) -> None:
        """Change settings, or fields of the recipe. Raises UsageError, and then none is changed."""
        if values.get("data") == "auto":
            values["data"] = self.datasets.default
        if values.get("scale") == "auto":
            values["scale"] = self._start.scale
        if "data" in values:
            self.datasets.check(values["data"])
        with self._lock:
            settings = self.settings.changed(**values)
            if settings == self.settings:
                return
            self.settings = settings
            if not self.is_active:
                self._message = Message("info", "")
        self.on_change()

    def reset(self) -> None:
        """The settings that it began with; what was run stays."""
        with self._lock:
            self.settings = self._start
            self._message = Message("info", "the switches are back where they were; what was run stays")
        self.on_change()

    def start(self) -> None:
        """Begin the runs. Raises UsageError while some are on, DataError where there are no images."""
        with self._lock:
            if self.is_active:
                raise UsageError(STUCK if self.is_stuck else "a run is on: stop it first, or wait until it is over")
            settings = self.settings
            if not self.datasets.is_available(settings.data):
                raise DataError(
                    f"{settings.data} is not on this machine, so only recorded runs of it can be shown: "
                    f"`airbench data {settings.data}` in a terminal fetches it"
                )
            runner = Runner(
                settings,
                lambda: self.datasets.load(settings.data),
                self.runtime,
                self._parts,
                self._trainers,
                lambda result, seconds: self._add(runner, result, seconds),
                self.on_step,
            )
            again = "these seeds were run before: the same comes out again. For new runs raise `first seed`"
            self._repeats = again if self.runs.has_all(settings, self._parts) else ""
            self._runner, self._message = runner, Message("info", self._repeats)
            self._job = job = Job(
                runner,
                lambda state, error: self._finish(runner, state, error),
                lambda: self.on_change(),
                may_stop=lambda: not runner.is_compiling,
            )
        self.on_change()
        self._worker.submit(job)

    def stop(self) -> None:
        """Ask the run to stop at its next step; nothing happens if none is on."""
        if self._job is not None:
            self._job.stop()
        self.on_change()

    def wait(self, seconds: float | None = None) -> None:
        """Until what was started is over, at most so many seconds."""
        if self._job is not None:
            self._job.wait(seconds)

    def result(self) -> tuple[RunResult, ...]:
        """The runs of the last press, when they are over. Raises what they raised, `Stopped` if they were stopped."""
        if self._job is None:
            raise UsageError("nothing was run yet: press Run, or call run()")
        return self._job.result()

    def measure_cost(self) -> None:
        """Find out, in the worker, what a run costs here, if that is not known; then it shows."""
        with self._lock:
            settings, runtime = self.settings, self.runtime
            known = self.costs is not RUN_COSTS or self.costs.estimate(settings, runtime) is not None
            available = self.datasets.is_available(settings.data)
            if known or not available or settings.compile or self.is_measuring or self.in_foreground:
                return
            self._measuring = job = Job(
                lambda _: self.costs.measure(settings, runtime, lambda: self.datasets.load(settings.data)),
                on_over=lambda: self._measured(settings, job),
            )
        self._worker.submit(job)

    def _measured(self, settings: Settings, job: Job) -> None:
        closed = job.state == "stopped" or self._measuring is not job
        if settings.scale_and_data != self.settings.scale_and_data and not closed:  # chosen meanwhile
            self.measure_cost()
        self.on_change()

    def export(self, folder: str | Path = FOLDER) -> tuple[Path, Path]:
        """Write the table as CSV and the finished runs as a run log, new files in `folder`. Raises AirbenchError."""
        records = self.runs.records
        if not records:
            raise UsageError("there is nothing to export yet: press Run first")
        stem = Path(folder) / f"airbench-{datetime.now():%Y-%m-%d-%H%M%S-%f}"
        table, log = stem.with_suffix(".csv"), stem.with_suffix(".jsonl")
        runlog.check_writable(log)
        for record in records:
            runlog.append(log, record)
        try:
            rows_frame([*self.runs.rows(), *self.recorded.lookup(self.settings).rows]).to_csv(table, index=False)
        except OSError as error:
            raise AirbenchError(f"cannot write {table}: {error.strerror or error}; name another folder") from error
        with self._lock:
            self._message = Message("info", f"exported: {table.name} (the table), {log.name} (the log of the runs)")
        self.on_change()
        return table, log

    def show_error(self, error: AirbenchError) -> None:
        """An error that a person caused."""
        with self._lock:
            self._message = Message("error", str(error))
        self.on_change()

    def show_note(self, text: str) -> None:
        """A line for as long as a run is on."""
        with self._lock:
            if self.is_active:
                self._message = Message("info", text)
        self.on_change()

    def close(self) -> None:
        """Stop what is on, and let go of all that takes memory."""
        self.on_change = lambda: None
        with self._lock:
            for job in self._job, self._measuring:
                if job is not None:
                    job.stop()
            self._trainers = TrainerCache()  # a run that still stops may just be making one
            self._runner = self._job = self._measuring = None

    def _add(self, runner: Runner, result: RunResult, seconds: float) -> None:
        settings = runner.settings
        self.runs.add(settings, self._parts, result)
        self.costs.add(settings, runner.runtime, runner.data, result.seconds if settings.race else seconds)
        self.on_change()

    def _finish(self, runner: Runner, state: State, error: BaseException | None) -> None:
        """What is to be said and kept of a press that ends."""
        settings, progress = runner.settings, runner.progress
        n = len(progress.results)
        which = f"run {n + 1} of {settings.seeds}" if settings.seeds > 1 else "the run"
        kept = f"; the {n} before it {'are' if n > 1 else 'is'} kept" if n else ""
        if state in ("stopped", "failed") and progress.epochs:
            self.runs.add_interrupted(settings, self._parts, InterruptedRun(progress.epochs, state))
        if state == "failed":
            self._trainers.clear()
            message = Message("error", f"{which} failed: {_in_words(error)}{kept}")
        elif state == "stopped":
            message = Message("warning", f"{which} was stopped after {runner.epochs_text()} epochs{kept}")
        else:
            text = "; ".join(filter(None, [self._repeats, *runner.notes]))
            message = Message("warning" if runner.notes else "info", text)
        with self._lock:
            self._message = message


def _in_words(error: BaseException | None) -> str:
    """Ours say what to do; of others the kind says what it is."""
    if isinstance(error, AirbenchError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'} (panel.result() shows where)"
