"""A trained network, used and kept: with its weights lies all that it needs to see a picture as in its training.

result = train(AIRBENCH94, data, scale="laptop")
result.save("model.pt")
model = load("model.pt")
model.classify(["photograph.jpg"])                 # ["ship"]
model.shares(data.test_images).argmax(1)           # (N,) classes of uint8 images (N, 3, H, W)
"""

import io
import math
import os
import pickle
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airbench_core.devices import LAYOUTS, Runtime
from airbench_core.errors import AirbenchError, DataError, UsageError
from airbench_core.evaluation import view_logits
from airbench_core.learner import make_network
from airbench_core.network import OwnNetwork
from airbench_core.pictures import squares
from airbench_core.recipes import Recipe
from airbench_core.tricks.tta import combine, tta_views

FORMAT = "airbench model 1"


@dataclass(frozen=True, kw_only=True, repr=False)
class Model:
    """A trained network and what it was trained on: the scaled recipe, the classes, the pixels' mean and deviation."""

    recipe: Recipe
    network: nn.Module
    classes: tuple[str, ...]
    mean: tuple[float, ...]
    std: tuple[float, ...]
    size: int  # pixels a side
    views: Callable = tta_views  # `Parts.tta_views`

    def shares(self, pictures: Any, runtime: Runtime | None = None) -> Tensor:
        """How sure it is of each class, by its recipe's TTA: float32 (N, classes) on the CPU, rows add up to 1.

        pictures: one or several, of any size, as `pictures.squares` takes them: files, PIL images, uint8 (not
            divided by 255). runtime: default that of the device which the network is on.
        """
        several = isinstance(pictures, Sequence) and not isinstance(pictures, str)
        several = several or (isinstance(pictures, Tensor | np.ndarray) and pictures.ndim == 4)
        pictures = pictures if several else [pictures]
        runtime = runtime or Runtime.detect(str(next(self.network.parameters()).device))
        images = squares(pictures, len(pictures), self.size).to(runtime.device)
        data = SimpleNamespace(test_images=images, mean=self.mean, std=self.std)
        network = self.network.to(device=runtime.device, memory_format=LAYOUTS[runtime.device.type]).eval()
        with runtime.active():
            return combine(*view_logits(network, data, self.recipe.tta, runtime, views=self.views)).softmax(1).cpu()

    def classify(self, pictures: Any, runtime: Runtime | None = None) -> list[str]:
        """The name of the likeliest class of each picture; arguments are those of `shares`."""
        return [self.classes[i] for i in self.shares(pictures, runtime).argmax(1).tolist()]

    def save(self, path: str | os.PathLike) -> None:
        """Write it to a file that `load` reads: whole, or AirbenchError and what was there stays.

        Raises UsageError where there is a file that is no model: it would be lost.
        """
        if isinstance(self.network, OwnNetwork):
            raise UsageError("a network of your own cannot be saved so: keep its weights, model.network.state_dict()")
        if self.views is not tta_views:
            raise UsageError("your own tta_views cannot be saved: dataclasses.replace(model, views=tta_views) can")
        check_savable(path)
        values = {"format": FORMAT, "weights": self.network.state_dict(), "recipe": asdict(self.recipe)}
        values |= {name: getattr(self, name) for name in ("classes", "mean", "std", "size")}
        content, path = io.BytesIO(), Path(path)
        torch.save(values, content)
        try:
            with tempfile.TemporaryDirectory(prefix=".saving-", dir=path.parent) as folder:
                part = Path(folder) / path.name
                with part.open("wb") as file:
                    file.write(content.getbuffer())
                    file.flush()
                    os.fsync(file.fileno())
                os.replace(part, path)
        except OSError as error:
            raise AirbenchError(f"cannot write the model {path}: {error.strerror or error}") from error


def check_savable(path: str | os.PathLike) -> None:
    """Raise UsageError or AirbenchError if no model can be written to `path`: better before a run than after it."""
    path = Path(path)
    try:
        os.lstat(path)
        load(path)
    except FileNotFoundError:
        pass
    except OSError as error:  # a name that is too long, for one
        raise AirbenchError(f"cannot write the model {path}: {error.strerror}") from error
    except AirbenchError:
        raise UsageError(f"{path} is there already, and no model: name another file for this one") from None
    if not os.access(path.parent, os.W_OK | os.X_OK) or not path.parent.is_dir():
        raise AirbenchError(f"cannot write the model {path}: there is no folder {path.parent}, or it cannot be written")


def load(path: str | os.PathLike) -> Model:
    """The model that `Model.save` wrote, on the CPU. Nothing in the file is executed, whoever made it.

    Raises DataError, one line, where it is none or cannot be read.
    """
    if os.path.exists(path) and not os.path.isfile(path):  # to read a pipe or a device may take for ever
        raise DataError(f"{path} is not a file, so no model")
    try:
        values = torch.load(path, map_location="cpu", weights_only=True)
        if values["format"] != FORMAT:
            raise ValueError(f"format {values['format']!r}")
        recipe, classes, size = Recipe(**values["recipe"]), tuple(map(str, values["classes"])), int(values["size"])
        with torch.device("meta"):  # no memory for what the file does not hold
            network = make_network(recipe, len(classes), size)
        network.load_state_dict(values["weights"], assign=True)
        mean, std = (tuple(map(float, values[name])) for name in ("mean", "std"))
        if len(mean) != 3 or len(std) != 3 or not min(std) > 0 or not all(map(math.isfinite, mean + std)):
            raise ValueError(f"mean {mean}, std {std}")
        if not all(one.isprintable() for one in classes):
            raise ValueError("classes whose names cannot be printed")
        network = network.float()  # a GPU keeps some in half precision
        if not all(one.isfinite().all() for one in network.state_dict().values()):
            raise ValueError("weights that are no finite numbers")
    except OSError as error:
        raise DataError(f"cannot read the model {path}: {error.strerror or error}") from error
    except Exception as error:  # a file of another kind, or a damaged one, can raise almost anything
        bad_advice = isinstance(error, pickle.UnpicklingError)
        said = "another format" if bad_advice else (str(error).strip() or repr(error)).splitlines()[0][:200]
        raise DataError(f"{path} is no model that airbench wrote ({said})") from error
    network = network.to(memory_format=torch.channels_last).eval()
    return Model(recipe=recipe, network=network, classes=classes, mean=mean, std=std, size=size)
