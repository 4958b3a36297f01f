"""airbench, one trick at a time: the training code of fast CIFAR-10 speedruns, every trick a switch.

from dataclasses import replace
from airbench_core import AIRBENCH94, load_dataset, train

data = load_dataset("auto")
result = train(replace(AIRBENCH94, flip="random"), data, seed=0, scale="laptop")
print(result.accuracy, result.seconds)
"""

from typing import TYPE_CHECKING

from airbench_core.data.datasets import Dataset, load_dataset
from airbench_core.devices import Runtime
from airbench_core.errors import AirbenchError, AirbenchWarning, DataError, Diverged, UsageError
from airbench_core.learner import Parts
from airbench_core.published import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    AIRBENCH95,
    AIRBENCH96,
    AIRBENCH96_FASTER,
    BASELINE,
    LADDER,
    RECIPES,
    RESNET18,
    Rung,
)
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES, Scale
from airbench_core.tables import describe, diff
from airbench_core.training import EpochRecord, RunResult, Stopped, Trainer, train

if TYPE_CHECKING:
    from airbench_core.tricks.flip import AlternatingFlip

__version__ = "0.1.0"

__all__ = [
    "AIRBENCH94",
    "AIRBENCH94_MUON",
    "AIRBENCH95",
    "AIRBENCH96",
    "AIRBENCH96_FASTER",
    "BASELINE",
    "LADDER",
    "RECIPES",
    "RESNET18",
    "SCALES",
    "AirbenchError",
    "AirbenchWarning",
    "AlternatingFlip",
    "DataError",
    "Dataset",
    "Diverged",
    "EpochRecord",
    "Parts",
    "Recipe",
    "RunResult",
    "Rung",
    "Runtime",
    "Scale",
    "Stopped",
    "Trainer",
    "UsageError",
    "describe",
    "diff",
    "load_dataset",
    "train",
]


def __getattr__(name: str) -> type:
    """Imports `AlternatingFlip` when it is first asked for: torchvision's transforms take almost as long as torch."""
    if name != "AlternatingFlip":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from airbench_core.tricks.flip import AlternatingFlip

    return AlternatingFlip
