from collections.abc import Callable
from dataclasses import asdict

import pytest

from airbench_core import AIRBENCH94, SCALES

CPU = {"device": "cpu", "name": "a processor", "dtype": "bfloat16", "threads": 1, "compile": False}


@pytest.fixture(scope="session")
def record() -> Callable[..., dict]:
    """Makes a record as a log holds it, of a run that nobody made; other keywords are parts of the runtime."""

    def make(recipe=AIRBENCH94, *, accuracy=0.7, seed=0, scale="laptop", seconds=10.0, data="cifar10", **runtime):
        values = asdict(SCALES[scale].recipe(recipe))
        return {
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
