"""airbench, one trick at a time: the training code of fast CIFAR-10 speedruns, every trick a switch.

from dataclasses import replace
from airbench_core import AIRBENCH94, Dataset, train
from torchvision.datasets import CIFAR10

data = Dataset.of(CIFAR10("data"), CIFAR10("data", train=False))  # or airbench_lab.data.load_dataset("cifar10")
result = train(replace(AIRBENCH94, flip="random"), data, seed=0, scale="laptop")
print(result.accuracy, result.seconds)
"""

import re
from importlib import import_module
from pathlib import Path

__version__ = "0.1.0"

# Each name is imported when it is first asked for: torch takes seconds, which `airbench --help` has not. The names and
# their modules stand in __init__.pyi, where what checks types finds them too.
_WHERE = {
    name: module
    for module, name in re.findall(r"^from (\S+) import (\w+)", Path(__file__).with_suffix(".pyi").read_text(), re.M)
}
__all__ = [*_WHERE]


def __getattr__(name: str) -> object:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = value = getattr(import_module(_WHERE[name]), name)
    return value


def __dir__() -> list[str]:
    return [*globals(), *_WHERE]
