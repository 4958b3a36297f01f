"""Inference with test-time augmentation (TTA): the views of an image, their weights, and the accuracy.

The views are ordered so that each level of TTA uses the first few of them; the logits of the views of the highest
level therefore also give the accuracy of the lower ones.
"""

from collections.abc import Callable

import torch
from torch import Tensor, nn

from airbench_core.augmentation import normalize, pad
from airbench_core.data.datasets import Dataset
from airbench_core.devices import Runtime

# Weights of: the image; its mirror; the copies moved by (-1, -1) and (+1, +1); the mirrors of these two.
TTA_WEIGHTS = {
    "none": (1.0,),
    "mirror": (0.5, 0.5),
    "mirror+translate": (0.25, 0.25, 0.125, 0.125, 0.125, 0.125),
}


def tta_views(images: Tensor, tta: str) -> tuple[list[Tensor], tuple[float, ...]]:
    """The views of normalized images (N, 3, H, W) at level `tta`, and their weights.

    Each view has the shape of the images. Translated copies are filled by reflection.
    Source: arXiv:2404.00498, section 3.5.
    """
    views = [images]
    if tta == "mirror+translate":
        size, padded = images.shape[-1], pad(images, 1)
        views += [padded[:, :, :size, :size], padded[:, :, 2:, 2:]]
    if tta != "none":
        mirrored = [view.flip(-1) for view in views]
        views = [views[0], mirrored[0], *views[1:], *mirrored[1:]]
    return views, TTA_WEIGHTS[tta]


@torch.no_grad()
def view_logits(
    forward: Callable[[Tensor], Tensor],
    data: Dataset,
    tta: str,
    runtime: Runtime,
    views: Callable = tta_views,
    go_on: Callable[[], None] = lambda: None,
) -> tuple[Tensor, tuple[float, ...]]:
    """The network's logits for each view of each test image, float32 (views, N, classes), and the views' weights.

    forward: the network in evaluation mode, on the device that holds `data`. views: a function like `tta_views`.
    go_on: called before each batch of images; what it raises ends the inference.
    """
    parts = []
    for images in data.test_images.split(runtime.inference_batch):
        go_on()
        some, weights = views(normalize(images, data.mean, data.std, runtime.dtype), tta)
        parts.append(torch.stack([forward(view.contiguous(memory_format=torch.channels_last)) for view in some]))
    return torch.cat(parts, dim=1), weights


def combine(logits: Tensor, weights: tuple[float, ...]) -> Tensor:
    """The weighted mean (N, classes) of the first len(weights) views' logits (views, N, classes)."""
    return torch.einsum("vnc,v->nc", logits[: len(weights)], logits.new_tensor(weights))


def predict(network: nn.Module, data: Dataset, tta: str, runtime: Runtime) -> Tensor:
    """Logits (N, classes) of the test images under `tta`; the network is put into evaluation mode.

    runtime: the one that the network was trained with (`RunResult.runtime`).
    """
    network.eval()
    return combine(*view_logits(network, data.to(runtime.device), tta, runtime))


def accuracy(logits: Tensor, labels: Tensor) -> float:
    """The share of rows of `logits` (N, classes) whose largest entry is at `labels` (N,)."""
    return (logits.argmax(1) == labels).sum().item() / len(labels)
