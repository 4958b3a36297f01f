"""airbench, one trick at a time: the training code of fast CIFAR-10 speedruns, every trick a switch.

from dataclasses import replace
from airbench_core import AIRBENCH94, load_dataset, train

data = load_dataset("auto")
result = train(replace(AIRBENCH94, flip="random"), data, seed=0, scale="laptop")
print(result.accuracy, result.seconds)
"""

from importlib import import_module

__version__ = "0.1.0"

# Each name is imported when it is first asked for: torch takes seconds, which `airbench --help` has not.
_WHERE = {
    name: f"airbench_core.{module}"
    for module, names in {
        "data.datasets": "Dataset load_dataset",
        "devices": "Runtime",
        "errors": "AirbenchError AirbenchWarning DataError Diverged UsageError",
        "models": "Model load",
        "published": "AIRBENCH94 AIRBENCH94_MUON AIRBENCH95 AIRBENCH96 AIRBENCH96_FASTER BASELINE RESNET18 "
        "LADDER RECIPES Rung",
        "recipes": "Recipe",
        "results": "EpochRecord RunResult Stopped",
        "scales": "SCALES Scale",
        "training": "Trainer train",
        "tricks": "TRICKS Parts",
        "tricks.flip": "AlternatingFlip",
    }.items()
    for name in names.split()
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]


TYPE_CHECKING = False  # without an import of typing
if TYPE_CHECKING:  # the same again, for what checks types
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
    from airbench_core.training import Trainer, train
    from airbench_core.tricks import TRICKS, Parts
    from airbench_core.tricks.flip import AlternatingFlip
