"""Trains ResNet-18 on a folder of images with no, random or alternating flip, as in the ImageNet study of airbench.

The settings are those of the study's public code (github.com/KellerJordan/cifar10-zoo, folder altflip; paper:
Jordan, arXiv:2404.00498): batch 1024, SGD with momentum 0.9, learning rate 0.5 reached after 2 epochs and back to 0 at
the end, weight decay 5e-5 but none on BatchNorm, label smoothing 0.1, training images of 160 and then 192 pixels,
test images of 256 pixels whose logits are averaged with those of their mirror image.

Left out, so expect other accuracies and speeds: FFCV, which packs the images into one file and crops them as it decodes
(here torchvision reads the files as they are); blur pooling, which it puts before the strided convolutions; and its
training of four networks at once on the same batches. This project has not run it on ImageNet itself yet.

ImageNet (a folder with train/ and val/, in each a folder per class) in 16 epochs, alternating against random flip; for
more runs, both with --seed 1, 2 and so on:

  python examples/imagefolder_alternating_flip.py imagenet --epochs 16 --flip alternating --seed 0 --out imagenet.jsonl
  python examples/imagefolder_alternating_flip.py imagenet --epochs 16 --flip random --seed 0 --out imagenet.jsonl
"""

import argparse
import json
import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from airbench_lab.cli import Parser
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.datasets.folder import default_loader
from torchvision.models import resnet18
from torchvision.transforms import v2

from airbench_core import AirbenchError, AlternatingFlip, DataError, Diverged, Runtime, UsageError
from airbench_core.devices import available_cores

CROP_AREA = {"light": (0.35, 1.0), "heavy": (0.08, 1.0)}
NORMALIZE = v2.Compose(
    [v2.ToDtype(torch.float32, scale=True), v2.Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])]
)


def train(args: argparse.Namespace) -> None:
    """Train as asked, with a line on stdout and one of JSON in `args.out` after each epoch; accuracies in 0..1."""
    runtime = Runtime.detect(args.device)
    device = runtime.device
    torch.manual_seed(args.seed)
    torch.backends.cudnn.benchmark = True

    folder, test_folder = image_folders(args)
    data = AlternatingFlip(folder, args.seed) if args.flip == "alternating" else folder
    load = partial(DataLoader, batch_size=args.batch_size, num_workers=args.workers, worker_init_fn=ignore_ctrl_c)
    load = partial(load, pin_memory=device.type == "cuda")
    loader, test_loader = load(data, shuffle=True, drop_last=True), load(test_folder)

    model = resnet18(num_classes=len(folder.classes)).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(parameter_groups(model, args.weight_decay), momentum=args.momentum)
    scaler = torch.amp.GradScaler(device.type, enabled=device.type == "cuda")
    settings = {**vars(args), "device": runtime.device_name, "torch": torch.__version__, "images": len(folder)}
    append(args.out, "")  # if it cannot be written, better to hear of it now

    # The study's ramp from 160 to 192 pixels, in multiples of 32, is a single step: in epoch 12 of 16, in 71 of 88.
    grow_at = 71 if args.epochs == 88 else 3 * args.epochs // 4
    for epoch in range(args.epochs):
        started = time.perf_counter()
        size = args.size[epoch >= grow_at]
        folder.transform = augmentation(size, args)  # the workers see it: they start afresh in every epoch
        if args.flip == "alternating":
            data.set_epoch(epoch)
        rates = [learning_rate(epoch + step / len(loader), args) for step in range(len(loader))]
        loss = train_epoch(model, batches(loader, device), optimizer, scaler, rates, args.label_smoothing)
        seconds = time.perf_counter() - started
        if not math.isfinite(loss):
            raise Diverged(f"the training loss of epoch {epoch + 1} is {loss}: try a smaller --lr than {args.lr}")
        top1, top5 = evaluate(model, batches(test_loader, device))
        result = {"epoch": epoch + 1, "pixels": size, "train_loss": loss, "top1": top1, "top5": top5}
        append(args.out, json.dumps({**settings, **result, "seconds": seconds}, default=str) + "\n")
        scores = f"loss {loss:.4f}, top-1 {top1:.2%}, top-5 {top5:.2%}"
        print(f"epoch {epoch + 1} of {args.epochs}: {size} pixels, {scores}, trained in {seconds:.0f} s", flush=True)


def append(path: Path, text: str) -> None:
    try:
        with path.open("a") as file:
            file.write(text)
    except OSError as error:
        raise AirbenchError(f"cannot write {path}: {error.strerror}; choose another --out") from error


def train_epoch(model, batches, optimizer, scaler, rates: list[float], label_smoothing: float) -> float:
    """One step for each of `batches` at its learning rate; gives the mean loss."""
    model.train()
    losses = []
    for rate, (images, labels) in zip(rates, batches, strict=True):
        for group in optimizer.param_groups:
            group["lr"] = rate
        with torch.autocast(images.device.type, torch.float16, enabled=images.is_cuda):
            loss = F.cross_entropy(model(images), labels, label_smoothing=label_smoothing)
        optimizer.zero_grad()
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        losses.append(loss.detach())
    return torch.stack(losses).mean().item()


@torch.inference_mode()
def evaluate(model: nn.Module, batches: Iterator[tuple[Tensor, Tensor]]) -> list[float]:
    """Top-1 and top-5 accuracy by the sum of the logits of each image and its mirror image."""
    model.eval()
    hits, n = 0, 0
    for images, labels in batches:
        with torch.autocast(images.device.type, torch.float16, enabled=images.is_cuda):
            logits = model(images) + model(images.flip(-1))
        best = logits.topk(min(5, logits.shape[1])).indices == labels[:, None]
        hits += torch.stack([best[:, 0].sum(), best.sum()])
        n += len(labels)
    return (hits / n).tolist()


def batches(loader: DataLoader, device: torch.device) -> Iterator[tuple[Tensor, Tensor]]:
    """The loader's batches on `device`: images normalized, in channels-last memory. Ctrl-C ends them."""
    stop = threading.Event()

    def asked(*_: object) -> None:
        stop.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a second Ctrl-C does not wait

    # Raised anywhere, KeyboardInterrupt can get lost: in the hooks of a fork, say, Python only reports exceptions.
    before = signal.signal(signal.SIGINT, asked)
    try:
        for images, labels in loader:
            images = NORMALIZE(images.to(device, non_blocking=True))
            yield images.contiguous(memory_format=torch.channels_last), labels.to(device, non_blocking=True)
            if stop.is_set():
                break
    finally:
        signal.signal(signal.SIGINT, before)
    if stop.is_set():
        raise KeyboardInterrupt


def learning_rate(at: float, args: argparse.Namespace) -> float:
    """The rate after `at` epochs: in a line up to --lr within 2 epochs (or half of all), then in a line down to 0."""
    peak = min(2, args.epochs / 2)
    return args.lr * (1e-4 + (1 - 1e-4) * at / peak if at < peak else (args.epochs - at) / (args.epochs - peak))


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict]:
    """All parameters, those of BatchNorm without weight decay."""
    decayed, norms = [], []
    for module in model.modules():
        (norms if isinstance(module, nn.BatchNorm2d) else decayed).extend(module.parameters(recurse=False))
    return [{"params": decayed, "weight_decay": weight_decay}, {"params": norms, "weight_decay": 0.0}]


def augmentation(size: int, args: argparse.Namespace) -> v2.Transform:
    """A random part of the image resized to (3, size, size), uint8; the alternating flip comes after it."""
    flip = [v2.RandomHorizontalFlip()] if args.flip == "random" else []
    return v2.Compose([v2.RandomResizedCrop(size, scale=CROP_AREA[args.crop]), *flip, v2.PILToTensor()])


def image_folders(args: argparse.Namespace) -> tuple[ImageFolder, ImageFolder]:
    """The training and the test images; an error names the folder that cannot be used."""
    whole = round(args.test_size / 0.875)  # the test image is the middle of a slightly larger one
    middle = v2.Compose([v2.Resize(whole), v2.CenterCrop(args.test_size), v2.PILToTensor()])
    folders = []
    for path in (args.folder / "train", args.folder / "val"):
        if not path.is_dir():
            raise DataError(f"there is no folder {path}: give one with train/ and val/, in each a folder per class")
        try:
            folders.append(ImageFolder(path, middle, loader=read_image))
        except FileNotFoundError as error:  # torchvision's word for a folder without classes, a class without images
            raise DataError(f"{path} is not made of one folder of images per class: {error}") from error
    train, test = folders
    if differing := sorted({*train.classes} ^ {*test.classes}):
        raise DataError(f"{train.root} and {test.root} must have the same classes, but {differing[0]} is in one only")
    if len(train.classes) < 2:
        raise DataError(f"{train.root} has one class only, {train.classes[0]}: two are needed to tell apart")
    if len(train) < args.batch_size:
        raise UsageError(f"{train.root} has {len(train)} images, no batch of {args.batch_size}: lower --batch-size")
    return train, test


def read_image(path: str) -> Image.Image:
    """The image at `path` in red, green and blue; DataError with its name if it cannot be read."""
    try:
        return default_loader(path)
    except Exception as error:  # PIL raises OSError, SyntaxError, ValueError and more
        raise DataError(f"cannot read the image {path} ({type(error).__name__}): mend or remove it") from error


def ignore_ctrl_c(worker: int) -> None:
    """Ctrl-C reaches all processes of a terminal; the main one ends the workers, without a traceback from each."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def parse(argv: list[str] | None) -> argparse.Namespace:
    parser = Parser(epilog=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)

    def option(name: str, default: object, help: str, **how: object) -> None:
        parser.add_argument(
            name, default=default, help=f"{help} (default %(default)s)", **{"type": type(default)} | how
        )

    parser.add_argument("folder", type=Path, help="holds train/ and val/, and in each a folder of images per class")
    option("--flip", "alternating", "of the training images", choices=["none", "random", "alternating"])
    crop = "part of the image's area in a random crop: light 0.35 to 1, heavy 0.08 to 1 (the values used here)"
    option("--crop", "heavy", crop, choices=CROP_AREA)
    option("--epochs", 16, "the study's are 16 and 88")
    option("--batch-size", 1024, "images in a step; an incomplete batch is dropped")
    option("--lr", 0.5, "highest learning rate")
    option("--momentum", 0.9, "of SGD")
    option("--weight-decay", 5e-5, "of all parameters but BatchNorm's")
    option("--label-smoothing", 0.1, "of the training loss")
    pixels = "of training images, in the first three quarters of the epochs (of 88: in 71) and in the rest"
    option("--size", [160, 192], pixels, type=int, nargs=2, metavar=("FIRST", "LAST"))
    option("--test-size", 256, "pixels of test images")
    option("--workers", available_cores(), "processes that read images")
    option("--seed", 0, "of weights, order, crops and flips")
    option("--device", "auto", "auto, cpu, cuda, cuda:N or mps; CUDA computes in float16")
    option("--out", Path("imagefolder.jsonl"), "where a line of JSON is appended after each epoch")
    args = parser.parse_args(argv)
    least = {"epochs": 1, "batch_size": 2, "lr": 0, "momentum": 0, "weight_decay": 0, "test_size": 1, "workers": 0}
    limits = {name: (low, 10**6) for name, low in {**least, "size": 1}.items()}
    for name, (low, high) in {**limits, "label_smoothing": (0, 1), "seed": (0, 2**63 - 1)}.items():
        for value in args.size if name == "size" else [getattr(args, name)]:
            if not low <= value <= high:
                raise UsageError(f"--{name.replace('_', '-')} {value} is not legal: {low} to {high}")
    return args


def main(argv: list[str] | None = None) -> int:
    """Gives the exit status: 0, 1 (it failed), 2 (it was asked for wrongly), 130 (Ctrl-C); an error is one line."""
    try:
        train(parse(argv))
        return 0
    except KeyboardInterrupt:
        message, status = "stopped", 130
    except AirbenchError as error:
        # One that a worker raised has the worker's traceback before it.
        message = (
            "".join(error.args).strip().splitlines()[-1].removeprefix(f"{DataError.__module__}.{DataError.__name__}: ")
        )
        message, status = f"error: {message}", error.exit_status
    except torch.OutOfMemoryError:
        message, status = "error: out of memory: try a smaller --batch-size (and --lr in proportion) or --size", 1
    except OSError as error:
        message, status = f"error: {error}", 1
    print(f"{Path(__file__).stem}: {message}", file=sys.stderr)
    return status


if __name__ == "__main__":
    sys.exit(main())
