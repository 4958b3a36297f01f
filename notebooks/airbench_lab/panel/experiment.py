"""What a panel does, without a widget: its settings, its runs, their states. Whatever shows it takes a `Snapshot`."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import pandas as pd

from airbench_core import AirbenchError, DataError, Parts, Recipe, RunResult, Runtime, UsageError, runlog
from airbench_lab.panel import snapshot
from airbench_lab.panel.costs import PRICES
from airbench_lab.panel.recorded import Recorded, reference_curve
from airbench_lab.panel.runs import Partial, Runs, frame, name_of
from airbench_lab.panel.settings import Settings, Shelf
from airbench_lab.panel.snapshot import Message, Snapshot
from airbench_lab.panel.training import Trainers, Training
from airbench_lab.worker import Foreground, Job, State, Worker

FOLDER = Path()  # where exports go: the notebook's


class Experiment:
    """Runs of a recipe with some of its values changed, one press after the other, and what was recorded of them.

    changed: called, in any thread, when there is something new to be shown. look: called at each step, in the
    foreground, where nothing else can look meanwhile.
    """

    def __init__(
        self,
        settings: Settings,
        shelf: Shelf,
        runtime: Runtime,
        *,
        parts: Parts,
        reference: Recipe,
        worker: Worker | Foreground,
    ):
        self.settings, self.shelf = settings, shelf
        self.recorded = Recorded(shelf, settings.recipe, reference)
        self.runs = Runs(reference, lambda of: reference_curve(reference, of, shelf.known(of.data, of.scale)))
        self.device = f"{runtime.device_name}, {str(runtime.dtype).removeprefix('torch.')}"
        self.changed: Callable[[], object] = lambda: None
        self.look: Callable[[], object] | None = None
        self._start, self._reference, self._parts = settings, reference, parts
        self._runtime, self._worker, self._trainers = runtime, worker, Trainers()
        self._message, self._repeats = Message("info", ""), ""
        self._training: Training | None = None
        self._job: Job | None = None
        self._measuring: Job | None = None
        self._lock = threading.RLock()

    @property
    def state(self) -> State | Literal["idle"]:
        return "idle" if self._job is None else self._job.state

    @property
    def on(self) -> bool:
        return self.state in ("running", "stopping")

    @property
    def waits(self) -> bool:
        """Whether what was started waits for its turn."""
        job = self._job
        return job is not None and job.waits and self._worker.does_another(job)

    @property
    def stuck(self) -> bool:
        """Whether what is on, or what it waits for, does not answer any more."""
        job = self._job
        return job is not None and (job.stuck or (job.waits and self._worker.stuck))

    @property
    def foreground(self) -> bool:
        return isinstance(self._worker, Foreground)

    @property
    def measuring(self) -> bool:
        return self._measuring is not None and self._measuring.state == "running"

    @property
    def runtime(self) -> Runtime:
        return replace(self._runtime, compile=self.settings.compile)

    @property
    def name(self) -> str:
        """What the next run is called."""
        return name_of(self.settings, self._parts)

    @property
    def reference_name(self) -> str:
        return name_of(self.settings.changed(recipe=self._reference, compile=False))

    def set(self, **values: Any) -> None:
        """Change settings, or fields of the recipe. Raises UsageError, and then none is changed."""
        if values.get("data") == "auto":
            values["data"] = self.shelf.first
        if values.get("scale") == "auto":
            values["scale"] = self._start.scale
        if "data" in values:
            self.shelf.check(values["data"])
        with self._lock:
            settings = self.settings.changed(**values)
            if settings == self.settings:
                return
            self.settings = settings
            if not self.on:
                self._message = Message("info", "")
        self.changed()

    def reset(self) -> None:
        """The settings that it began with; what was run stays."""
        with self._lock:
            self.settings = self._start
            self._message = Message("info", "the switches are back where they were; what was run stays")
        self.changed()

    def start(self) -> None:
        """Begin the runs. Raises UsageError while some are on, DataError where there are no images."""
        with self._lock:
            if self.on:
                raise UsageError("a run is on: stop it first, or wait until it is over")
            settings = self.settings
            if not self.shelf.is_there(settings.data):
                raise DataError(
                    f"{settings.data} is not on this machine, so only recorded runs of it can be shown: "
                    f"`airbench data {settings.data}` in a terminal fetches it"
                )
            training = Training(
                settings,
                lambda: self.shelf.load(settings.data),
                self.runtime,
                self._parts,
                self._trainers,
                lambda result, seconds: self._keep(training, result, seconds),
                self.look,
            )
            again = "these seeds were run before: the same comes out again. For new runs raise `first seed`"
            self._repeats = again if self.runs.has(settings, self._parts) else ""
            self._training, self._message = training, Message("info", self._repeats)
            self._job = job = Job(
                training, lambda state, error: self._end(training, state, error), lambda: self.changed()
            )
        self.changed()
        self._worker.put(job)

    def stop(self) -> None:
        """Ask the run to stop at its next step; nothing happens if none is on."""
        if self._job is not None:
            self._job.stop()
        self.changed()

    def wait(self, seconds: float | None = None) -> None:
        """Until what was started is over, at most so many seconds."""
        if self._job is not None:
            self._job.wait(seconds)

    def result(self) -> tuple[RunResult, ...]:
        """The runs of the last press, when they are over. Raises what they raised, `Stopped` if they were stopped."""
        if self._job is None:
            raise UsageError("nothing was run yet: press Run, or call run()")
        return self._job.result()

    def measure(self) -> None:
        """Find out, in the worker, what a run costs here, if that is not known; then it shows."""
        with self._lock:
            settings, runtime = self.settings, self.runtime
            known = PRICES.expect(settings, runtime) is not None
            there = self.shelf.is_there(settings.data)
            if known or not there or settings.compile or self.measuring or self.foreground:
                return
            self._measuring = job = Job(
                lambda _: PRICES.measure(settings, runtime, lambda: self.shelf.load(settings.data)),
                after=lambda: self._measured(settings, job),
            )
        self._worker.put(job)

    def _measured(self, settings: Settings, job: Job) -> None:
        closed = job.state == "stopped" or self._measuring is not job
        if settings.place != self.settings.place and not closed:  # something else was chosen meanwhile
            self.measure()
        self.changed()

    def export(self, folder: str | Path = FOLDER) -> tuple[Path, Path]:
        """Write the table as CSV and the finished runs as a run log, new files in `folder`. Raises AirbenchError."""
        records = self.runs.records
        if not records:
            raise UsageError("there is nothing to export yet: press Run first")
        stem = Path(folder) / f"airbench-{datetime.now():%Y-%m-%d-%H%M%S-%f}"
        table, log = stem.with_suffix(".csv"), stem.with_suffix(".jsonl")
        try:
            frame([*self.runs.rows(), *self.recorded.of(self.settings).rows]).to_csv(table, index=False)
        except OSError as error:
            raise AirbenchError(f"cannot write {table}: {error.strerror or error}; name another folder") from error
        for record in records:
            runlog.append_record(log, record)
        with self._lock:
            self._message = Message("info", f"exported: {table.name} (the table), {log.name} (the log of the runs)")
        self.changed()
        return table, log

    def say(self, error: AirbenchError) -> None:
        """Show an error that a person caused."""
        with self._lock:
            self._message = Message("error", str(error))
        self.changed()

    def tell(self, text: str) -> None:
        """Show a line for as long as a run is on."""
        with self._lock:
            if self.on:
                self._message = Message("info", text)
        self.changed()

    def close(self) -> None:
        """Stop what is on, and let go of all that takes memory."""
        self.changed = lambda: None
        with self._lock:
            for job in self._job, self._measuring:
                if job is not None:
                    job.stop()
            self._trainers = Trainers()  # a run that still stops may just be making one
            self._training = self._job = self._measuring = None

    def now(self) -> tuple[Settings, str, Message, Training | None]:
        """Settings, state, message and the last press: of one moment."""
        with self._lock:
            return self.settings, self.state, self._message, self._training

    def snapshot(self) -> Snapshot:
        return snapshot.take(self)

    def table(self) -> pd.DataFrame:
        """A row for each recipe: the runs made here, and the recorded ones of what is chosen."""
        return frame(self.snapshot().rows)

    def _keep(self, training: Training, result: RunResult, seconds: float) -> None:
        settings = training.settings
        self.runs.add(settings, self._parts, result)
        PRICES.learn(settings, training.runtime, training.data, result.seconds if settings.race else seconds)
        self.changed()

    def _end(self, training: Training, state: State, error: BaseException | None) -> None:
        """What is to be said and kept of a press that ends."""
        settings, moment = training.settings, training.moment
        n = len(moment.results)
        which = f"run {n + 1} of {settings.seeds}" if settings.seeds > 1 else "the run"
        kept = f"; the {n} before it {'are' if n > 1 else 'is'} kept" if n else ""
        if state in ("stopped", "failed") and moment.epochs:
            self.runs.add_partial(settings, self._parts, Partial(moment.epochs, state))
        if state == "failed":
            self._trainers.forget()
            message = Message("error", f"{which} failed: {_in_words(error)}{kept}")
        elif state == "stopped":
            message = Message("warning", f"stopped: {which}, after {training.epochs_done()} epochs{kept}")
        else:
            text = "; ".join(filter(None, [self._repeats, *training.notes]))
            message = Message("warning" if training.notes else "info", text)
        with self._lock:
            self._message = message


def _in_words(error: BaseException | None) -> str:
    """Ours say what to do; of others the kind says what it is."""
    if isinstance(error, AirbenchError):
        return str(error)
    text = str(error).strip().splitlines()
    return f"{type(error).__name__}: {text[0] if text else 'no message'} (panel.result() shows where)"
