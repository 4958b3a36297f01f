"""What a run will cost on this machine: measured on noise before the first, known from runs after that."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace

from airbench_core import SCALES, Dataset, Runtime
from airbench_lab.panel.settings import Settings
from airbench_lab.speed import estimate_seconds, measure_speed
from airbench_lab.study.sweep import Costs

MEASURE_SECONDS = 0.3  # for each of three counts

Key = tuple[str, str, Runtime, bool]  # scale, data set, how it is computed, whether it is a race


class RunCosts:
    """Seconds of a run, for the panels of a process; None where nothing is known yet.

    Of a race those of its clock; else those that one waits, evaluations between the epochs included.
    """

    def __init__(self) -> None:
        self._costs: dict[Key, Costs] = {}
        self._lock = threading.Lock()

    def estimate(self, settings: Settings, runtime: Runtime) -> float | None:
        """Of one run."""
        with self._lock:
            costs = self._costs.get(_key(settings, runtime))
            return None if costs is None else costs.expect(settings.recipe, runtime.compile)

    def add(self, settings: Settings, runtime: Runtime, data: Dataset, seconds: float) -> None:
        """A run took so long. data: as scaled."""
        with self._lock:
            costs = self._costs.setdefault(_key(settings, runtime), Costs(SCALES[settings.scale], data))
            costs.learn(settings.recipe, runtime.compile, seconds)

    def measure(self, settings: Settings, runtime: Runtime, load: Callable[[], Dataset]) -> None:
        """Measure this machine, unless that was done: for the worker, since it takes seconds. Not if it compiles."""
        if runtime.compile or self.estimate(settings, runtime) is not None:
            return
        scale = SCALES[settings.scale]
        data = scale.data(load())
        images = len(data.train_images), len(data.test_images)
        speed = measure_speed(settings.recipe, scale, runtime, MEASURE_SECONDS)
        race = estimate_seconds(settings.recipe, scale, speed, images)
        evaluations = math.ceil(settings.scaled.epochs) * images[1] / speed.evaluate
        for is_race, seconds in (True, race), (False, race + evaluations):
            costs = Costs(scale, data)
            costs.guess(settings.recipe, seconds)
            with self._lock:
                self._costs.setdefault(_key(replace(settings, race=is_race), runtime), costs)


def _key(settings: Settings, runtime: Runtime) -> Key:
    return settings.scale, settings.data, runtime, settings.race


RUN_COSTS = RunCosts()
