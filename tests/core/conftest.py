from collections.abc import Callable
from dataclasses import asdict

import pytest
import torch

from airbench_core import AIRBENCH94, SCALES, Dataset, Runtime, Scale
from airbench_core.speed import random_dataset
from airbench_core.study import runlog

CPU = {"device": "cpu", "name": "a processor", "dtype": "bfloat16", "threads": 1, "compile": False}


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


@pytest.fixture
def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="session")
def record() -> Callable[..., dict]:
    """Makes a record as a log holds it, of a run that nobody made; other keywords are parts of the runtime."""

    def make(recipe=AIRBENCH94, *, accuracy=0.7, seed=0, scale="laptop", seconds=10.0, data="cifar10", **runtime):
        values = asdict(SCALES[scale].recipe(recipe))
        return {
            "schema": runlog.SCHEMA,
            "recipe": {**values, "widths": list(values["widths"])},  # a list, as JSON reads it
            "scale": scale,
            "data": {"name": data, "digest": data},
            "runtime": CPU | runtime,
            "seed": seed,
            "accuracy": accuracy,
            "accuracies": {"mirror+translate": accuracy, "none": accuracy - 0.01},
            "seconds": seconds,
        }

    return make
