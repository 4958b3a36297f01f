"""What one press of Run does in the worker, and what is known of it meanwhile."""

import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

from airbench_core import AirbenchWarning, Dataset, EpochRecord, Parts, RunResult, Runtime, Trainer
from airbench_core.flops import training_flops
from airbench_lab.panel.settings import Settings


class Trainers:
    """The last `Trainer`, so that what is compiled is compiled once. Only one: each holds images on the device."""

    def __init__(self) -> None:
        self.notes: tuple[str, ...] = ()  # what was warned of when it was made
        self._last: tuple[tuple, Dataset, Trainer] | None = None

    def of(self, settings: Settings, data: Dataset, runtime: Runtime, parts: Parts) -> Trainer:
        key = (settings.recipe, settings.scale, runtime, parts)
        if self._last is None or self._last[0] != key or self._last[1] is not data:
            self._last = None  # first, so that there are never two
            with warnings.catch_warnings(record=True) as caught:
                warnings.simplefilter("always", AirbenchWarning)
                trainer = Trainer(settings.recipe, data, scale=settings.scale, runtime=runtime, parts=parts)
            self.notes = tuple(str(one.message) for one in caught if issubclass(one.category, AirbenchWarning))
            self._last = key, data, trainer
        return self._last[2]

    def forget(self) -> None:
        self._last = None


class Training:
    """The runs of one press, called by the worker with the event that stops them. Other threads only read.

    load: gives the data set. after_run: called with each finished run. look: called at each step, to be used where
    nothing else can look meanwhile, in the foreground.
    """

    def __init__(
        self,
        settings: Settings,
        load: Callable[[], Dataset],
        runtime: Runtime,
        parts: Parts,
        trainers: Trainers,
        after_run: Callable[[RunResult], object],
        look: Callable[[], object] | None = None,
    ):
        self.settings, self.runtime, self.parts = settings, runtime, parts
        self.results: tuple[RunResult, ...] = ()
        self.epochs: tuple[EpochRecord, ...] = ()  # complete ones of the run in progress
        self.notes: tuple[str, ...] = ()
        self.seconds: list[float] = []  # of each finished run, with what its clock leaves out
        self._load, self._trainers, self._after_run, self._look = load, trainers, after_run, look
        self.data: Dataset | None = None  # as scaled, when it is loaded
        self._trainer: Trainer | None = None
        self._began = 0.0
        self._inferring = 0.0  # since when

    def __call__(self, stop: threading.Event) -> tuple[RunResult, ...]:
        asked = stop if self._look is None else _Looking(stop, self._look)
        trainer = self._trainers.of(self.settings, self._load(), self.runtime, self.parts)
        self.notes = self._trainers.notes
        self.data = trainer.data
        trainer.steps_done = 0
        for seed in self.settings.all_seeds:
            self._began = time.monotonic()
            self._trainer = trainer
            result = trainer.run(seed, observer=None if self.settings.race else self._watch, stop=asked)
            self.seconds.append(time.monotonic() - self._began)
            if seed != self.settings.all_seeds[-1]:  # cleared first: what is done is never counted twice
                self.epochs, self._inferring, trainer.steps_done = (), 0.0, 0
            self.results += (result,)
            self._after_run(result)
        return self.results

    def _watch(self, record: EpochRecord) -> None:
        self.epochs += (record,)
        if self._look is not None:
            self._look()

    @property
    def seed(self) -> int:
        """Of the run in progress, or of the last one."""
        return self.settings.first_seed + min(len(self.results), self.settings.seeds - 1)

    @property
    def epochs_done(self) -> float:
        """Of the run in progress."""
        trainer = self._trainer
        return trainer.steps_done / trainer.steps_per_epoch if trainer else 0.0

    def run_done(self, expected: float | None) -> float:
        """The share of the run in progress that is done, 0..1, by its FLOPs.

        expected: seconds of a run, by which the final inference, which counts no steps, is thought to go on.
        """
        if self._trainer is None or len(self.results) == self.settings.seeds:
            return float(self._trainer is not None)
        inference = self._inference_share(self._trainer)
        steps = self._trainer.steps_done / self._trainer.steps
        if steps < 1:
            self._inferring = 0.0
            return steps * (1 - inference)
        self._inferring = self._inferring or time.monotonic()
        if not expected:
            return 1 - inference
        return 1 - inference + inference * min(0.95, (time.monotonic() - self._inferring) / (inference * expected))

    def seconds_left(self, expected: float | None) -> float | None:
        """Until all runs are done; None before it can be said. expected: seconds of a run, before one was made."""
        if self._trainer is None:
            return None
        done, spent = self.run_done(expected), time.monotonic() - self._began
        if self.seconds:
            one = sum(self.seconds) / len(self.seconds)
        elif done > 0.1:  # its own pace: the machine may be busier than it was
            one = spent / done
        elif expected:
            one = max(expected, spent)
        else:
            return None
        left = self.settings.seeds - len(self.results)
        return max(0.0, one * left - one * done)

    @staticmethod
    def _inference_share(trainer: Trainer) -> float:
        images = len(trainer.data.train_images), len(trainer.data.test_images)
        return 1 - training_flops(trainer.recipe, images[0], 0) / training_flops(trainer.recipe, *images)


class _Looking:
    """Asks an event as `Trainer.run` does, and is looked away from at each step."""

    def __init__(self, stop: threading.Event, look: Callable[[], Any]):
        self._stop, self._look = stop, look

    def is_set(self) -> bool:
        self._look()
        return self._stop.is_set()
