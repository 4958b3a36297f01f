"""airbench, one trick at a time: the training code of fast CIFAR-10 speedruns, every trick a switch.

from dataclasses import replace
from airbench_core import AIRBENCH94, load_dataset, train

data = load_dataset("auto")
result = train(replace(AIRBENCH94, flip="random"), data, seed=0, scale="laptop")
print(result.accuracy, result.seconds)
"""

from airbench_core.data.datasets import Dataset, load_dataset
from airbench_core.devices import Runtime
from airbench_core.errors import AirbenchError, AirbenchWarning, DataError, Diverged, UsageError
from airbench_core.models import Model, load
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
from airbench_core.results import EpochRecord, RunResult, Stopped
from airbench_core.scales import SCALES, Scale
from airbench_core.tables import describe, diff
from airbench_core.training import Trainer, train
from airbench_core.tricks import TRICKS, Parts
from airbench_core.tricks.flip import AlternatingFlip

__version__ = "0.1.0"
