"""Identity initialization: convolutions that begin by passing on what they get.

Source: Jordan, arXiv:2404.00498, section 3.3.
"""

import torch
from torch import Tensor


@torch.no_grad()
def identity_init_(weight: Tensor) -> None:
    """Let a convolution (out, in, k, k) pass on its input.

    Its first min(in, out) filters become Dirac deltas. The remaining filters keep their values.
    """
    n = min(weight.shape[:2])
    channels = torch.arange(n, device=weight.device)
    weight[:n] = 0
    weight[channels, channels, weight.shape[2] // 2, weight.shape[3] // 2] = 1
