import pytest
import torch

from airbench_core import Dataset, Runtime, Scale
from airbench_core.speed import random_dataset


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
