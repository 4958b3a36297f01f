"""A training with a student's function inside: in the student's notebook, or for a grader in the student's process.

    trained({"whiten": my_whitening}, seed=mine.seed)

What a grader believes of a training are its weights: it evaluates them itself.
"""

import os
import threading
from collections.abc import Callable, Mapping
from contextlib import redirect_stderr
from dataclasses import dataclass
from functools import cache
from io import StringIO

import torch
from torch import Tensor

from airbench_core import AIRBENCH94, Dataset, Parts, Recipe, Runtime, Trainer, load_dataset
from airbench_core.augmentation import normalize
from airbench_core.evaluation import accuracy, view_logits
from airbench_core.learner import Learner
from airbench_core.scales import scale_named
from airbench_core.tricks.tta import combine, tta_views
from airbench_lab.grading.personal import Personal
from airbench_lab.speed import default_scale

# Far above chance, safely below the least that the recipes reach: at the laptop scale single runs of airbench94 without
# one of its tricks reach 67 % and more (n=5 each, recorded/), at the smoke scale 29 to 35 % (n=3).
LEARNED = {"full": 0.9, "quarter": 0.8, "laptop": 0.55, "few": 0.35, "smoke": 0.2}
# Set where a notebook is run for its recipe and functions alone: trainings of its own give made-up numbers at once.
DRY = "AIRBENCH_DRY"
_ONE_AT_A_TIME = threading.Lock()  # a runtime's settings are the process's


@dataclass(frozen=True)
class Trained:
    """A training that was made. accuracy: on the test images, in 0..1. losses: the mean training loss of each epoch.

    seconds: on the run's clock, including the final inference.
    """

    accuracy: float
    losses: tuple[float, ...]
    seconds: float
    scale: str

    @property
    def learned(self) -> bool:
        """Whether the network really learned: on CIFAR-10 by an accuracy that no other reaches at this scale.

        On other pictures, of which no such accuracy is known, by the loss, which has to fall.
        """
        return self.accuracy > LEARNED[self.scale] if data_name() == "cifar10" else self.losses[-1] < self.losses[0]


@dataclass(frozen=True)
class Request:
    """A training to be made: a recipe, not yet scaled, with the functions of these names in these parts."""

    functions: dict[str, str]
    recipe: Recipe
    seed: int
    scale: str

    @classmethod
    def of(cls, functions: Mapping[str, Callable], recipe: Recipe, seed: int, scale: str) -> "Request":
        return cls({part: getattr(one, "__name__", "") for part, one in functions.items()}, recipe, seed, scale)


def trained(
    functions: Mapping[str, Callable] | Parts, *, seed: int, recipe: Recipe = AIRBENCH94, scale: str | None = None
) -> Trained:
    """Train `recipe` once with `functions`, each in the place of the part (a field of `Parts`) that it is named for.

    scale: by default the one that AIRBENCH_SCALE names, else full on a GPU and laptop without one.
    """
    own = own_functions(functions)
    scale = scale or default_scale(Runtime.detect())
    if os.environ.get(DRY):
        return Trained(0.5 + seed % 7 / 100, (2.0,), 1.0, scale)
    request = Request.of(own, recipe, seed, scale)
    remote = next((function for function in own.values() if hasattr(function, "train_there")), None)
    if remote is None:
        result = answer(request, own)
        return Trained(result["accuracy"], tuple(result["losses"]), result["seconds"], scale)
    result = remote.train_there(request)
    measured = evaluated(request, own, result["weights"])  # by the grader
    return Trained(measured, tuple(result["losses"]), float(result["seconds"]), scale)


def own_functions(functions: Mapping[str, Callable] | Parts) -> dict[str, Callable]:
    """By part; of `Parts` those that are not the project's."""
    if isinstance(functions, Parts):
        return {part: getattr(functions, part) for part in functions.replaced}
    return dict(functions)


def answer(request: Request, functions: Mapping[str, Callable]) -> dict:
    """Make the training; gives plain values, the weights among them."""
    trainer = Trainer(request.recipe, _data(), scale=request.scale, parts=Parts(**functions))
    result = trainer.run(request.seed)
    return {
        "accuracy": result.accuracy,
        "losses": [epoch.train_loss for epoch in result.epochs],
        "seconds": result.seconds,
        "weights": {name: value.float().cpu() for name, value in result.network.state_dict().items()},
    }


def evaluated(request: Request, functions: Mapping[str, Callable], weights: Mapping[str, Tensor]) -> float:
    """The test accuracy of a network with `weights`. Raises ValueError if they are none of such a network."""
    runtime, scale = Runtime.detect(), scale_named(request.scale)
    recipe, data = scale.recipe(request.recipe), scale.data(_data()).to(runtime.device)
    network = Learner(recipe, data, runtime, Parts()).network
    try:
        network.load_state_dict(dict(weights))
    except (RuntimeError, TypeError, AttributeError) as error:
        raise ValueError("these are not the weights of such a network") from error
    network.eval()
    own = functions.get("tta_views")

    def views(images: Tensor, tta: str) -> tuple[list[Tensor], tuple[float, ...]]:
        if own is None:
            return tta_views(images, tta)
        some, shares = own(images.cpu(), tta)  # it may be far away, where there is no such device
        return [view.to(images) for view in some], shares

    with _ONE_AT_A_TIME, torch.no_grad(), runtime.active():
        logits = combine(*view_logits(network, data, recipe.tta, runtime, views))
    return accuracy(logits, data.test_labels)


def data_name() -> str:
    """Which data set this machine trains on."""
    return _data().name


def own_pictures(mine: Personal, n: int) -> Tensor:
    """`n` normalized training pictures (n, 3, 32, 32) of a student's own choice, float32 on the CPU."""
    data = _data()
    rows = torch.randperm(len(data.train_images), generator=mine.generator("pictures"))[:n]
    return normalize(data.train_images[rows], data.mean, data.std, torch.float32)


@cache
def _data() -> Dataset:
    with redirect_stderr(StringIO()):  # which folder it is from is nobody's business here
        return load_dataset("auto")
