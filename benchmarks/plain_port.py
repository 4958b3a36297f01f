"""airbench94 as one would first write it in PyTorch: the yardstick for `airbench_core`'s speed on a CPU.

The same network, optimizer, Lookahead and augmentation, from torch's own parts: nn layers under autocast, a
LambdaLR schedule, and each epoch's images made all at once by masked copies.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def conv_group(width_in: int, width_out: int) -> list[nn.Module]:
    def norm() -> nn.BatchNorm2d:
        layer = nn.BatchNorm2d(width_out, eps=1e-12, momentum=0.4)
        layer.weight.requires_grad_(False)
        return layer

    first = nn.Conv2d(width_in, width_out, 3, padding="same", bias=False)
    second = nn.Conv2d(width_out, width_out, 3, padding="same", bias=False)
    return [first, nn.MaxPool2d(2), norm(), nn.GELU(), second, norm(), nn.GELU()]


class Scaled(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x / 9


def make_network(widths: tuple[int, int, int]) -> nn.Sequential:
    a, b, c = widths
    network = nn.Sequential(
        nn.Conv2d(3, 24, 2),
        nn.GELU(),
        *conv_group(24, a),
        *conv_group(a, b),
        *conv_group(b, c),
        nn.MaxPool2d(3),
        nn.Flatten(),
        nn.Linear(c, 10, bias=False),
        Scaled(),
    )
    for layer in network[1:]:
        if isinstance(layer, nn.Conv2d):
            nn.init.dirac_(layer.weight.data[: min(layer.weight.shape[:2])])
    network[0].weight.requires_grad_(False)
    network[0].bias.data.zero_()
    return network.to(memory_format=torch.channels_last)


def whiten(layer: nn.Conv2d, images: Tensor) -> None:
    patches = F.unfold(images, 2).transpose(1, 2).reshape(-1, 12)
    eigenvalues, eigenvectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (eigenvectors / torch.sqrt(eigenvalues + 5e-4)).T.reshape(12, 3, 2, 2)
    layer.weight.data.copy_(torch.cat([filters, -filters]))


def augmented(padded: Tensor, flipped: Tensor, size: int = 32) -> Tensor:
    """Each of `padded` (N, 3, S, S) shifted at random, and mirrored where `flipped` (N,)."""
    span = padded.shape[-1] - size + 1
    shifts = torch.randint(span, (len(padded), 2))
    images = torch.empty(len(padded), 3, size, size, dtype=padded.dtype).to(memory_format=torch.channels_last)
    for row in range(span):
        for column in range(span):
            mask = (shifts[:, 0] == row) & (shifts[:, 1] == column)
            images[mask] = padded[mask, :, row : row + size, column : column + size]
    images[flipped] = images[flipped].flip(-1)
    return images


def train(
    images: Tensor, labels: Tensor, *, widths: tuple[int, int, int], batch_size: int, epochs: float, dtype: torch.dtype
) -> nn.Sequential:
    """Train on normalized float32 images (N, 3, 32, 32); activations are computed in `dtype`."""
    network = make_network(widths)
    whiten(network[0], images[:5000])
    padded = F.pad(images.to(dtype), (2,) * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
    flipped = torch.rand(len(images)) < 0.5
    steps_per_epoch = len(images) // batch_size
    steps = -int(-epochs * steps_per_epoch // 1)

    k = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = 11.5 / k, 0.0153 * batch_size / k
    norms = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    others = [p for m in network.modules() if not isinstance(m, nn.BatchNorm2d) for p in m.parameters(recurse=False)]
    groups = [
        {"params": norms, "lr": lr * 64, "weight_decay": decay / (lr * 64)},
        {"params": [p for p in others if p.requires_grad], "lr": lr, "weight_decay": decay / lr},
    ]
    optimizer = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    peak = int(0.23 * steps)

    def triangle(step: int) -> float:
        return 0.2 + 0.8 * step / peak if step < peak else 1 - 0.93 * (step - peak) / (steps - peak)

    scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, triangle)
    slow = {name: value.clone() for name, value in network.state_dict().items() if value.is_floating_point()}

    def lookahead(decay: float) -> None:
        for name, value in network.state_dict().items():
            if name in slow:
                slow[name].lerp_(value, 1 - decay)
                value.copy_(slow[name])

    step, epoch = 0, 0
    while step < steps:
        some = augmented(padded, flipped ^ bool(epoch % 2))
        order = torch.randperm(len(images))
        network[0].bias.requires_grad_(epoch < 3)
        for which in order.split(batch_size)[: min(steps_per_epoch, steps - step)]:
            with torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32):
                logits = network(some[which])
                loss = F.cross_entropy(logits.float(), labels[which], label_smoothing=0.2, reduction="sum")
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            scheduler.step()
            step += 1
            if step % 5 == 0:
                lookahead(0.95**5 * (step / steps) ** 3)
        epoch += 1
    lookahead(1.0)
    return network
