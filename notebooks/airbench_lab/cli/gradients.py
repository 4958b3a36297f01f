"""The gradients of the networks that the scales use, on this machine's CPU, against float64.

`checked` does it in a process of its own, since a wrong kernel may end the process that calls it.
"""

import copy
import subprocess
import sys

import torch
import torch.nn.functional as F

from airbench_core.devices import DTYPES, Runtime
from airbench_core.fast.cpu import speed_up_
from airbench_core.learner import make_network
from airbench_core.published import AIRBENCH94, RESNET18
from airbench_core.recipes import Recipe
from airbench_core.scales import SCALES

IMAGES = {"airbench": 8, "resnet18": 2}  # so few that all takes seconds
# Errors, relative to the gradient's norm, that are rounding: of two nearly equal pixels it decides which one a pooling
# takes, and a single one that it turns moves a gradient by 0.01 to 0.03.
LARGEST = {torch.float32: 0.1, torch.bfloat16: 0.7}
NETWORKS = {  # each once: some scales have the same
    f"{name} of {scale.width:g} of the width": scale.recipe(recipe)
    for name, recipe in (("airbench94", AIRBENCH94), ("resnet18", RESNET18))
    for scale in SCALES.values()
}


def checked(runtime: Runtime) -> tuple[bool, str]:
    """Whether all gradients are right, and what to say of them."""
    dtype = str(runtime.dtype).removeprefix("torch.")
    command = [sys.executable, "-c", f"from {__name__} import main; main()", dtype, str(runtime.threads)]
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=120)
        said, ended = run.stdout, f"ended its process ({run.returncode})" if run.returncode else None
    except subprocess.TimeoutExpired as error:
        said, ended = error.stdout or "", "did not end within 120 s"
        said = said.decode() if isinstance(said, bytes) else said  # text on Windows alone
    errors, remedy = [float(line) for line in said.splitlines()], "use another --dtype, or another version of torch"
    for name, error in zip(NETWORKS, errors, strict=False):
        if not error <= LARGEST[runtime.dtype]:
            return False, f"those of {name} are off by {error:.2g} of their norm: {remedy}"
    if ended is not None:
        at = [*NETWORKS, "the last network"][len(errors)]
        return False, f"to compute those of {at} {ended}: {remedy}"
    rounding = f"of their norm; in {dtype} up to {LARGEST[runtime.dtype]:g} is rounding"
    return True, f"those of {len(errors)} networks differ from float64's by {max(errors):.2g} at most ({rounding})"


def largest_error(recipe: Recipe, dtype: torch.dtype) -> float:
    """The largest error of a gradient, relative to its norm, with the functions that a training uses."""
    network = make_network(recipe).to(memory_format=torch.channels_last).train()
    network.reset(torch.Generator().manual_seed(0))
    for module in network.modules():
        if hasattr(module, "relu"):
            module.relu = torch.nn.GELU()  # at ReLU's kink rounding would become large
    generator = torch.Generator().manual_seed(1)
    n = IMAGES[recipe.network]
    images, labels = torch.randn(n, 3, 32, 32, generator=generator), torch.randint(10, (n,), generator=generator)
    images = images.bfloat16().to(memory_format=torch.channels_last)  # numbers that all dtypes hold exactly
    exact = _gradients(copy.deepcopy(network).double(), images.double(), labels)
    speed_up_(network, dtype)
    pairs = zip(_gradients(network, images.to(dtype), labels), exact, strict=True)
    return max(((ours - true).norm() / true.norm()).nan_to_num(torch.inf).item() for ours, true in pairs)


def _gradients(network: torch.nn.Module, images: torch.Tensor, labels: torch.Tensor) -> list[torch.Tensor]:
    F.cross_entropy(network(images), labels, label_smoothing=0.2).backward()
    return [p.grad.double() for p in network.parameters() if p.requires_grad]


def main() -> None:
    torch.set_num_threads(int(sys.argv[2]))
    for recipe in NETWORKS.values():
        print(largest_error(recipe, DTYPES[sys.argv[1]]), flush=True)
