"""Whether our recipes compute what the public scripts compute: both take the same steps from the same weights.

The scripts are not part of this repository: clone github.com/KellerJordan/cifar10-airbench into .reference/ (which git
ignores) or anywhere else, and name the folder:

python benchmarks/same_as_public.py .reference/cifar10-airbench

Runs on a CPU in float32 within two minutes: what a script sends to a GPU stays where it is, and compiles nothing.
"""

import argparse
import types
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import torch
import torch.nn.functional as F
from airbench_lab.speed import random_dataset
from torch import Tensor, nn

from airbench_core import AIRBENCH94_MUON, AIRBENCH96, AIRBENCH96_FASTER, Recipe, Runtime, Trainer
from airbench_core.fast.cpu import plain_

FLOAT32 = Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1)
DATA = random_dataset(4096, 100)
STEPS = 6
options = argparse.Namespace(plain=False)


def definitions(script: Path) -> Any:
    """What a public script defines, without its main part."""
    code = script.read_text().split("if __name__ ==")[0]
    module = types.ModuleType(script.stem)
    with mock.patch("sys.argv", [str(script)]):
        exec(compile(code, script, "exec"), module.__dict__)
    return module


@contextmanager
def on_the_cpu() -> Iterator[None]:
    def stay(self: Any, *_: object, **__: object) -> Any:
        return self

    def plain(function: Any = None, **_: object) -> Any:
        return function or plain

    with (
        mock.patch.multiple(nn.Module, half=nn.Module.float, cuda=stay),
        mock.patch.object(Tensor, "cuda", stay),
        mock.patch.object(torch, "compile", plain),
    ):
        yield


def layers(network: nn.Module) -> list[nn.Module]:
    """Convolutions, then BatchNorms, then the head: the same order in both, whatever their names."""
    kinds = (nn.Conv2d, nn.BatchNorm2d, nn.Linear)
    return [module for kind in kinds for module in network.modules() if isinstance(module, kind)]


@torch.no_grad()
def give_weights(ours: nn.Module, theirs: nn.Module) -> None:
    for a, b in zip(layers(ours), layers(theirs), strict=True):
        b.load_state_dict(a.state_dict())


def difference(ours: nn.Module, theirs: nn.Module) -> float:
    """The largest relative difference of a tensor of the two networks' states."""
    states = [(a.state_dict(), b.state_dict()) for a, b in zip(layers(ours), layers(theirs), strict=True)]
    pairs = [(a[name].float(), b[name].float()) for a, b in states for name in a if a[name].any() or b[name].any()]
    return max(((a - b).norm() / b.norm()).item() for a, b in pairs)


def start(recipe: Recipe) -> tuple[Trainer, Iterator, Iterator[tuple[int, Tensor, Tensor]]]:
    """A trainer, its training before the first step, and what it sees in each: step, images, labels."""
    ours = Trainer(recipe, DATA, runtime=FLOAT32)
    for learner in ours.learners:
        if options.plain:
            plain_(learner.network)
    training = ours.step_through(seed=0)
    next(training)
    augmentation, batches = ours.batches(seed=0)
    seen = (
        (step, augmentation.batch(rows), DATA.train_labels[rows[:, 0]])
        for step, rows in zip(range(STEPS), batches, strict=False)
    )
    return ours, training, seen


def airbench96(public: Any) -> float:
    recipe = replace(AIRBENCH96, batch_size=128, epochs=2, whiten_bias_epochs=0.1)
    (ours, training, seen), theirs = start(recipe), public.make_net().float()
    give_weights(ours.network, theirs)
    k = 1024 * (1 + 1 / (1 - 0.85))
    lr, decay = 9 / k, 0.012 * 128 / k
    named = list(theirs.named_parameters())
    groups = [
        {"params": [p for name, p in named if ("norm" in name) == norms and p.requires_grad], "lr": rate}
        for norms, rate in ((True, 64 * lr), (False, lr))
    ]
    groups = [group | {"weight_decay": decay / group["lr"], "peak": group["lr"]} for group in groups]
    sgd = torch.optim.SGD(groups, momentum=0.85, nesterov=True)
    slow, warm = public.LookaheadState(theirs), int(0.1 * ours.steps)
    for step, images, labels in seen:
        next(training)
        theirs[0].bias.requires_grad_(step < ours.learner.freeze_step)
        for group in sgd.param_groups:
            rise = 0.2 + 0.8 * step / warm if step < warm else (ours.steps - step) / (ours.steps - warm)
            group["lr"] = group["peak"] * rise
        sgd.zero_grad()
        F.cross_entropy(theirs(images), labels, label_smoothing=0.2, reduction="sum").backward()
        sgd.step()
        if (step + 1) % 5 == 0:
            slow.update(theirs, decay=0.95**5 * ((step + 1) / ours.steps) ** 3)
    return difference(ours.network, theirs)


def airbench94_muon(public: Any) -> float:
    recipe = replace(AIRBENCH94_MUON, batch_size=200)
    (ours, training, seen), theirs = start(recipe), public.CifarNet().float()
    theirs.reset()
    give_weights(ours.network, theirs)
    named = [(name, p) for name, p in theirs.named_parameters() if p.requires_grad]
    rates = {"bias": 0.053, "head": 0.67}
    sets = [
        ("bias", [theirs.whiten.bias]),
        ("bias", [p for name, p in named if "norm" in name]),
        ("head", [theirs.head.weight]),
    ]
    decay = 2e-6 * 200
    sgd = torch.optim.SGD(
        [{"params": ps, "lr": rates[of], "peak": rates[of], "weight_decay": decay / rates[of]} for of, ps in sets],
        momentum=0.85,
        nesterov=True,
    )
    muon = public.Muon([p for _, p in named if p.ndim == 4], lr=0.24, momentum=0.6, nesterov=True)
    muon.param_groups[0]["peak"] = 0.24
    for step, images, labels in seen:
        next(training)
        logits = theirs(images, whiten_bias_grad=step < ours.learner.freeze_step)
        F.cross_entropy(logits, labels, label_smoothing=0.2, reduction="sum").backward()
        for group in (*sgd.param_groups, *muon.param_groups):
            group["lr"] = group["peak"] * (1 - step / ours.steps)
        sgd.param_groups[0]["lr"] = 0.053 * (1 - step / ours.learner.freeze_step)
        sgd.step(), muon.step()
        theirs.zero_grad()
        if step == 1:  # later the differences of rounding grow, as they do between any two runs
            return difference(ours.network, theirs)
    raise AssertionError


def airbench96_faster(public: Any) -> float:
    """The share of batches for which the two proxies keep the same images, and the difference of the proxies."""
    recipe = replace(
        AIRBENCH96_FASTER, batch_size=256, proxy_keep=128, epochs=1.5, widths=(8, 8, 8), translate=0, cutout=0
    )
    ours, _, _ = start(recipe)
    augmentation, plan = ours.batches(seed=0)
    rows = [next(plan) for _ in range(ours.steps)]
    seen = [(some[:, 0], augmentation.batch(some), DATA.train_labels[some[:, 0]]) for some in rows]

    class Loader:
        images = DATA.train_images

        def __init__(self, *_: object, **__: object):
            pass

        def normalize(self, images: Tensor) -> Tensor:
            return images

        def __iter__(self) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
            return iter(seen)

    hyp = public.hyp
    hyp["opt"] |= {"batch_size": 256, "batch_size_masked": 128, "train_epochs": 1.5}
    theirs = public.make_net(hyp["proxy"]).float()
    theirs[0].bias.requires_grad_(False)
    theirs.__dict__["_orig_mod"] = theirs  # where a compiled network keeps the plain one
    public.InfiniteCifarLoader = Loader
    public.reinit_net = lambda network: give_weights(ours.proxy.learner.network, network)
    public.init_whitening_conv = lambda *_: None  # given with the weights
    masks = public.train_proxy(hyp, theirs, 0)
    kept = ours.proxy.hardest(iter(rows), augmentation)
    for mask, some, chosen in zip(masks, rows, kept, strict=True):
        assert torch.equal(mask, torch.isin(some[:, 0], chosen[:, 0])), "the proxies keep different images"
    return difference(ours.proxy.learner.network, theirs)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="a clone of github.com/KellerJordan/cifar10-airbench")
    parser.add_argument("--plain", action="store_true", help="through PyTorch's own functions, without our fast ones")
    parser.parse_args(namespace=options)
    folder = options.folder
    torch.set_num_threads(1)
    with on_the_cpu():
        worst = airbench96(definitions(folder / "legacy" / "airbench96.py"))
        print(f"airbench96, {STEPS} steps: largest relative difference of a tensor {worst:.1e}")
        worst = airbench96_faster(definitions(folder / "airbench96_faster.py"))
        print(f"airbench96_faster, proxy, 24 steps: the same images kept; largest relative difference {worst:.1e}")
        script = definitions(folder / "airbench94_muon.py")
        worst = airbench94_muon(script)
        print(f"airbench94_muon, 2 steps: largest relative difference of a tensor {worst:.1e}")
        with mock.patch.object(Tensor, "bfloat16", Tensor.float):
            worst = airbench94_muon(script)
        print(f"airbench94_muon, 2 steps, Newton-Schulz in float32: {worst:.1e}")


if __name__ == "__main__":
    main()
