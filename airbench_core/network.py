"""The network of airbench, with random weights; what makes it fast to train is in tricks/.

Notable: the first layer is small, for filters that whiten 2x2 patches; BatchNorm has a trained bias but no trained
scale; weights are cast to the dtype of the activations. Functions that are attributes (`conv2d`, `norm_gelu`) can be
replaced, object by object, by quicker ones that mean the same (`fast/`).
Source: Jordan, arXiv:2404.00498, section 3; all numbers as in its repository's airbench94.
"""

import math
from collections.abc import Callable
from contextlib import nullcontext
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from airbench_core.errors import UsageError
from airbench_core.fast.pooling import max_pool2d
from airbench_core.recipes import WHITENING_WIDTH, Recipe

LOGIT_SCALE = 1 / 9
IMAGE_SIZES = range(25, 49)  # those of which the last pooling leaves one pixel


class Conv(nn.Conv2d):
    """A convolution that computes in its input's dtype and leaves its initialization to `Network.reset`."""

    conv2d = staticmethod(F.conv2d)

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        bias = None if self.bias is None else self.bias.to(x.dtype)
        return self.conv2d(x, self.weight.to(x.dtype), bias, padding=self.padding)


class Linear(nn.Linear):
    """A linear layer without bias that computes in its input's dtype."""

    def reset_parameters(self) -> None:
        pass

    def forward(self, x: Tensor) -> Tensor:
        return F.linear(x, self.weight.to(x.dtype))


def batch_norm(channels: int, recipe: Recipe) -> nn.BatchNorm2d:
    """BatchNorm whose scale stays 1 and whose bias is trained."""
    norm = nn.BatchNorm2d(channels, eps=1e-12, momentum=1 - recipe.batchnorm_momentum)
    norm.weight.requires_grad_(False)
    return norm


def norm_gelu(x: Tensor, norm: nn.Module) -> Tensor:
    """What follows a convolution."""
    return F.gelu(norm(x))


def pool_norm_gelu(x: Tensor, norm: nn.Module) -> Tensor:
    """What follows the first convolution of a group, which halves the image's sides."""
    return F.gelu(norm(max_pool2d(x, 2)))


class ConvGroup(nn.Module):
    """(N, width_in, S, S) -> (N, width_out, S // 2, S // 2): pooled after the first of `depth` convolutions.

    Each convolution is followed by BatchNorm and GELU; the residual joins the first activation to the last.
    """

    norm_gelu = staticmethod(norm_gelu)
    pool_norm_gelu = staticmethod(pool_norm_gelu)

    def __init__(self, width_in: int, width_out: int, recipe: Recipe):
        super().__init__()
        widths = [width_in] + [width_out] * recipe.depth
        self.convolutions = nn.ModuleList(Conv(a, b, 3, padding=1, bias=False) for a, b in pairwise(widths))
        self.norms = nn.ModuleList(batch_norm(width, recipe) for width in widths[1:])
        self.residual = recipe.residual

    def forward(self, x: Tensor) -> Tensor:
        first = x = self.pool_norm_gelu(self.convolutions[0](x), self.norms[0])
        for convolution, norm in zip(self.convolutions[1:-1], self.norms[1:-1], strict=True):
            x = self.norm_gelu(convolution(x), norm)
        x = self.convolutions[-1](x)
        if self.residual:
            return F.gelu(self.norms[-1](x) + first)
        return self.norm_gelu(x, self.norms[-1])


class Network(nn.Module):
    """Normalized images (N, 3, 32, 32) -> float32 logits (N, classes). Maps of 31, 15, 7, 3 and 1 pixels."""

    gelu = staticmethod(F.gelu)

    def __init__(self, recipe: Recipe, classes: int = 10):
        super().__init__()
        widths = (WHITENING_WIDTH, *recipe.widths)
        self.first = Conv(3, WHITENING_WIDTH, 2, padding=0, bias=not recipe.first_norm)
        self.first.weight.requires_grad_(not recipe.whiten)
        self.first_norm = batch_norm(WHITENING_WIDTH, recipe) if recipe.first_norm else nn.Identity()
        self.groups = nn.Sequential(*(ConvGroup(a, b, recipe) for a, b in pairwise(widths)))
        self.head = Linear(recipe.widths[-1], classes, bias=False)
        self.recipe = recipe
        self.logit_scale = 1 / recipe.widths[-1] if recipe.unit_head else LOGIT_SCALE

    def forward(self, images: Tensor) -> Tensor:
        x = self.gelu(self.first_norm(self.first(images)))  # (N, 24, 31, 31)
        x = self.groups(x)  # (N, widths[2], 3, 3)
        x = max_pool2d(x, 3).flatten(1)  # (N, widths[2])
        return self.head(x).float() * self.logit_scale  # (N, classes)

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw all weights anew as PyTorch would by default, from `generator` (on the CPU) alone."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, Conv | Linear):
                bound = 1 / math.sqrt(module.weight[0].numel())
                draw_uniform_(module.weight, bound, generator)
                if module.bias is not None:
                    draw_uniform_(module.bias, bound, generator)
        if self.recipe.whiten and self.recipe.whiten_bias_zero:
            self.first.bias.zero_()
        if self.recipe.unit_head:
            self.head.weight.div_(self.head.weight.std())

    def convolutions(self) -> list[Conv]:
        """The 3x3 convolutions, in order."""
        return [convolution for group in self.groups for convolution in group.convolutions]


class OwnNetwork(nn.Module):
    """A network of one's own, which `make` gives: drawn anew for each run; its weights are float32 at any precision."""

    def __init__(self, make: Callable[[], nn.Module]):
        super().__init__()
        self.make, self.network = make, make()

    def forward(self, images: Tensor) -> Tensor:
        with torch.autocast(images.device.type, images.dtype) if images.dtype.itemsize < 4 else nullcontext():
            return self.network(images).float()

    def reset(self, generator: torch.Generator) -> None:
        """Draw all weights anew, as `make` does with PyTorch's generator at this one's seed."""
        with torch.random.fork_rng([]):  # dropout's numbers are those of the run's seed, whatever is drawn here
            torch.default_generator.manual_seed(generator.initial_seed())
            drawn = self.make()
        if drawn is self.network:
            raise UsageError("your own network is the same object each time, and trained already: make a new one")
        for ours in (part for part in drawn.modules() if isinstance(part, Network)):
            ours.reset(generator)
        self._fill(drawn)

    def __deepcopy__(self, memo: dict) -> "OwnNetwork":
        """Made and filled, not copied: a module may keep what cannot be, such as its last activations."""
        copied = OwnNetwork(self.make).to(next(self.parameters()).device)
        copied._fill(self.network)
        return copied

    @torch.no_grad()
    def _fill(self, source: nn.Module) -> None:
        self.network.load_state_dict(source.state_dict())
        values = dict(source.named_buffers())  # those too that are not in a state_dict
        for name, value in self.network.named_buffers():
            value.copy_(values.get(name, value))


@torch.no_grad()
def draw_uniform_(value: Tensor, bound: float, generator: torch.Generator) -> None:
    """Fill `value`, on any device, with numbers from -bound to bound that `generator`, on the CPU, draws."""
    value.copy_(torch.empty(value.shape, dtype=torch.float32).uniform_(-bound, bound, generator=generator))
