"""BatchNorm and GELU, after a pooling or without, in half as many passes over memory as PyTorch's functions take.

Twins: `norm_gelu` and `pool_norm_gelu` of network.py, which also serve wherever these do not apply.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from airbench_core import network
from airbench_core.fast.kernels import call, kernels

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
        and x.is_contiguous(memory_format=torch.channels_last)
        and not norm.weight.requires_grad  # it is 1
        and (norm.training or not torch.is_grad_enabled())
        and kernels(x.dtype) is not None
    )


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
        if pooled:
            whole, images = images, x.new_empty(n, h // 2, w // 2, channels)
            which = torch.empty(images.shape, dtype=PLACES[x.dtype])
            _run(c.pool, [whole, images, which], [], work, h, w, channels)
        elif norm.training:
            _run(c.statistics, [images], [], work, h * w, channels)
        pixels = images.shape[1] * images.shape[2]
        moments = torch.empty(3, channels)
        running = norm.running_mean, norm.running_var
        sums = work if norm.training else None
        call(c.moments, sums, bias, *running, moments, norm.momentum, norm.eps, len(work), n * pixels, channels)
        if norm.training:
            norm.num_batches_tracked += 1
        out = torch.empty_like(images)
        _run(c.norm_gelu, [images, out], [moments], None, pixels, channels)
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
        _run(c.norm_gelu_backward, [gradient, images, of_z], [moments], work, pixels, channels)
        k, of_bias = torch.empty(3, channels), torch.empty(channels)
        call(c.coefficients, work, moments, k, of_bias, len(work), n * pixels, channels)
        if which is None:
            of_x = of_z
            _run(c.norm_backward, [of_x, images], [k], None, pixels, channels)
        else:
            of_x = images.new_empty(ctx.shape)
            _run(c.pool_backward, [of_z, images, which, of_x], [k], None, h, w, channels)
        return of_x.permute(0, 3, 1, 2), of_bias, None, None


def _work(n: int, channels: int) -> Tensor:
    """Room for the sums of each thread that `_run` uses for n images."""
    return torch.empty(min(torch.get_num_threads(), n), 3, channels, dtype=torch.float64)


def _run(function: Callable, images: list[Tensor], shared: list[Tensor], work: Tensor | None, *sizes: int) -> None:
    """function(*images, *shared, work, n, *sizes) on all images or, in each of torch's threads, on some of them."""
    n = len(images[0])
    threads = min(torch.get_num_threads(), n)
    if threads == 1:
        call(function, *images, *shared, *([] if work is None else [work]), n, *sizes)
        return

    def part(k: int) -> None:
        some = [tensor[n * k // threads : n * (k + 1) // threads] for tensor in images]
        call(function, *some, *shared, *([] if work is None else [work[k]]), len(some[0]), *sizes)

    list(_pool(threads).map(part, range(threads)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="airbench-kernels")
