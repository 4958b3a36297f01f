"""airbench94 as one would first write it in PyTorch: the yardstick for `airbench_core`'s speed on a CPU.

The same network, optimizer, Lookahead and augmentation, from torch's own parts: nn layers under autocast, a
LambdaLR schedule, and each epoch's images made all at once by masked copies.

It is also a script of the public ones' kind, so that on a CPU ours can be measured beside it:

    python benchmarks/plain_port.py --scale laptop --threads 1
    python benchmarks/against.py benchmarks/plain_port.py airbench94 --scale laptop --threads 1 \\
        --script-args="--scale laptop --threads 1"

It prints their table, with seconds by the speedrun's rule: from normalization and whitening to the last view of the
test-time augmentation. CIFAR-10 is looked for in the folder `cifar10`, and downloaded into it if it is not there.
"""

import argparse
import math
import os
import time

import torch
import torch.nn.functional as F
import torchvision
from torch import Tensor, nn

from airbench_core.devices import DTYPES, Runtime
from airbench_core.published import AIRBENCH94
from airbench_core.scales import SCALES


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


def autocast(dtype: torch.dtype) -> torch.autocast:
    return torch.autocast("cpu", dtype=dtype, enabled=dtype is not torch.float32)


def train(
    images: Tensor,
    labels: Tensor,
    *,
    widths: tuple[int, int, int],
    batch_size: int,
    epochs: float,
    dtype: torch.dtype,
    lr: float = 11.5,
    whiten_bias_epochs: float = 3,
) -> nn.Sequential:
    """Train on normalized float32 images (N, 3, 32, 32); activations are computed in `dtype`."""
    network = make_network(widths)
    whiten(network[0], images[:5000])
    padded = F.pad(images.to(dtype), (2,) * 4, mode="reflect").contiguous(memory_format=torch.channels_last)
    flipped = torch.rand(len(images)) < 0.5
    steps_per_epoch = len(images) // batch_size
    steps = math.ceil(epochs * steps_per_epoch)
    freeze = math.ceil(whiten_bias_epochs * steps_per_epoch)

    k = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = lr / k, 0.0153 * batch_size / k
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
        for which in order.split(batch_size)[: min(steps_per_epoch, steps - step)]:
            network[0].bias.requires_grad_(step < freeze)
            with autocast(dtype):
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


def infer(network: nn.Module, images: Tensor, dtype: torch.dtype) -> Tensor:
    """Logits (N, 10) of normalized `images`: mirrored and shifted views averaged, as airbench94 does."""

    def mirrored(x: Tensor) -> Tensor:
        return (network(x) + network(x.flip(-1))).float() / 2

    def all_views(x: Tensor) -> Tensor:
        padded = F.pad(x, (1,) * 4, mode="reflect")
        shifted = mirrored(padded[..., :-2, :-2]) + mirrored(padded[..., 2:, 2:])
        return mirrored(x) / 2 + shifted / 4

    network.eval()
    with torch.no_grad(), autocast(dtype):
        return torch.cat([all_views(some) for some in images.split(2000)])


class CifarLoader:
    """The images (N, 3, 32, 32), float32 in 0..1, and labels (N,) of one half of the data in the folder `path`."""

    def __init__(self, path: str, train: bool):
        cache = os.path.join(path, "train.pt" if train else "test.pt")  # as the public scripts make it
        if os.path.exists(cache):
            saved = torch.load(cache)
            images, self.labels = saved["images"], saved["labels"]
        else:
            split = torchvision.datasets.CIFAR10(path, train=train, download=True)
            images, self.labels = torch.from_numpy(split.data), torch.tensor(split.targets)
        self.images = images.permute(0, 3, 1, 2).float() / 255


def print_row(*cells: object) -> None:
    print("| " + " | ".join(f"{cell:>12}" for cell in cells) + " |", flush=True)


def main(run: int | str, args: argparse.Namespace) -> float:
    """One run at args.scale, of ten steps on labels without meaning if it is the warm-up; gives its accuracy."""
    scale = SCALES[args.scale]
    recipe = scale.recipe(AIRBENCH94)
    train_loader, test_loader = CifarLoader("cifar10", train=True), CifarLoader("cifar10", train=False)
    images, labels = train_loader.images[: scale.train_images], train_loader.labels[: scale.train_images]
    test_images, test_labels = test_loader.images[: scale.test_images], test_loader.labels[: scale.test_images]
    epochs = recipe.epochs
    if run == "warmup":
        labels = labels[torch.randperm(len(labels))]
        epochs = 10 / (len(images) // recipe.batch_size)

    started = time.perf_counter()
    normalize = torchvision.transforms.Normalize((0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616))
    network = train(
        normalize(images),
        labels,
        widths=recipe.widths,
        batch_size=recipe.batch_size,
        epochs=epochs,
        dtype=args.dtype,
        lr=recipe.lr,
        whiten_bias_epochs=recipe.whiten_bias_epochs,
    )
    logits = infer(network, normalize(test_images), args.dtype)
    seconds = time.perf_counter() - started

    accuracy = (logits.argmax(1) == test_labels).float().mean().item()
    print_row(run, "eval", f"{accuracy:.4f}", f"{seconds:.4f}")
    return accuracy


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", default="full", choices=SCALES)
    parser.add_argument("--dtype", default="auto", choices=["auto", *DTYPES])
    parser.add_argument("--threads", type=int, help="default: all cores but one")
    args = parser.parse_args()
    runtime = Runtime.detect("cpu", dtype=args.dtype, threads=args.threads)
    torch.set_num_threads(runtime.threads)
    args.dtype = runtime.dtype
    return args


if __name__ == "__main__":
    options = arguments()
    print_row("run", "epoch", "tta_val_acc", "time_seconds")
    main("warmup", options)
    accuracies = torch.tensor([main(run, options) for run in range(5)])
    print(f"Mean: {accuracies.mean():.4f}")
