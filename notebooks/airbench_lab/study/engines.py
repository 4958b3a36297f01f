"""What makes the runs of a sweep: an engine takes tasks, gives outcomes. In this process: `Here`; else cluster.py."""

import threading
import time
import traceback
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, Protocol

import torch

from airbench_core import Dataset, Recipe, Runtime, Stopped, Trainer
from airbench_core.errors import AirbenchError, Diverged
from airbench_core.scales import scale_named
from airbench_lab import runlog


class Task(NamedTuple):
    """One run to be made. label: what a person calls the recipe, which is not scaled."""

    label: str
    recipe: Recipe
    seed: int
    compile: bool = False

    def __str__(self) -> str:
        return f"{self.label}, seed {self.seed}"


class Outcome(NamedTuple):
    """What became of a task: `record` is a finished or a failed run's, as runlog.py has them.

    seconds: all that it took, evaluations between epochs included, without the set-up of its recipe.
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
    """Where tasks are run. As text: in words, such as "2 processes of 1 thread"."""

    slots: int  # how many runs go on at a time

    def runtimes(self) -> list[Mapping[str, Any]]:
        """What its devices are, each as `Runtime.describe` without `compile`: usually one kind."""

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome]:
        """Each task's outcome as soon as there is one; a run that fails does not end the others.

        After `stop` is set what is running ends without an outcome.
        """


class Here:
    """The engine that makes its runs in this process, one after another. data: what the scale keeps of it.

    The data stays on the device, and with it the last recipe's Trainer: what was compiled and warmed up serves the next
    run of that recipe.
    """

    slots = 1

    def __init__(self, setting: Setting, data: Dataset):
        self.setting, self.data = setting, data.to(setting.runtime.device)
        self.trainer: Trainer | None = None
        self.made: tuple[Recipe, bool] | None = None  # what `trainer` is for
        runlog.commit()  # now, while the checkout is still that of the code that was loaded

    def __str__(self) -> str:
        threads, device = self.setting.runtime.threads, self.setting.runtime.device
        return f"1 process of {threads} thread{'s' * (threads > 1)}" if device.type == "cpu" else f"1 GPU ({device})"

    def runtimes(self) -> list[Mapping[str, Any]]:
        return [self.setting.runtime.describe()]

    def run(self, tasks: Sequence[Task], stop: threading.Event) -> Iterator[Outcome]:
        pending, last = list(tasks), None
        while pending and not stop.is_set():
            last = pending.pop(following(pending, last))
            try:
                outcome = self.attempt(last, stop)
            except Stopped:
                return
            yield outcome
            if outcome.failed and outcome.failed["kind"] == "error":
                try:
                    self.setting.runtime.synchronize()
                except RuntimeError as error:
                    raise AirbenchError("the GPU answers no more after this error: the same command goes on") from error

    def attempt(self, task: Task, stop: threading.Event | None = None) -> Outcome:
        """The run, finished or failed. Raises `Stopped` if `stop` is set meanwhile."""
        started = ready = time.time()
        try:
            trainer = self._trainer(task)
            ready = time.time()
            observer = None if self.setting.race else lambda record: None
            result = trainer.run(task.seed, observer=observer, stop=stop)
            record = runlog.record(result, predictions=self.setting.predictions)
            return Outcome(task, record if self.setting.alone else runlog.untimed(record), time.time() - ready)
        except Stopped:
            raise
        except AirbenchError as error:
            failed = ("diverged" if isinstance(error, Diverged) else "error", str(error))
        except Exception as error:  # the other runs go on; whoever looks for the cause finds it here
            with suppress(OSError):  # nobody may see it
                traceback.print_exc()
            failed = ("error", f"{type(error).__name__}: {error}".strip().splitlines()[0])
        with suppress(Exception):  # a GPU's context may be broken for good
            self._forget()
        about = self.setting.runtime.describe()
        return failure(task, self.setting.scale, self.data, about, started, *failed)

    def _trainer(self, task: Task) -> Trainer:
        if self.trainer is None or self.made != (task.recipe, task.compile):
            self._forget()
            runtime = replace(self.setting.runtime, compile=task.compile)
            self.trainer = Trainer(task.recipe, self.data, scale=self.setting.scale, runtime=runtime)
            self.made = task.recipe, task.compile
            with runtime.active():
                self.trainer.warm_up()
        return self.trainer

    def _forget(self) -> None:
        """Let go of the last recipe's networks and of what was compiled for them, and of their memory on a GPU."""
        compiled = self.made is not None and self.made[1]
        self.trainer = self.made = None
        if compiled:
            torch.compiler.reset()
        if self.setting.runtime.device.type == "cuda":
            torch.cuda.empty_cache()


def following(pending: Sequence[Task], last: Task | None) -> int:
    """Which of `pending` a process does after `last`: the first; but what it has compiled, until that is all done."""
    if last is not None and last.compile:
        same = [i for i, task in enumerate(pending) if (task.recipe, task.compile) == (last.recipe, last.compile)]
        return same[0] if same else 0
    return 0


def failure(
    task: Task, scale: str, data: Dataset, runtime: Mapping[str, Any], started: float, kind: str, message: str
) -> Outcome:
    """A task that failed, as an outcome. data: what the scale keeps of it. runtime: as described.

    kind, message: the fields of `failed` in runlog.py.
    """
    head = runlog.head(
        task.recipe,
        scale_named(scale).recipe(task.recipe),
        scale=scale,
        data=(data.name, data.digest),
        runtime={**runtime, "compile": task.compile},
        seed=task.seed,
        started=started,
    )
    return Outcome(task, {**head, "failed": {"kind": kind, "message": message}}, time.time() - started)
