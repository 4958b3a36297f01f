"""What several test files share: the real CIFAR-10, and its rule for machines that lack it."""

import json
import os
import signal
from collections.abc import Callable
from dataclasses import asdict

import hypothesis
import pytest
import torch
from airbench_lab.data import load_dataset
from airbench_lab.runlog.records import SCHEMA
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, SCALES, Dataset, Runtime, Scale

CPU = {"device": "cpu", "name": "a processor", "dtype": "bfloat16", "threads": 1, "compile": False}

os.environ["AIRBENCH_RUNS"] = ""  # no test adds to somebody's own runs

# In a script's background Ctrl-C is ignored, and by all that is started there: tests of it send one.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

torch.set_num_threads(1)  # two would wait for each other at every step, wherever a core is busy with other tests

# A busy machine is slow, not wrong.
hypothesis.settings.register_profile("airbench", deadline=None)
hypothesis.settings.load_profile("airbench")


@pytest.fixture(scope="session")
def unavailable() -> Callable[[str, str], None]:
    """Skips the test, or fails it where AIRBENCH_REQUIRE (a comma-separated list) says that `what` must be there."""

    def skip_or_fail(what: str, reason: str) -> None:
        if what in os.environ.get("AIRBENCH_REQUIRE", "").split(","):
            pytest.fail(f"AIRBENCH_REQUIRE names {what}, but {reason}")
        pytest.skip(reason)

    return skip_or_fail


@pytest.fixture(scope="session")
def cifar10(unavailable) -> Dataset:
    """The genuine CIFAR-10 from the folder named by AIRBENCH_DATA."""
    if not os.environ.get("AIRBENCH_DATA"):
        unavailable("cifar10", "AIRBENCH_DATA is not set: it names the folder that holds CIFAR-10")
    return load_dataset("cifar10")


@pytest.fixture(scope="session")
def noise() -> Dataset:
    return random_dataset(192, 48)


@pytest.fixture(scope="session")
def tiny() -> Scale:
    """Three steps an epoch of 64 images on `noise`."""
    return Scale(name="tiny", width=1 / 16, batch_size=1 / 16)


@pytest.fixture
def float32() -> Runtime:
    return Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1)


@pytest.fixture(scope="session")
def record() -> Callable[..., dict]:
    """Makes a record as a log holds it, of a run that nobody made; other keywords are parts of the runtime."""

    def make(recipe=AIRBENCH94, *, accuracy=0.7, seed=0, scale="laptop", seconds=10.0, data="cifar10", **runtime):
        return {
            "schema": SCHEMA,
            "asked": json.loads(json.dumps(asdict(recipe))),
            "recipe": json.loads(json.dumps(asdict(SCALES[scale].recipe(recipe)))),
            "scale": scale,
            "data": {"name": data, "digest": data},
            "runtime": CPU | runtime,
            "seed": seed,
            "versions": {"airbench": "0", "commit": "abc", "torch": "2", "cuda": None},
            "started": "2026-11-22T12:00:00+00:00",
            "epochs": [],
            "accuracy": accuracy,
            "accuracies": {"mirror+translate": accuracy, "none": accuracy - 0.01},
            "seconds": seconds,
        }

    return make
