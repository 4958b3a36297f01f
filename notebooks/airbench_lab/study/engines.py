"""What makes the runs of a sweep: an engine takes tasks and gives outcomes. Here: local.py; on a cluster: cluster.py.

`Runner` is what both have in each of their processes. It makes runs one after another and keeps the data on the device
and the last recipe's Trainer, so that what was compiled and warmed up serves the next run of that recipe.
"""

import sys
import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch

from airbench_core import runlog
from airbench_core.datasets import Dataset
from airbench_core.devices import Runtime
from airbench_core.errors import AirbenchError, Diverged
from airbench_core.recipes import Recipe
from airbench_core.scales import scale_named
from airbench_core.training import Stopped, Trainer


class Task(NamedTuple):
    """One run to be made. label: what a person calls the recipe, which is not scaled."""

    label: str
    recipe: Recipe
    seed: int
    compile: bool = False


class Outcome(NamedTuple):
    """What became of a task: `record` is a finished or a failed run's, as runlog.py has them.

    seconds: all that it took, evaluations between epochs included, without the set-up of a recipe (`Runner.setup`).
    """

    task: Task
    record: dict[str, Any]
    seconds: float

    @property
    def failed(self) -> Mapping[str, str] | None:
        return self.record.get("failed")


@dataclass(frozen=True, kw_only=True)
class Setting:
    """What the runs of a sweep share. runtime: without `compile`, which is the task's."""

    scale: str
    runtime: Runtime
    alone: bool = True  # nothing else runs beside a run: its seconds may be quoted
    race: bool = False  # no test accuracy between epochs
    predictions: bool = False  # keep what the test images were taken for


class Engine(Protocol):
    """Where tasks are run."""

    def __str__(self) -> str:
        """In words, such as "2 processes"."""

    @property
    def slots(self) -> int:
        """How many runs go on at a time."""

    def runtimes(self) -> list[Mapping[str, Any]]:
        """What its devices are, each as `Runtime.describe` without `compile`: usually one kind."""

    def measure(self, recipe: Recipe) -> float | None:
        """Seconds that a run of `recipe`, not scaled, will about take, measured now; None where it cannot tell."""

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome | None]:
        """Each task's outcome as soon as there is one, and None about once a second.

        A run that fails is an outcome and does not end the others. After `stop` is set what is running ends without an
        outcome. Closing the iterator ends all.
        """

    def underway(self) -> float:
        """How much of the running tasks is done, in runs: 1.5 may be two that are three quarters done."""


class Runner:
    """Makes runs, one at a time."""

    def __init__(self, setting: Setting, data: Dataset):
        self.setting = setting
        self.data = scale_named(setting.scale).data(data).to(setting.runtime.device)
        self.trainer: Trainer | None = None
        self.made: tuple[Recipe, bool] | None = None  # what `trainer` is for
        self.setup = 0.0  # seconds that the last run's recipe took to be set up: compiled, warmed up
        runlog.commit()  # now, while the checkout is still that of the code that was loaded

    def attempt(self, task: Task, stop: threading.Event | None = None) -> dict[str, Any]:
        """The record of the run, finished or failed. Raises `Stopped` if `stop` is set meanwhile."""
        started = time.time()
        try:
            trainer = self._trainer(task)
            self.setup = time.time() - started
            result = trainer.run(task.seed, observer=self._observer(), stop=stop)
            record = runlog.record(result, predictions=self.setting.predictions)
            return record if self.setting.alone else runlog.untimed(record)
        except Stopped:
            raise
        except Diverged as error:
            failed = runlog.Failed("diverged", str(error))
        except AirbenchError as error:
            failed = runlog.Failed("error", str(error))
        except Exception as error:  # the other runs go on; whoever looks for the cause finds it here
            traceback.print_exc(file=sys.stderr)
            failed = runlog.Failed("error", f"{type(error).__name__}: {error}".strip().splitlines()[0])
        with suppress(Exception):  # a GPU's context may be broken for good: whoever asked ends this process
            self._forget()
        data, runtime = (self.data.name, self.data.digest), self.setting.runtime.describe()
        return failure(task, self.setting.scale, data, runtime, started, failed)

    def underway(self) -> float:
        """How much of the run is done, from 0 to 1; another thread may ask."""
        trainer = self.trainer
        return trainer.steps_done / trainer.steps if trainer is not None else 0.0

    def _trainer(self, task: Task) -> Trainer:
        if self.trainer is None or self.made != (task.recipe, task.compile):
            self._forget()
            runtime = replace(self.setting.runtime, compile=task.compile)
            self.trainer = Trainer(task.recipe, self.data, scale=self.setting.scale, runtime=runtime)
            self.made = task.recipe, task.compile
            with runtime.active():
                self.trainer.warm_up()
        self.trainer.steps_done = 0  # not the last run's
        return self.trainer

    def _forget(self) -> None:
        """Let go of the last recipe's networks and of what was compiled for them, and of their memory on a GPU."""
        compiled = self.made is not None and self.made[1]
        self.trainer = self.made = None
        if compiled:
            torch.compiler.reset()
        if self.setting.runtime.device.type == "cuda":
            torch.cuda.empty_cache()

    def _observer(self):
        return None if self.setting.race else lambda record: None


def failure(
    task: Task,
    scale: str,
    data: tuple[str, str],
    runtime: Mapping[str, Any],
    started: float,
    failed: runlog.Failed,
) -> dict[str, Any]:
    """The record of a task that failed. data: name and digest of what the scale keeps of it. runtime: as described."""
    return runlog.failure(
        scale_named(scale).recipe(task.recipe),
        scale=scale,
        data=data,
        runtime={**runtime, "compile": task.compile},
        seed=task.seed,
        started=started,
        failed=failed,
    )


def choice(pending: Sequence[Task], last: Task | None, elsewhere: Sequence[Task | None]) -> int:
    """Which of `pending` a process does next: the first; but compiled ones where they are compiled already.

    last: the task that the process did last. elsewhere: those that the others did last, or are at.
    """

    def what(task: Task) -> tuple:
        return task.recipe, task.compile

    compiled = [(index, task) for index, task in enumerate(pending) if task.compile]
    own = [index for index, task in compiled if last and what(task) == what(last)]
    if own:
        return own[0]
    others = {what(other) for other in elsewhere if other}
    free = [index for index, task in enumerate(pending) if not task.compile or what(task) not in others]
    return free[0] if free else 0
