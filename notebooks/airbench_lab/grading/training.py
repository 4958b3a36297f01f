"""A training with a student's function inside: in the student's notebook, or while it is graded where the grader says.

trained({"whiten": my_whitening}, seed=mine.seed)
"""

import os
import secrets
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr
from contextvars import ContextVar
from dataclasses import dataclass
from functools import cache
from io import StringIO

import torch
from torch import Tensor

from airbench_core import AIRBENCH94, Dataset, Parts, Recipe, Runtime, Trainer
from airbench_core.augmentation import normalize
from airbench_lab.data import load_dataset
from airbench_lab.grading.personal import Personal

# Far above chance, safely below the least that single runs of the regimes reach: at the laptop scale 45 % (n=50 each,
# recorded/), at the smoke scale 19 % (n=5 each of three of them).
LEARNED = {"full": 0.9, "quarter": 0.8, "laptop": 0.35, "smoke": 0.15}
# Set where a notebook is run for its recipe and functions alone: trainings of its own give made-up numbers at once.
DRY = "AIRBENCH_DRY"


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
    """A training to be made: a recipe, not yet scaled, with functions of these names in these parts."""

    functions: tuple[tuple[str, str], ...]
    recipe: Recipe
    seed: int
    scale: str
    holdout: int = 0  # training pictures that are tested on instead of the test's

    @classmethod
    def of(cls, functions: Mapping[str, Callable], *rest: object) -> "Request":
        names = ((part, getattr(one, "__name__", "")) for part, one in sorted(functions.items()))
        return cls(tuple(names), *rest)


# While a submission's tests run: what makes a training with the student's functions, in a process of the grader's.
ELSEWHERE: ContextVar[Callable[[Request], Trained] | None] = ContextVar("ELSEWHERE", default=None)


def trained(
    functions: Mapping[str, Callable] | Parts,
    *,
    seed: int,
    recipe: Recipe = AIRBENCH94,
    scale: str | None = None,
    holdout: int = 0,
) -> Trained:
    """Train `recipe` once with `functions`, each in the place of the part (a field of `Parts`) that it is named for.

    scale: by default the one that AIRBENCH_SCALE names, else laptop, where single tricks show, on a GPU too. holdout:
    test on so many of the training pictures, which are then not trained on: to choose before the real test is seen.
    """
    own = own_functions(functions)
    scale = scale or os.environ.get("AIRBENCH_SCALE") or "laptop"
    if os.environ.get(DRY):
        return Trained(0.5 + seed % 7 / 100, (2.0,), 1.0, scale)
    request, elsewhere = Request.of(own, recipe, seed, scale, holdout), ELSEWHERE.get()
    return train(request, own) if elsewhere is None else elsewhere(request)


def made_again(claimed: Sequence[float], first_seed: int, measure: Callable[[int], float]) -> None:
    """Make one of the measurements `claimed` again, nobody knows which. Raises AssertionError where it is another.

    claimed: in points, one for each seed from `first_seed` on. measure: a seed -> points.
    """
    if not isinstance(claimed, Sequence) or len(claimed) < 2:
        raise AssertionError("There are no measurements.")
    number = secrets.randbelow(min(3, len(claimed)))
    value = measure(first_seed + number)
    # Trainings on one CPU agree to the last bit, whichever process makes them; on a GPU they do not.
    near = 0.05 if Runtime.detect().device.type == "cpu" else 2.0
    if not abs(claimed[number] - value) < near:
        seed = first_seed + number
        raise AssertionError(f"With seed {seed} it is {value:.2f} points, and yours {claimed[number]:.2f}.")


def own_functions(functions: Mapping[str, Callable] | Parts) -> dict[str, Callable]:
    """By part; of `Parts` those that are not the project's."""
    if isinstance(functions, Parts):
        return {part: getattr(functions, part) for part in functions.replaced}
    return dict(functions)


def train(request: Request, functions: Mapping[str, Callable]) -> Trained:
    """Make the training in this process."""
    data = _data().holdout(request.holdout) if request.holdout else _data()
    result = Trainer(request.recipe, data, scale=request.scale, parts=Parts(**functions)).run(request.seed)
    losses = tuple(epoch.train_loss for epoch in result.epochs)
    return Trained(result.accuracy, losses, result.seconds, request.scale)


def data_name() -> str:
    """Which data set this machine trains on."""
    return _data().name


def data_digest() -> str:
    """That of its pictures."""
    return _data().digest


def own_pictures(mine: Personal, n: int) -> Tensor:
    """`n` normalized training pictures (n, 3, 32, 32) of a student's own choice, float32 on the CPU."""
    data = _data()
    rows = torch.randperm(len(data.train_images), generator=mine.generator("pictures"))[:n]
    return normalize(data.train_images[rows], data.mean, data.std, torch.float32)


@cache
def _data() -> Dataset:
    with redirect_stderr(StringIO()):  # which folder it is from is nobody's business here
        return load_dataset("auto")
