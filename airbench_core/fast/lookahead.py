"""Lookahead's update of all tensors in two launches for each dtype. Twin: tricks/lookahead.py."""

import torch
from torch import Tensor


@torch.no_grad()
def lookahead_update_(slow: list[Tensor], fast: list[Tensor], decay: float) -> None:
    """slow <- decay * slow + (1 - decay) * fast; fast <- slow, in place."""
    for dtype in {s.dtype for s in slow}:  # in mixed lists they would be taken one by one
        some_slow, some_fast = ([t for t in tensors if t.dtype == dtype] for tensors in (slow, fast))
        torch._foreach_lerp_(some_slow, some_fast, 1 - decay)
        torch._foreach_copy_(some_fast, some_slow)
