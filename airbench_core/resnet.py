"""ResNet-18 for 32 x 32 images, the reference that the speedruns are measured against.

torchvision's network with a 3x3 stem of stride 1 and without the max-pool.
"""

import math
from contextlib import nullcontext
from functools import partial
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.resnet import BasicBlock, conv3x3

from airbench_core.network import draw_uniform_
from airbench_core.recipes import Recipe

# Of smaller images the last strided convolution sees one pixel, and with AVX-512 in bfloat16 the gradient of its filter
# is wrong on a CPU (benchmarks/README.md).
SMALLEST = 5


class ShortCut(nn.Conv2d):
    """A 1x1 convolution of stride 1 or 2, the latter on every second pixel of every second row.

    oneDNN's own gradients at stride 2 write beyond their memory, in channels-last float32: with AVX2 from 1 to 7 input
    channels, with AVX-512 from 8 to 15 and sides of 46 and 48 (its issue 6035 is alike; benchmarks/convolutions.py).
    """

    def __init__(self, width_in: int, width_out: int, stride: int):
        super().__init__(width_in, width_out, 1, bias=False)
        self.step = stride

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x[:, :, :: self.step, :: self.step], self.weight)


class ResNet18(nn.Module):
    """Normalized images (N, 3, S, S) -> float32 logits (N, classes). Maps of S, S/2, S/4, S/8 and 1 pixels."""

    def __init__(self, recipe: Recipe, classes: int = 10):
        super().__init__()
        widths = recipe.widths
        norm = partial(nn.BatchNorm2d, momentum=1 - recipe.batchnorm_momentum)

        def stage(width_in: int, width_out: int, stride: int) -> nn.Sequential:
            short_cut = None
            if stride != 1 or width_in != width_out:
                short_cut = nn.Sequential(ShortCut(width_in, width_out, stride), norm(width_out))
            first = BasicBlock(width_in, width_out, stride, short_cut, norm_layer=norm)
            return nn.Sequential(first, BasicBlock(width_out, width_out, norm_layer=norm))

        self.stem = nn.Sequential(conv3x3(3, widths[0]), norm(widths[0]), nn.ReLU())
        self.stages = nn.Sequential(stage(widths[0], widths[0], 1), *(stage(a, b, 2) for a, b in pairwise(widths)))
        self.head = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> Tensor:
        # torchvision's layers want one dtype: their weights stay float32, and autocast lowers the precision.
        with torch.autocast(images.device.type, images.dtype) if images.dtype.itemsize < 4 else nullcontext():
            x = self.stages(self.stem(images))
            return self.head(x.mean((2, 3))).float()

    @torch.no_grad()
    def reset(self, generator: torch.Generator) -> None:
        """Draw all weights anew as torchvision would, from `generator` (on the CPU) alone."""
        for module in self.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.reset_parameters()
            elif isinstance(module, nn.Conv2d):
                drawn = torch.empty(module.weight.shape, dtype=torch.float32)
                nn.init.kaiming_normal_(drawn, mode="fan_out", nonlinearity="relu", generator=generator)
                module.weight.copy_(drawn)
            elif isinstance(module, nn.Linear):
                bound = 1 / math.sqrt(module.in_features)
                for value in (module.weight, module.bias):
                    draw_uniform_(value, bound, generator)
