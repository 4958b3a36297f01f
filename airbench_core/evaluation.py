"""Inference: the logits of the test images' views (tricks/tta.py), and the accuracy."""

from collections.abc import Callable, Generator
from contextlib import closing
from typing import Any

import torch
from torch import Tensor

from airbench_core.augmentation import normalize
from airbench_core.dataset import Dataset
from airbench_core.devices import LAYOUTS, Runtime
from airbench_core.tricks.tta import tta_views

Logits = tuple[Tensor, tuple[float, ...]]  # of each view of each image, float32 (views, N, classes); the views' weights


@torch.no_grad()
def infer(
    forward: Callable[[Tensor], Tensor], data: Dataset, tta: str, runtime: Runtime, views: Callable = tta_views
) -> Generator[None, None, Logits]:
    """The network's logits for each view of each test image. Yields before each batch of images.

    forward: the network in evaluation mode, on the device that holds `data`. views: a function like `tta_views`.
    """
    parts = []
    for images in data.test_images.split(runtime.inference_batch):
        yield
        some, weights = views(normalize(images, data.mean, data.std, runtime.dtype), tta)
        layout = LAYOUTS[images.device.type]
        parts.append(torch.stack([forward(view.contiguous(memory_format=layout)) for view in some]))
    return torch.cat(parts, dim=1), weights


def exhaust(work: Generator, between: Callable[[], object] = lambda: None) -> Any:
    """What `work` returns in the end. `between` is called at each of its yields; what it raises ends the work."""
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value
            between()


def view_logits(*arguments: Any, **views: Callable) -> Logits:
    """As `infer`, in one go."""
    return exhaust(infer(*arguments, **views))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows of `logits` (N, classes) whose largest entry is at `labels` (N,)."""
    return (logits.argmax(1) == labels).sum().item() / len(labels)
