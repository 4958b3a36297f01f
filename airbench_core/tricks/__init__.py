"""The tricks, one file each: TRICKS lists them in the order of the lessons, `Parts` those that can be your own."""

import textwrap
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import nn

from airbench_core.errors import UsageError
from airbench_core.recipes import WHITENING_WIDTH
from airbench_core.tricks.bias_scale import parameter_groups
from airbench_core.tricks.flip import flip_mask
from airbench_core.tricks.identity_init import identity_init_
from airbench_core.tricks.lookahead import lookahead_update_
from airbench_core.tricks.muon import newton_schulz
from airbench_core.tricks.schedule import lr_factors
from airbench_core.tricks.tta import tta_views
from airbench_core.tricks.whitening import whitening_filters


class Trick(NamedTuple):
    file: str  # of this folder
    lesson: str  # of notebooks/
    field: str  # of `Recipe`, that switches it; compile is `Runtime`'s
    part: str | None  # of `Parts`; None: nothing in it can be replaced


TRICKS = (
    Trick("schedule", "01_baseline", "lr_peak_at", "lr_factors"),
    Trick("whitening", "02_whitening", "whiten", "whiten"),
    Trick("identity_init", "03_identity_init", "identity_init", "identity_init"),
    Trick("bias_scale", "04_bias_scale", "bias_scale", "parameter_groups"),
    Trick("lookahead", "05_lookahead", "lookahead", "lookahead"),
    Trick("tta", "06_multi_crop_tta", "tta", "tta_views"),
    Trick("flip", "07_alternating_flip", "flip", "flip"),
    Trick("compiled", "08_compile", "compile", None),
    Trick("proxy", "10_to_95_and_96", "proxy_keep", None),
    Trick("muon", "11_muon", "optimizer", "newton_schulz"),
)


@dataclass(frozen=True, kw_only=True)
class Parts:
    """The functions that the lessons teach, and a few more. Your own in place of one is what trains."""

    whiten: Callable = whitening_filters
    identity_init: Callable = identity_init_
    parameter_groups: Callable = parameter_groups
    flip: Callable = flip_mask
    lr_factors: Callable = lr_factors
    lookahead: Callable = lookahead_update_
    newton_schulz: Callable = newton_schulz
    tta_views: Callable = tta_views
    # Beyond the tricks; None: the recipe's. Called for a proxy, too.
    optimizer: Callable | None = None  # (network, recipe) -> one of torch's, or several; lr: at the peak
    network: Callable | None = None  # (recipe, classes) -> a module: images (B, 3, H, W) -> logits (B, classes)
    loss: Callable | None = None  # (logits, labels) -> the loss of each image (B,)
    augment: Callable | None = None  # (images, generator) -> images, after the recipe's flip, crop and cutout

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of those that are your own, sorted."""
        return tuple(sorted(f.name for f in fields(self) if getattr(self, f.name) is not f.default))

    def checked(self) -> "Parts":
        """These, but your own raise UsageError, with what was wanted and what came, where they give something else."""
        return replace(self, **{name: _checked(name, getattr(self, name)) for name in self.replaced})


def _checked(name: str, part: Callable) -> Callable:
    if not callable(part):
        raise UsageError(f"your own {name} must be a function, not {_in_words(part)}")

    @wraps(part, updated=())
    def checking(*arguments: Any) -> Any:
        result = part(*arguments)
        if name in GIVES:
            wanted, is_that = GIVES[name](*arguments)
            try:
                ok = is_that(result)
            except Exception:  # whatever it is, it is not what was wanted
                ok = False
            if not ok:
                raise UsageError(f"your own {name} must give {wanted}, not {_in_words(result)}")
        return result

    return checking


def _tensor(shape: Sequence[int], dtype: torch.dtype | None = None) -> tuple[str, Callable[[Any], bool]]:
    wanted = f"a{f' {dtype}' if dtype else ''} tensor {tuple(shape)}"
    is_kind = torch.is_floating_point if dtype is None else lambda x: x.dtype == dtype
    return wanted, lambda x: x.shape == torch.Size(shape) and is_kind(x)


def _are_views(result: Any, images: torch.Tensor) -> bool:
    views, weights = result
    ok = all(view.shape == images.shape and view.is_floating_point() for view in views)
    return ok and len(views) == len([weight + 0.0 for weight in weights]) > 0


def _are_optimizers(result: Any) -> bool:
    several = result if isinstance(result, list | tuple) else [result]
    return len(several) > 0 and all(isinstance(one, torch.optim.Optimizer) for one in several)


def _is_groups(groups: Any) -> bool:
    # Those in lists: an iterator can be unpacked only once.
    parameters = [p for group in groups if isinstance(group["params"], list) for p in group["params"]]
    ok = all(map(torch.is_tensor, parameters)) and len(set(map(id, parameters))) == len(parameters)
    return ok and len(groups) > 0 and all(float(group["lr"]) >= 0 for group in groups)


# What a part gives, of its arguments: in words, and how it is known. Not here: those that change what they are given.
GIVES: dict[str, Callable[..., tuple[str, Callable[[Any], bool]]]] = {
    "whiten": lambda images, eps: _tensor((WHITENING_WIDTH, 3, 2, 2)),
    "parameter_groups": lambda *_: ('a list of dicts, each with "params" and "lr", and no parameter twice', _is_groups),
    "flip": lambda flip, epoch, first, generator: _tensor(first.shape, torch.bool),
    "lr_factors": lambda recipe, steps: (
        f"a list of {steps} numbers, one a step",
        lambda factors: len([float(factor) for factor in factors]) == len(factors) == steps,
    ),
    "newton_schulz": lambda matrices, steps: _tensor(matrices.shape),
    "optimizer": lambda network, recipe: ("an optimizer of torch, or a list of them", _are_optimizers),
    "network": lambda recipe, classes: ("a torch.nn.Module", lambda network: isinstance(network, nn.Module)),
    "loss": lambda logits, labels: _tensor(labels.shape),
    "augment": lambda images, generator: _tensor(images.shape),
    "tta_views": lambda images, tta: (
        f"views, each a tensor {tuple(images.shape)}, and as many weights",
        lambda result: _are_views(result, images),
    ),
}


def _in_words(value: Any) -> str:
    """What a value is, with the sizes of tensors and lists, in a line."""
    if hasattr(value, "dtype") and hasattr(value, "shape"):  # numpy's too
        return f"a {value.dtype} {type(value).__name__.lower()} {tuple(value.shape)}"
    if isinstance(value, tuple | list):
        few = ", ".join(map(_in_words, value[:3])) + ", ..." * (len(value) > 3)
        return f"a {type(value).__name__} of {len(value)} ({few})"
    return textwrap.shorten(repr(value), 60) if isinstance(value, int | float | None) else f"a {type(value).__name__}"
