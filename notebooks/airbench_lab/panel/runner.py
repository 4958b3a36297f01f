"""What one press of Run does in the worker, and what is known of it meanwhile."""

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from airbench_core import AirbenchWarning, Dataset, EpochRecord, Parts, RunResult, Runtime, Trainer
from airbench_lab.flops import training_flops
from airbench_lab.panel.settings import Settings

LOSS_PAUSE = 0.25  # seconds at least from one reading of the loss to the next
MOST_LOSSES = 400


class TrainerCache:
    """The last `Trainer`, so that what is compiled is compiled once. Only one: each holds images on the device."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()  # what was warned of when it was made
        self._last: tuple[tuple, Dataset, Trainer] | None = None

    def get(self, settings: Settings, data: Dataset, runtime: Runtime, parts: Parts) -> Trainer:
        key = (settings.recipe, settings.scale, runtime, parts)
        if self._last is None or self._last[0] != key or self._last[1] is not data:
            self._last = None  # first, so that there are never two
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AirbenchWarning)
                trainer = Trainer(settings.recipe, data, scale=settings.scale, runtime=runtime, parts=parts)
            self.notes = tuple(str(one.message) for one in caught if issubclass(one.category, AirbenchWarning))
            self._last = key, data, trainer
        return self._last[2]

    def clear(self) -> None:
        self._last = None


class Progress(NamedTuple):
    """How far a press is: replaced as a whole, so that who reads it in another thread sees one moment.

    seed: of the run in progress, None between two and when all are over. epochs: its complete ones that were watched.
    started: its start, on the monotonic clock.
    """

    results: tuple[RunResult, ...] = ()
    seconds: tuple[float, ...] = ()  # of each result, with what its clock leaves out
    seed: int | None = None
    epochs: tuple[EpochRecord, ...] = ()
    started: float = 0.0


class RunningLoss:
    """The training loss within the epochs of a run. `look` is called at each step, in the thread that trains.

    points: epochs done, and the mean loss of an image since the point before, or since the epoch began. The device is
    not waited for: a GPU copies the loss when it gets there, and the copy is read at a later step.
    """

    def __init__(self) -> None:
        self.points: tuple[tuple[float, float], ...] = ()
        self._pause, self._next = LOSS_PAUSE, 0.0
        self._before = 0, 0.0  # the step of the last point, and the sum of the epoch's losses there
        self._copied: tuple[int, Tensor, torch.cuda.Event | None] | None = None

    def look(self, trainer: Trainer) -> None:
        if self._copied is not None:
            steps, total, copied = self._copied
            if copied is None or copied.query():
                self._copied = None
                self._add(steps, float(total), trainer.steps_per_epoch, trainer.batch_size)
        steps, now, device = trainer.steps_done, time.monotonic(), trainer.runtime.device
        within = steps % trainer.steps_per_epoch and steps != self._before[0]  # else there is nothing new in it
        if within and self._copied is None and now >= self._next and device.type in ("cpu", "cuda"):
            self._next, copied = now + self._pause, None
            total = trainer.loss_sum.to("cpu", non_blocking=True, copy=True)
            if device.type == "cuda":
                (copied := torch.cuda.Event()).record()
            self._copied = steps, total, copied

    def _add(self, steps: int, total: float, epoch: int, batch: int) -> None:
        before, summed = self._before if self._before[0] // epoch == steps // epoch else (steps // epoch * epoch, 0.0)
        self._before = steps, total
        loss = (total - summed) / (steps - before) / batch
        points = (*self.points, (steps / epoch, loss))
        if len(points) == MOST_LOSSES:  # half as many, each the mean of two
            self._pause *= 2
            points = tuple((x, (a + b) / 2) for (_, a), (x, b) in zip(points[::2], points[1::2], strict=True))
        self.points = points


class Runner:
    """Makes the runs of one press, called by the worker with the event that stops them. Other threads only read.

    load: gives the data set. after_run: called with each finished run and its seconds, what its clock leaves out
    included. on_step: called at each step of a run that is watched, where no other thread can show how far it is: in
    the foreground.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Dataset],
        runtime: Runtime,
        parts: Parts,
        trainers: TrainerCache,
        after_run: Callable[[RunResult, float], object],
        on_step: Callable[[], object] | None = None,
    ):
        self.settings, self.runtime, self.parts = settings, runtime, parts
        self.progress = Progress()
        self.notes: tuple[str, ...] = ()
        self.data: Dataset | None = None  # as scaled, when it is loaded
        self.is_compiling = False  # which no event stops
        self._load, self._trainers, self._after_run = load, trainers, after_run
        self._on_step = None if settings.race else on_step
        self._trainer: Trainer | None = None  # while it is used: it holds images on the device
        self._loss = RunningLoss()
        self._steps, self._steps_per_epoch = 0, 0.0  # of each run
        self._last_step = 0  # of the last one
        self._inference = 0.0  # the share of the final inference in a run
        self._inferring = 0.0  # since when

    def __call__(self, stop: threading.Event) -> tuple[RunResult, ...]:
        trainer = self._trainers.get(self.settings, self._load(), self.runtime, self.parts)
        images = len(trainer.data.train_images), len(trainer.data.test_images)
        self._inference = 1 - training_flops(trainer.recipe, images[0], 0) / training_flops(trainer.recipe, *images)
        self._steps, self._steps_per_epoch = trainer.steps, trainer.steps_per_epoch
        self.notes, self.data, self._trainer = self._trainers.notes, trainer.data, trainer
        try:
            return self._run_all(trainer, stop if self.settings.race else _AskedStop(stop, self._step))
        finally:
            self._last_step = trainer.steps_done
            self._trainer = None

    def _run_all(self, trainer: Trainer, stop: Any) -> tuple[RunResult, ...]:
        with self.runtime.active():
            self.is_compiling = self.runtime.compile and not trainer.warm
            try:
                trainer.warm_up()  # here: what is compiled once is in no run's seconds
            finally:
                self.is_compiling = False
        for seed in self.settings.all_seeds:
            trainer.steps_done, self._inferring = 0, 0.0
            self._loss = RunningLoss()
            self.progress = self.progress._replace(seed=seed, epochs=(), started=time.monotonic())
            result = trainer.run(seed, observer=None if self.settings.race else self._watch, stop=stop)
            results, seconds = (*self.progress.results, result), time.monotonic() - self.progress.started
            self.progress = Progress(results, (*self.progress.seconds, seconds))
            self._after_run(result, seconds)
        return self.progress.results

    def _watch(self, record: EpochRecord) -> None:
        self.progress = self.progress._replace(epochs=(*self.progress.epochs, record))
        if self._on_step is not None:
            self._on_step()

    def _step(self) -> None:
        self._loss.look(self._trainer)
        if self._on_step is not None:
            self._on_step()

    @property
    def losses(self) -> tuple[tuple[float, float], ...]:
        """Of the run in progress or the last one: `RunningLoss.points`; none of a race."""
        return self._loss.points

    def epochs_text(self) -> str:
        """Of the run in progress, or of the one that was cut short: "1.2 of 15.8"."""
        progress, asked = self.progress, self.settings.scaled.epochs
        if progress.seed is None and len(progress.results) < self.settings.seeds:  # steps: of the one before
            return f"0.0 of {asked:.3g}"
        done = self._steps_done / self._steps_per_epoch
        return f"{done:.1f} of {asked:.3g}" if done < asked else f"{asked:.3g} of {asked:.3g}"

    def fraction_done(self, expected: float | None) -> float:
        """The share of all runs that is done, 0..1. expected: seconds of a run."""
        progress, part = self._consistent(expected)
        return (len(progress.results) + part) / self.settings.seeds

    def seconds_left(self, expected: float | None) -> float | None:
        """Until all runs are done; None before it can be said. expected: seconds of a run, before one was made."""
        progress, done = self._consistent(expected)
        if progress.seconds:
            one = sum(progress.seconds) / len(progress.seconds)
        elif done > 0.1:  # its own pace: the machine may be busier than it was
            one = (time.monotonic() - progress.started) / done
        elif expected:
            one = expected
        else:
            return None
        return one * (self.settings.seeds - len(progress.results) - done)

    def _consistent(self, expected: float | None) -> tuple[Progress, float]:
        """The progress, and the share of its run that is done."""
        while True:
            progress = self.progress
            done = self._run_fraction(expected) if progress.seed is not None else 0.0
            if progress is self.progress:  # else the steps may be those of the next run
                return progress, done

    @property
    def _steps_done(self) -> int:
        trainer = self._trainer
        return self._last_step if trainer is None else trainer.steps_done

    def _run_fraction(self, expected: float | None) -> float:
        """Of the run in progress, by its FLOPs. The final inference counts no steps: it is taken to go on in time."""
        inference, steps = self._inference, self._steps_done / self._steps
        if steps < 1:
            return steps * (1 - inference)
        self._inferring = self._inferring or time.monotonic()
        spent = (time.monotonic() - self._inferring) / (inference * expected) if expected else 0.0
        return 1 - inference + inference * min(0.95, spent)


class _AskedStop:
    """An event that calls `on_step` whenever it is asked, as `Trainer.run` does at each step."""

    def __init__(self, stop: threading.Event, on_step: Callable[[], Any]):
        self._stop, self._on_step = stop, on_step

    def is_set(self) -> bool:
        self._on_step()
        return self._stop.is_set()
