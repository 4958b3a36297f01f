"""BatchNorm and GELU, after a pooling or without, in half as many passes over memory as PyTorch's functions take.

Twins: `norm_gelu` and `pool_norm_gelu` of network.py, which also serve wherever these do not apply.
"""

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from airbench_core import network
from airbench_core.fast.kernels import call, kernels, run

PLACES = {torch.bfloat16: torch.int16, torch.float32: torch.int32}  # of a maximum: as wide as the numbers


def norm_gelu(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """gelu(norm(x)) of (N, C, H, W)."""
    return _NormGelu.apply(x, norm.bias, norm, False) if _applies(x, norm) else network.norm_gelu(x, norm)


def pool_norm_gelu(x: Tensor, norm: nn.BatchNorm2d) -> Tensor:
    """gelu(norm(the largest of each 2x2 pixels)): (N, C, H, W) -> (N, C, H // 2, W // 2)."""
    return _NormGelu.apply(x, norm.bias, norm, True) if _applies(x, norm) else network.pool_norm_gelu(x, norm)


def _applies(x: Tensor, norm: nn.BatchNorm2d) -> bool:
    return (
        x.device.type == "cpu"
        and len(x) > 1  # of one pixel PyTorch says that it has no variance
        and x.is_contiguous(memory_format=torch.channels_last)
        and type(norm) is nn.BatchNorm2d
        and not (norm._forward_hooks or norm._forward_pre_hooks)
        and not norm.weight.requires_grad
        and (norm.training or not torch.is_grad_enabled())
        and norm.momentum is not None
        and all(map(_plain_floats, (norm.weight, norm.bias, norm.running_mean, norm.running_var)))
        and len(norm.bias) == x.shape[1]
        and kernels(x.dtype) is not None
    )


def _plain_floats(value: Tensor | None) -> bool:
    """Whether it is what the kernels expect at the address that they get."""
    return value is not None and value.device.type == "cpu" and value.dtype == torch.float32 and value.is_contiguous()


class _NormGelu(torch.autograd.Function):
    """Inside, images are (n, h, w, channels): the order in which they lie in memory.

    What is small is computed in C too: between convolutions that have emptied the caches, each of PyTorch's functions
    costs 20 us however little it does.
    """

    @staticmethod
    def forward(ctx, x: Tensor, bias: Tensor, norm: nn.BatchNorm2d, pooled: bool) -> Tensor:
        c, images, which = kernels(x.dtype), x.permute(0, 2, 3, 1), None
        n, h, w, channels = ctx.shape = images.shape
        work = _work(n, channels)
        running = norm.running_mean, norm.running_var
        if pooled:
            whole, images = images, x.new_empty(n, h // 2, w // 2, channels)
            which = torch.empty(images.shape, dtype=PLACES[x.dtype])
            run(c.pool, len(work), [whole, images, which], [norm.running_mean], work, h, w, channels)
        elif norm.training:
            run(c.statistics, len(work), [images], [norm.running_mean], work, h * w, channels)
        pixels = images.shape[1] * images.shape[2]
        moments = torch.empty(4, channels, dtype=torch.float32)
        constants = float(norm.momentum), float(norm.eps), len(work), n * pixels, channels
        call(c.moments, work if norm.training else None, norm.weight, bias, *running, moments, *constants)
        if norm.training:
            norm.num_batches_tracked += 1
        out = torch.empty_like(images)
        run(c.norm_gelu, len(work), [images, out], [moments], None, pixels, channels)
        ctx.save_for_backward(images, which, moments)
        return out.permute(0, 3, 1, 2)

    @staticmethod
    @once_differentiable
    def backward(ctx, gradient: Tensor) -> tuple[Tensor, Tensor, None, None]:
        images, which, moments = ctx.saved_tensors
        c, (n, h, w, channels) = kernels(images.dtype), ctx.shape
        pixels = images.shape[1] * images.shape[2]
        work, of_z = _work(n, channels), torch.empty_like(images)
        gradient = gradient.permute(0, 2, 3, 1).contiguous()
        run(c.norm_gelu_backward, len(work), [gradient, images, of_z], [moments], work, pixels, channels)
        k, of_bias = (torch.empty(*shape, channels, dtype=torch.float32) for shape in ([3], []))
        call(c.coefficients, work, moments, k, of_bias, len(work), n * pixels, channels)
        if which is None:
            of_x = of_z
            run(c.norm_backward, len(work), [of_x, images], [k], None, pixels, channels)
        else:
            of_x = images.new_empty(ctx.shape)
            run(c.pool_backward, len(work), [of_z, images, which, of_x], [k], None, h, w, channels)
        return of_x.permute(0, 3, 1, 2), of_bias, None, None


def _work(n: int, channels: int) -> Tensor:
    """Room for the sums of each of the threads that n images are given to."""
    return torch.empty(min(torch.get_num_threads(), n), 3, channels, dtype=torch.float64)
