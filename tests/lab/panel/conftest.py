"""Experiments with a trainer that trains nothing, and a way to hold a run where a test wants to look."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from types import SimpleNamespace

import pytest
import torch
from airbench_lab import replay
from airbench_lab.panel import costs, runner
from airbench_lab.panel import experiment as experiments
from airbench_lab.panel.costs import RunCosts
from airbench_lab.panel.experiment import Experiment
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.runlog import lines
from airbench_lab.speed import Speed, random_dataset

from airbench_core import AIRBENCH94, SCALES, Dataset, EpochRecord, Parts, Recipe, RunResult, Runtime, Stopped
from airbench_core.tricks.flip import flip_mask

SOON = 20  # seconds in which what is to happen does, also on a busy machine


@pytest.fixture(scope="session")
def noise() -> Dataset:
    return random_dataset(192, 48)


@pytest.fixture(scope="session")
def cpu() -> Runtime:
    return Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1)


@pytest.fixture(scope="session")
def chosen() -> Settings:
    """Three epochs of six steps on `noise`."""
    return Settings(recipe=AIRBENCH94, scale="smoke", data="noise")


@pytest.fixture
def run_costs(monkeypatch) -> RunCosts:
    """Nothing is known yet of what runs cost."""
    none = RunCosts()
    monkeypatch.setattr(experiments, "RUN_COSTS", none)
    return none


@pytest.fixture
def experiment(noise, cpu, chosen, run_costs, worker) -> Iterator[Callable[..., Experiment]]:
    """Makes experiments; all values have defaults."""
    made = []

    def make(data: Dataset | str = noise, *, parts=None, on=worker, **changed) -> Experiment:
        datasets = DataSets(data)
        settings = chosen.changed(data=datasets.default, **changed)
        made.append(Experiment(settings, datasets, cpu, parts=parts or Parts(), worker=on))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Hold:
    """Holds an experiment's next run after so many complete epochs, until it is let go."""

    def __init__(self, experiment: Experiment, epochs: int):
        self._experiment, self._epochs = experiment, epochs
        self._there, self._go = threading.Event(), threading.Event()
        experiment.on_step = self._look

    def reached(self) -> None:
        until = time.monotonic() + SOON
        while not self._there.wait(0.02):
            assert self._experiment.is_active, self._experiment.status().message  # not to be waited for: it failed
            assert time.monotonic() < until

    def let_go(self) -> None:
        self._experiment.on_step = None
        self._go.set()

    def _look(self) -> None:
        training = self._experiment.status().runner
        if not self._go.is_set() and training is not None and len(training.progress.epochs) >= self._epochs:
            self._there.set()
            assert self._go.wait(SOON)


@pytest.fixture
def started() -> Iterator[Callable[..., Hold]]:
    """Starts an experiment, and gives it held after `epochs` complete epochs."""
    holds = []

    def start(experiment: Experiment, epochs: int = 0) -> Hold:
        holds.append(Hold(experiment, epochs))
        experiment.start()
        holds[-1].reached()
        return holds[-1]

    yield start
    for hold in holds:
        hold.let_go()


class Gate:
    """A part of one's own that does not answer until it is let go, whoever asks."""

    def __init__(self) -> None:
        self.entered, self.go = threading.Event(), threading.Event()
        self.parts = Parts(flip=self._flip)

    def _flip(self, *args) -> torch.Tensor:
        self.entered.set()
        assert self.go.wait(SOON)
        return flip_mask(*args)


@pytest.fixture
def gate() -> Iterator[Gate]:
    one = Gate()
    yield one
    one.go.set()


@pytest.fixture(scope="session")
def result(cpu) -> Callable[..., RunResult]:
    """A finished run of settings that nobody made."""

    def make(settings: Settings, accuracy: float = 0.5, seed: int = 0, **changed) -> RunResult:
        changed = {"epochs": epochs(3, None if settings.race else accuracy)} | changed
        runtime = replace(cpu, compile=settings.compile)
        return finished(settings.recipe, settings.scale, settings.data, runtime, seed, accuracy, **changed)

    return make


def finished(recipe, scale, data, runtime, seed=0, accuracy=0.5, **changed) -> RunResult:
    """Of a recipe as asked for."""
    made = {"parts": (), "seeds": {}, "seconds": 10.0, "started": 0.0, "graphs": False, "predictions": {}}
    recipes = {"asked": recipe, "recipe": SCALES[scale].recipe(recipe)}
    about = {"scale": scale, "seed": seed, "runtime": runtime, "data_name": data, "data_digest": data}
    accuracies = {"mirror+translate": accuracy, "none": accuracy - 0.01}
    scored = {"accuracy": accuracy, "accuracies": accuracies, "model": SimpleNamespace(network=torch.nn.Identity())}
    return RunResult(**recipes | about | scored | made | changed)


def epochs(n: int, accuracy: float | None = 0.5) -> tuple[EpochRecord, ...]:
    """Of a run that ends with this accuracy without TTA."""
    return tuple(
        EpochRecord(epoch=i, epochs=float(i), train_loss=1.0, accuracy=accuracy and accuracy * i / n, seconds=1.0)
        for i in range(1, n + 1)
    )


@pytest.fixture(scope="session")
def some_epochs() -> Callable[..., tuple[EpochRecord, ...]]:
    return epochs


class FakeTrainer:
    """As `Trainer`, but without a network: it counts steps, asks whether to stop, and calls parts of one's own."""

    STEP, INFERENCE = 0.001, 4  # seconds; batches

    def __init__(self, recipe: Recipe, data: Dataset, *, scale: str, runtime: Runtime, parts: Parts):
        self.scale, self.runtime, self.parts = scale, runtime, parts
        self.asked, self.recipe, self.data = recipe, SCALES[scale].recipe(recipe), SCALES[scale].data(data)
        self.steps_per_epoch = self.recipe.steps_per_epoch(len(self.data.train_images))
        self.steps = round(self.recipe.epochs * self.steps_per_epoch)
        self.steps_done, self.batch_size, self.loss_sum = 0, self.recipe.batch_size, None
        self.warm = not runtime.compile

    def warm_up(self) -> None:
        """Nothing is compiled."""
        self.warm = True

    def run(self, seed: int, *, observer, stop) -> RunResult:
        self.steps_done, records = 0, []
        started, begun = time.time(), time.monotonic()
        if "whiten" in self.parts.replaced and self.recipe.whiten:
            self.parts.whiten(self.data.train_images, self.recipe.whiten_eps)

        def go_on() -> None:
            time.sleep(self.STEP)
            if stop.is_set():
                raise Stopped(tuple(records))

        for first in range(0, self.steps, self.steps_per_epoch):
            self.loss_sum = torch.zeros(())
            if "flip" in self.parts.replaced:
                self.parts.flip(self.recipe.flip, len(records), torch.zeros(4) > 0, torch.Generator())
            for _ in range(first, min(first + self.steps_per_epoch, self.steps)):
                go_on()
                self.loss_sum += self.batch_size * (2 - self.steps_done / 10)
                self.steps_done += 1
            accuracy = None if observer is None else 0.1 + self.steps_done / 100 + seed / 1000
            done = {"epoch": len(records) + 1, "epochs": self.steps_done / self.steps_per_epoch, "train_loss": 1.0}
            records.append(EpochRecord(**done, accuracy=accuracy, seconds=0.01))
            if observer is not None:
                observer(records[-1])
        for _ in range(self.INFERENCE):
            go_on()
        spent = 0.9 * (time.monotonic() - begun)
        about = {"parts": self.parts.replaced, "epochs": tuple(records), "started": started, "seconds": spent}
        return finished(self.asked, self.scale, self.data.name, self.runtime, seed, 0.3 + seed / 1000, **about)


@pytest.fixture(autouse=True)
def quick(request, monkeypatch) -> None:
    """Nothing is trained, but in tests that are marked `trains`."""
    if "trains" not in request.keywords:
        monkeypatch.setattr(runner, "Trainer", FakeTrainer)
        monkeypatch.setattr(costs, "measure_speed", lambda *_: Speed(train=1000.0, augment=1e6, evaluate=5000.0))


@pytest.fixture
def recorded(tmp_path, monkeypatch) -> Callable[[list[dict]], None]:
    """Puts records in the place of those that the project holds; at first there are none."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    for name in "lookup", "curve", "recipes":
        monkeypatch.setattr(replay, name, partial(getattr(replay, name), folder=folder))

    def put(records: list[dict]) -> None:
        for one in records:
            lines.append(folder / "log.jsonl", one, "")
        replay._recorded.cache_clear()

    return put
