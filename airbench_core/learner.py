"""A network with all that it needs to learn: its optimizers, their learning rates, its loss."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from airbench_core.augmentation import Augmentation
from airbench_core.dataset import Dataset
from airbench_core.devices import LAYOUTS, Runtime
from airbench_core.errors import UsageError
from airbench_core.fast.cpu import speed_up_
from airbench_core.fast.whole_step import Rates, Record, WholeStep, Work
from airbench_core.network import IMAGE_SIZES, Conv, Linear, Network, OwnNetwork
from airbench_core.optimizers import make_optimizers
from airbench_core.recipes import Recipe
from airbench_core.tricks import Parts
from airbench_core.tricks.compiled import compiled
from airbench_core.tricks.schedule import learning_rates


def make_network(recipe: Recipe, classes: int = 10, size: int = 32) -> nn.Module:
    """The network that `recipe` names, for images of `size` x `size`. Raises UsageError for sizes it cannot take."""
    if recipe.network == "resnet18":
        from airbench_core.resnet import SMALLEST, ResNet18  # here, since torchvision is slow to import

        if size < SMALLEST:
            raise UsageError(f"images of {size} x {size} pixels do not fit resnet18: scale them to {SMALLEST} or more")
        with torch.random.fork_rng([]):  # torchvision draws weights, which `reset` draws anew
            return ResNet18(recipe, classes)
    if size not in IMAGE_SIZES:
        fit = f"scale them to {IMAGE_SIZES[0]} to {IMAGE_SIZES[-1]} pixels, best to 32"
        raise UsageError(f"images of {size} x {size} pixels do not fit the airbench network: {fit}")
    return Network(recipe, classes)


class Learner:
    """What the runs of one recipe share; each begins with `reset`.

    loss: images (B, 3, H, W), labels (B,) -> the summed loss. forward: images -> logits (B, classes). Both compiled
    where the runtime says so. record: such as `CudaGraphs`, by which steps are replayed.
    """

    def __init__(self, recipe: Recipe, data: Dataset, runtime: Runtime, parts: Parts, record: Record | None = None):
        self.recipe, self.data, self.runtime, self.parts, self.seed_offset = recipe, data, runtime, parts, 0
        images = len(data.train_images)
        self.steps, self.freeze_step = recipe.steps(images), recipe.freeze_step(images)
        if parts.network is None:
            network = make_network(recipe, len(data.classes), data.train_images.shape[-1])
        else:
            network = OwnNetwork(lambda: parts.network(recipe, len(data.classes)))
        self.network = network.float().to(device=runtime.device, memory_format=LAYOUTS[runtime.device.type])
        for module in self.network.modules():
            if isinstance(module, Conv | Linear):  # BatchNorm stays in float32
                module.to(runtime.weights_dtype)
        self._optimize()
        if parts.optimizer or parts.augment:  # made anew, or random in its own way: nothing to be repeated as it was
            record = None
        self.graphs = record and WholeStep(self.learning_rates, runtime.device, record)
        if runtime.device.type == "cpu" and not runtime.compile:
            speed_up_(self.network, runtime.dtype)
        self.loss = compiled(self._loss, runtime.device) if runtime.compile else self._loss
        self.forward = compiled(self._forward, runtime.device) if runtime.compile else self._forward

    def reset(self, seed: int) -> None:
        """Random weights and no momentum. In place: compiled functions and recorded graphs keep their tensors."""
        self.network.reset(torch.Generator().manual_seed(seed + self.seed_offset))
        self.network.zero_grad()
        if self.parts.optimizer:
            self._optimize()
        for optimizer in self.optimizers:
            for state in optimizer.state.values():
                if (momentum := state.get("momentum_buffer")) is not None:  # None after a first step that failed
                    momentum.zero_()

    def _optimize(self) -> None:
        recipe, parts = self.recipe, self.parts
        if parts.optimizer:
            own = parts.optimizer(self.network, recipe)
            self.optimizers = list(own) if isinstance(own, list | tuple) else [own]
        else:
            self.optimizers = make_optimizers(self.network, recipe, parts.newton_schulz, parts.parameter_groups)
            if self.runtime.compile and recipe.optimizer == "muon" and "newton_schulz" not in parts.replaced:
                self.optimizers[0].update = compiled(self.optimizers[0].update, self.runtime.device)
        self.learning_rates = learning_rates(self.optimizers, recipe, self.steps, self.freeze_step, parts.lr_factors)

    def recorded(self, step: Work, augmentation: Augmentation) -> tuple[Rates, Work]:
        """The learning rates and `step`, or what replays it on the images of `augmentation` (fast/whole_step.py)."""
        if self.graphs is None:
            return self.learning_rates, step
        return self.graphs.learning_rates, self.graphs.start(step, augmentation)

    def _loss(self, images: Tensor, labels: Tensor) -> Tensor:
        return self.losses(images, labels).sum() if self.parts.loss else self.losses(images, labels, "sum")

    def losses(self, images: Tensor, labels: Tensor, reduction: str = "none") -> Tensor:
        """Images (B, 3, H, W), labels (B,) -> the loss of each (B,)."""
        logits = self.network(images)
        if self.parts.loss:
            return self.parts.loss(logits, labels)
        return F.cross_entropy(logits, labels, label_smoothing=self.recipe.label_smoothing, reduction=reduction)

    def _forward(self, images: Tensor) -> Tensor:
        return self.network(images)
