"""Images per second of training, augmentation and evaluation, measured, and what a run will cost on this machine."""

import itertools
import os
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace

import torch
from torch._subclasses.fake_tensor import FakeTensorMode

from airbench_core.dataset import Dataset
from airbench_core.devices import CGROUPS, Runtime
from airbench_core.evaluation import exhaust
from airbench_core.learner import make_network
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale
from airbench_core.training import Trainer
from airbench_core.tricks.tta import TTA_WEIGHTS
from airbench_lab.flops import CIFAR10_TEST, CIFAR10_TRAIN


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Images per second; `evaluate` counts each view of an image."""

    train: float  # steps on augmented batches
    augment: float  # the augmentation alone
    evaluate: float  # forward passes of the final inference


def random_dataset(train: int, test: int) -> Dataset:
    """Noise in CIFAR-10's shapes, for measurements of speed."""
    generator = torch.Generator().manual_seed(0)

    def draw(n: int) -> tuple[torch.Tensor, torch.Tensor]:
        images = torch.randint(256, (n, 3, 32, 32), generator=generator, dtype=torch.uint8)
        return images, torch.randint(10, (n,), generator=generator)

    classes = tuple(str(label) for label in range(10))
    return Dataset("noise", *draw(train), *draw(test), classes, (0.5, 0.5, 0.5), (0.29, 0.29, 0.29))


def measure_speed(
    recipe: Recipe, scale: Scale, runtime: Runtime, seconds: float = 1.0, batch: int | None = None
) -> Speed:
    """Measure `recipe` at `scale`, each count for at least `seconds` after a warm-up. `batch`: another batch size."""
    batch = batch or scale.recipe(recipe).batch_size
    small = replace(scale, batch_size=batch / recipe.batch_size, train_images=None, test_images=None)
    data = random_dataset(4 * batch, runtime.inference_batch)
    trainer = Trainer(recipe, data, scale=small, runtime=runtime)
    with runtime.active():
        trainer.warm_up()
        late = range(min(trainer.learner.freeze_step or 0, trainer.steps - 1), trainer.steps)  # as most are
        training = trainer.step_through(epochs=[itertools.cycle(late)])
        augmentation, _ = trainer.batches(seed=0)
        drawn = augmentation.draw(0)[:batch]
        next(training)

        def train() -> int:
            next(training)
            return batch

        def augment() -> int:
            return len(augmentation.batch(drawn))

        def evaluate() -> int:
            logits, _ = exhaust(trainer.infer("none"))
            return logits.shape[1]

        rates = [_rate(work, runtime, seconds) for work in (train, augment, evaluate)]
    return Speed(train=rates[0], augment=rates[1], evaluate=rates[2])


def _rate(work: Callable[[], int], runtime: Runtime, seconds: float) -> float:
    """Images per second of `work`, which says how many it did; its first call is left out."""
    work()
    runtime.synchronize()
    images, started = 0, time.perf_counter()
    calls = 1 if runtime.device.type == "cpu" else 16  # between two waits: a GPU is kept busy, as in training
    while True:
        images += sum(work() for _ in range(calls))
        runtime.synchronize()
        if (elapsed := time.perf_counter() - started) >= seconds:
            break
    return images / elapsed


def estimate_seconds(
    recipe: Recipe, scale: Scale, speed: Speed, images: tuple[int, int] = (CIFAR10_TRAIN, CIFAR10_TEST)
) -> float:
    """Seconds that one run of `recipe` at `scale` takes at the measured `speed`.

    images: how many for training and for the test there are, before the scale takes the first of them.
    """
    scaled = scale.recipe(recipe)
    train, test = (min(n, most or n) for n, most in zip(images, (scale.train_images, scale.test_images), strict=True))
    trained = scaled.steps(train) * scaled.batch_size
    inferred = test * len(TTA_WEIGHTS[recipe.tta])
    return trained / speed.train + inferred / speed.evaluate


def duration(seconds: float) -> str:
    """Such as "about 14 s", "about 5 min", "about 3.4 h"."""
    if seconds < 120:
        return f"about {seconds:.0f} s"
    return f"about {seconds / 60:.0f} min" if seconds < 2 * 3600 else f"about {seconds / 3600:.1f} h"


def available_memory() -> float:
    """Bytes of memory that this process may use: the machine's, and its container's limit where there is one.

    Infinite where the system tells neither.
    """
    known = [float("inf")]
    with suppress(AttributeError, ValueError, OSError):
        known.append(float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")))
    for file in ("memory.max", "memory/memory.limit_in_bytes"):
        with suppress(OSError, ValueError):  # no such file, or no limit ("max")
            known.append(float((CGROUPS / file).read_text()))
    return min(known)


def gpu_memory(recipe: Recipe) -> int:
    """Bytes of a GPU that a training of `recipe` at full scale on CIFAR-10 takes, counted from its shapes.

    Pictures as they are, normalized and padded with their mirrors; the network, its gradients and momentum; what a step
    keeps for the gradient, and two of its largest tensors besides. CUDA's own and cuDNN's workspace come on top.
    """
    kept: dict[int, tuple[float, torch.Tensor]] = {}  # the tensor: so that no other gets its number

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        kept[storage._cdata] = storage.nbytes() / (2 if tensor.is_floating_point() else 1), tensor  # float16's
        return tensor

    with FakeTensorMode():
        network = make_network(recipe)
        images = torch.empty(recipe.batch_size, 3, 32, 32, memory_format=torch.channels_last)
        with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
            network(images)
    weights = sum(p.numel() for p in network.parameters())
    padded = (32 + 2 * recipe.translate) ** 2
    pictures = 3 * ((CIFAR10_TRAIN + CIFAR10_TEST) * 32**2 + 2 * CIFAR10_TRAIN * (32**2 + 2 * padded))
    sizes = [size for size, _ in kept.values()]
    return int(pictures + 12 * weights + sum(sizes) + 2 * max(sizes))


def default_scale(runtime: Runtime) -> str:
    """The name of the scale that lessons run at: what AIRBENCH_SCALE says; else full on a GPU, laptop without one."""
    return os.environ.get("AIRBENCH_SCALE") or ("full" if runtime.device.type == "cuda" else "laptop")
