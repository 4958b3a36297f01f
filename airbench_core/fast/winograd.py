"""3x3 convolutions in float32 with a quarter of the products, by Winograd's F(4x4, 3x3). Twin: F.conv2d.

Each 4x4 results take 36 products a channel and filter instead of 144; additions before and after take the place of the
others. bfloat16, which matrix units multiply, is left alone. Rounding is two to five times that of F.conv2d.
Source: Lavin and Gray, arXiv:1509.09308.
"""

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from airbench_core.fast.kernels import call, kernels

LANES = 8  # channels are multiples of it: as in winograd.c
TILES = 32  # taken at a time, so that they stay in a core's cache
# A filter g becomes G g G', for results at 0, 1, -1, 2, -2 and infinity of a product of polynomials.
G = [[1 / 4, 0, 0], *([-1 / 6, s / 6, -1 / 6] for s in (-1, 1)), *([1 / 24, s / 12, 1 / 6] for s in (1, -1)), [0, 0, 1]]
TRANSFORM = torch.tensor(G, dtype=torch.float64, device="cpu")
TRANSFORM = torch.kron(TRANSFORM, TRANSFORM).float()  # (36, 9)


def applies(x: Tensor, weight: Tensor) -> bool:
    """Whether `conv2d` takes images (N, C, H, W) and filters (O, C, 3, 3)."""
    return (
        x.dtype == weight.dtype == torch.float32
        and x.device.type == "cpu"
        and x.is_contiguous(memory_format=torch.channels_last)
        and weight.shape[2:] == (3, 3)
        and x.shape[1] == weight.shape[1]
        and not (weight.shape[0] % LANES or weight.shape[1] % LANES)
        and min(x.shape) > 0
        and kernels(torch.float32) is not None
    )


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x: Tensor, weight: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _convolve(x, weight)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor | None, Tensor | None]:
        x, weight = ctx.saved_tensors
        gradient = gradient.contiguous(memory_format=torch.channels_last)
        wanted = ctx.needs_input_grad
        of_x = _convolve(gradient, weight.flip(2, 3).transpose(0, 1)) if wanted[0] else None
        return of_x, _of_weight(x, gradient) if wanted[1] else None


conv2d = _Convolution.apply  # F.conv2d(x, weight, padding=1) where `applies` says so


def _convolve(x: Tensor, weight: Tensor) -> Tensor:
    n, channels, h, w = x.shape
    out = torch.empty(n, h, w, len(weight), dtype=torch.float32)
    filters = TRANSFORM @ weight.permute(2, 3, 1, 0).reshape(9, -1)  # (36, C * O)
    work = _work(0, channels, len(weight))
    call(kernels(x.dtype).convolve, x, out, filters, work, n, h, w, channels, len(weight), TILES)
    return out.permute(0, 3, 1, 2)


def _of_weight(x: Tensor, gradient: Tensor) -> Tensor:
    n, channels, h, w = x.shape
    filters = gradient.shape[1]
    sums = 36 * channels * filters
    work = _work(sums, channels, filters)
    call(kernels(x.dtype).filters_gradient, x, gradient, work, n, h, w, channels, filters, TILES)
    return (TRANSFORM.T @ work[:sums].view(36, -1)).view(3, 3, channels, filters).permute(3, 2, 0, 1)


def _work(sums: int, *channels: int) -> Tensor:
    """Room for sums, transformed tiles, a blank pixel."""
    return torch.empty(sums + sum(36 * (TILES * c + 16) for c in channels) + max(channels), dtype=torch.float32)
