"""Quicker functions for a network that trains on a CPU. Their twins: F.conv2d and F.gelu.

Results differ from theirs by rounding alone; in norm_gelu.py, in bfloat16, by less than its rounding.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from airbench_core.fast import winograd
from airbench_core.fast.kernels import kernels
from airbench_core.fast.norm_gelu import norm_gelu, pool_norm_gelu
from airbench_core.network import Conv, ConvGroup, Network

ROW = 32  # pixels that oneDNN's kernel for the gradient of a filter takes at a time (bfloat16, AMX)


def speed_up_(network: nn.Module, dtype: torch.dtype) -> None:
    """Let `network` (of `make_network`, on a CPU) use the functions of this file on activations of `dtype`."""
    kernels(dtype)  # compiled now rather than in the first step, which is timed
    for module in network.modules():
        if isinstance(module, Conv):
            module.conv2d = conv2d
        if isinstance(module, ConvGroup):
            module.norm_gelu, module.pool_norm_gelu = norm_gelu, pool_norm_gelu
        if isinstance(module, Network):
            module.gelu = gelu


def plain_(network: nn.Module) -> nn.Module:
    """Undo `speed_up_`; gives the network."""
    for module in network.modules():
        for name in ("conv2d", "norm_gelu", "pool_norm_gelu", "gelu"):
            module.__dict__.pop(name, None)
    return network


def gelu(x: Tensor) -> Tensor:
    """F.gelu of (N, C, H, W). PyTorch leaves it to oneDNN, twice as fast, only where memory follows the axes' order."""
    if x.is_contiguous() or not x.is_contiguous(memory_format=torch.channels_last):
        return F.gelu(x)
    return F.gelu(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def conv2d(x: Tensor, weight: Tensor, bias: Tensor | None = None, *, padding: tuple[int, int]) -> Tensor:
    """F.conv2d of (N, C, H, W): by fewer products in float32; else with the gradient of `weight` on tiled images."""
    if bias is not None or weight.shape[2:] != (3, 3) or padding != (1, 1):
        return F.conv2d(x, weight, bias, padding=padding)
    if torch.get_num_threads() == 1 and winograd.applies(x, weight):  # with more it is slower: benchmarks/README.md
        return winograd.conv2d(x, weight)
    if len(x) > 1 and _side_by_side(x) >= 4 and weight.requires_grad:
        return _Convolution.apply(x, weight)
    return F.conv2d(x, weight, padding=padding)


def _side_by_side(x: Tensor) -> int:
    """How many images of (N, C, H, W), with a blank column after each, fit into ROW pixels."""
    return ROW // (x.shape[3] + 1)


def tile(images: Tensor, columns: int) -> Tensor:
    """Images (N, C, H, W) -> (N / columns, C, H, columns * (W + 1)): side by side, a blank column after each."""
    n, c, h, w = images.shape
    tiled = images.new_zeros(n // columns, h, columns, w + 1, c)
    tiled[:, :, :, :w] = images.permute(0, 2, 3, 1).unflatten(0, (n // columns, columns)).transpose(1, 2)
    return tiled.flatten(2, 3).permute(0, 3, 1, 2)


class _Convolution(torch.autograd.Function):
    """A 3x3 convolution with padding 1.

    oneDNN computes the gradient of the filters with rows of an image as the inner dimension of its matrix products.
    AMX takes 32 of them at a time, so that with rows of 3 or 7 pixels it mostly multiplies padding. Some images side
    by side make long rows; the blank columns between them are the padding that the convolution would see.
    """

    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return F.conv2d(x, weight, padding=1)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor]:
        x, weight = ctx.saved_tensors
        largest = min(_side_by_side(x), len(x))
        columns = next(k for k in range(largest, 0, -1) if len(x) % k == 0)
        of_x = _backward(gradient, x, weight, 0) if ctx.needs_input_grad[0] else None
        return of_x, _backward(tile(gradient, columns), tile(x, columns), weight, 1)


def _backward(gradient: Tensor, x: Tensor, weight: Tensor, which: int) -> Tensor:
    """The gradient of a 3x3 convolution's input (which=0) or of its weight (which=1)."""
    mask = [which == 0, which == 1, False]
    same = [1, 1], [1, 1], [1, 1]  # stride, padding, dilation
    return torch.ops.aten.convolution_backward(gradient, x, weight, None, *same, False, [0, 0], 1, mask)[which]
