"""Whitening: a first layer whose filters are computed from the training images, and never trained.

Source: Jordan, arXiv:2404.00498, section 3.2; after David Page's and Tysam's. Its bias is trained for a few epochs
(`Recipe.whiten_bias_epochs`).
"""

import torch
from torch import Tensor

WHITENING_IMAGES = 5000  # how many training images the patch covariance is measured on


def whitening_filters(images: Tensor, eps: float) -> Tensor:
    """Filters (24, 3, 2, 2) that whiten the 2x2 patches of normalized `images` (N, 3, H, W).

    Row i of the first twelve is the eigenvector of the patches' uncentred second moment with
    the i-th largest eigenvalue, divided by sqrt(eigenvalue + eps); the other twelve are their
    negatives, since the GELU that follows would lose one sign.
    """
    patches = images.float().unfold(2, 2, 1).unfold(3, 2, 1)  # views: F.unfold is slow on a GPU
    patches = patches.permute(0, 1, 4, 5, 2, 3).flatten(4).flatten(1, 3)  # (N, 12, positions)
    moment = (patches @ patches.mT).sum(0) / (patches.shape[0] * patches.shape[2])
    # 12 x 12 in double precision on the CPU: exact enough on every device, and cheaper than a
    # GPU's solver.
    eigenvalues, eigenvectors = torch.linalg.eigh(moment.cpu().double())
    filters = (eigenvectors / torch.sqrt(eigenvalues.clamp(min=0) + eps)).T.flip(0)
    return torch.cat([filters, -filters]).reshape(24, 3, 2, 2).to(images)
