"""Multi-crop test-time augmentation (TTA): the views of a test image, and their weights.

The views are ordered so that each level of TTA uses the first few of them; the logits of the views of the highest
level therefore also give the accuracy of the lower ones.
Source: Jordan, arXiv:2404.00498, section 3.5.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.recipes import TTA_WEIGHTS


def tta_views(images: Tensor, tta: str) -> tuple[list[Tensor], tuple[float, ...]]:
    """The views of normalized images (N, 3, H, W) at level `tta`, and their weights.

    Each view has the shape of the images. Translated copies are filled by reflection.
    """
    views = [images]
    if tta == "mirror+translate":
        size, padded = images.shape[-1], F.pad(images, (1, 1, 1, 1), mode="reflect")
        views += [padded[:, :, :size, :size], padded[:, :, 2:, 2:]]
    if tta != "none":
        mirrored = [view.flip(-1) for view in views]
        views = [views[0], mirrored[0], *views[1:], *mirrored[1:]]
    return views, TTA_WEIGHTS[tta]


def combine(logits: Tensor, weights: tuple[float, ...]) -> Tensor:
    """The weighted mean (N, classes) of the first len(weights) views' logits (views, N, classes)."""
    return torch.einsum("vnc,v->nc", logits[: len(weights)], logits.new_tensor(weights))
