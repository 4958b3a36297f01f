"""Max-pooling that torch.compile can fuse with its neighbours, backwards too. Its twin: F.max_pool2d."""

from itertools import product

import torch
import torch.nn.functional as F
from torch import Tensor


def max_pool2d(x: Tensor, size: int) -> Tensor:
    """F.max_pool2d(x, size), to the bit; compiled, its gradient is a gather, no scatter (benchmarks/README.md)."""
    return _MaxPool.apply(x, size) if torch.compiler.is_compiling() else F.max_pool2d(x, size)


class _MaxPool(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, size: int) -> Tensor:
        height, width = (side // size * size for side in x.shape[2:])
        chosen, *others = (x[:, :, i:height:size, j:width:size] for i, j in product(range(size), repeat=2))
        most, which = chosen, torch.zeros_like(chosen, dtype=torch.int8)  # of a square's pixels is the largest
        for k, other in enumerate(others, 1):  # of equal ones the first, and NaN, as there
            which = torch.where((other > most) | other.isnan(), k, which)
            most = torch.maximum(most, other)
        which = which.as_strided(which.shape, which.stride())  # written here, not found again for the backward pass
        for k, other in enumerate(others, 1):  # by `which`: from `most` to `most` code would double
            chosen = torch.where(which == k, other, chosen)
        ctx.save_for_backward(which)
        ctx.size, ctx.rest = size, (0, x.shape[3] - width, 0, x.shape[2] - height)
        return chosen

    @staticmethod
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, None]:
        which, of_x = (of[:, :, :, None, :, None] for of in (*ctx.saved_tensors, gradient))
        places = torch.arange(ctx.size**2, dtype=torch.int8, device=which.device).view(ctx.size, 1, ctx.size)
        return F.pad(torch.where(which == places, of_x, 0).flatten(4).flatten(2, 3), ctx.rest), None
