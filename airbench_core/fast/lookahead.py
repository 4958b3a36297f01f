"""Lookahead's update of all tensors in two launches. Twin: `lookahead_update_` of optimizers.py."""

import torch
from torch import Tensor


@torch.no_grad()
def lookahead_update_(slow: list[Tensor], fast: list[Tensor], decay: float) -> None:
    """slow <- decay * slow + (1 - decay) * fast; fast <- slow, in place."""
    torch._foreach_lerp_(slow, fast, 1 - decay)
    torch._foreach_copy_(fast, slow)
