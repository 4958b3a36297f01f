"""What is known of a run: after each epoch, when it is done, when it was stopped."""

from collections.abc import Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING

from airbench_core.errors import AirbenchError
from airbench_core.recipes import Recipe

if TYPE_CHECKING:  # what reads logs does without torch
    from torch import Tensor, nn

    from airbench_core.devices import Runtime
    from airbench_core.models import Model


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What is known after an epoch. `accuracy` is on the test images without TTA, None where nobody watches."""

    epoch: int  # counted from 1
    epochs: float  # done so far, of floor(images / batch_size) steps each; the last may be a fraction
    train_loss: float  # mean over the epoch's images
    accuracy: float | None
    seconds: float  # on the run's clock


@dataclass(frozen=True, kw_only=True, repr=False)
class RunResult:
    """A finished run. `recipe` is the scaled one; `seconds` follows the speedrun's rule and includes the final TTA."""

    asked: Recipe  # before it was scaled
    recipe: Recipe
    parts: tuple[str, ...]  # names of those that were somebody's own: `Parts.replaced`
    scale: str
    seed: int
    seeds: Mapping[str, int]  # those of its parts that had one of their own: init, order, augment
    runtime: "Runtime"
    data_name: str
    data_digest: str
    accuracy: float  # at the recipe's level of TTA
    accuracies: dict[str, float]  # at that level and those below it
    predictions: "dict[str, Tensor]"  # the class of each test image, (N,) at each of these levels
    seconds: float
    epochs: tuple[EpochRecord, ...]
    started: float  # seconds since 1970
    graphs: bool  # whether steps were replayed as CUDA graphs
    model: "Model"  # with a copy of the network, through PyTorch's own functions

    @property
    def network(self) -> "nn.Module":
        return self.model.network

    def save(self, path: str | PathLike) -> None:
        """Write the trained network to a file that `models.load` reads; see `Model.save`."""
        self.model.save(path)

    def __repr__(self) -> str:
        about = f"seed {self.seed}, scale {self.scale}, {self.data_name}"
        return f"<run: accuracy {self.accuracy:.4f} in {self.seconds:.1f} s; {about}>"


class Stopped(AirbenchError):
    """The run was asked to stop. `epochs` holds the records of the complete epochs: if watched, those evaluated too.

    `model` is the network as it was then; None where the run had not begun.
    """

    def __init__(self, epochs: tuple[EpochRecord, ...], model: "Model | None" = None):
        super().__init__(f"stopped after {len(epochs)} complete epoch(s)")
        self.epochs, self.model = epochs, model
