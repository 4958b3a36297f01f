"""Experiments on noise that take a quarter of a second, and a way to hold a run where a test wants to look."""

import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial

import pytest
import torch
from airbench_lab import replay
from airbench_lab.panel import experiment as experiments
from airbench_lab.panel import snapshot
from airbench_lab.panel.costs import Prices
from airbench_lab.panel.experiment import Experiment
from airbench_lab.panel.settings import Settings, Shelf

from airbench_core import AIRBENCH94, Dataset, EpochRecord, Parts, RunResult, Runtime, lines
from airbench_core.speed import random_dataset
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
def prices(monkeypatch) -> Prices:
    """Nothing is known yet of what runs cost."""
    none = Prices()
    for module in experiments, snapshot:
        monkeypatch.setattr(module, "PRICES", none)
    return none


@pytest.fixture
def experiment(noise, cpu, chosen, prices, worker) -> Iterator[Callable[..., Experiment]]:
    """Makes experiments; all values have defaults."""
    made = []

    def make(data: Dataset | str = noise, *, parts=None, reference=AIRBENCH94, on=worker, **changed) -> Experiment:
        shelf = Shelf(data)
        settings = chosen.changed(data=shelf.first, **changed)
        made.append(Experiment(settings, shelf, cpu, parts=parts or Parts(), reference=reference, worker=on))
        return made[-1]

    yield make
    for one in made:
        one.close()


class Hold:
    """Holds an experiment's next run after so many complete epochs, until it is let go."""

    def __init__(self, experiment: Experiment, epochs: int):
        self._experiment, self._epochs = experiment, epochs
        self._there, self._go = threading.Event(), threading.Event()
        experiment.look = self._look

    def reached(self) -> None:
        until = time.monotonic() + SOON
        while not self._there.wait(0.02):
            assert self._experiment.on, self._experiment.now()[2]  # not to be waited for: it failed
            assert time.monotonic() < until

    def let_go(self) -> None:
        self._experiment.look = None
        self._go.set()

    def _look(self) -> None:
        training = self._experiment.now()[3]
        if not self._go.is_set() and training is not None and len(training.moment.epochs) >= self._epochs:
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

    def make(settings: Settings, accuracy: float = 0.5, seed: int = 0, seconds: float = 10.0, **changed) -> RunResult:
        n = 3
        watched = not settings.race
        return RunResult(
            asked=settings.recipe,
            recipe=settings.scaled,
            scale=settings.scale,
            seed=seed,
            runtime=replace(cpu, compile=settings.compile),
            data_name=settings.data,
            data_digest=settings.data,
            accuracy=accuracy,
            accuracies={"mirror+translate": accuracy, "none": accuracy - 0.01},
            predictions={},
            seconds=seconds,
            epochs=tuple(epochs(n, accuracy if watched else None)),
            started=0.0,
            graphs=False,
            network=torch.nn.Identity(),
            **{"parts": (), **changed},
        )

    return make


def epochs(n: int, accuracy: float | None = 0.5) -> tuple[EpochRecord, ...]:
    """Of a run that ends with this accuracy without TTA."""
    return tuple(
        EpochRecord(epoch=i, epochs=float(i), train_loss=1.0, accuracy=accuracy and accuracy * i / n, seconds=1.0)
        for i in range(1, n + 1)
    )


@pytest.fixture(scope="session")
def some_epochs() -> Callable[..., tuple[EpochRecord, ...]]:
    return epochs


@pytest.fixture
def recorded(tmp_path, monkeypatch) -> Callable[[list[dict]], None]:
    """Puts records in the place of those that the project holds; at first there are none."""
    folder = tmp_path / "recorded"
    folder.mkdir()
    for name in "lookup", "curve":
        monkeypatch.setattr(replay, name, partial(getattr(replay, name), folder=folder))

    def put(records: list[dict]) -> None:
        for one in records:
            lines.append(folder / "log.jsonl", one, "")
        replay._recorded.cache_clear()

    return put
