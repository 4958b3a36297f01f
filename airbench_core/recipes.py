"""A recipe is a value: one frozen `Recipe` states a whole training, and every trick is one of its fields.

    replace(AIRBENCH94, flip="random")        # airbench94 with one trick changed

The defaults are airbench94's (Jordan, arXiv:2404.00498), so what differs from them (`Recipe.changes`) is short, and
stays the same when a field is added later. The published recipes: published.py.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Any

from airbench_core.errors import UsageError
from airbench_core.fields import channels, checked, choice, number, shown, switch

WHITENING_WIDTH = 24  # filters of the first layer: 12 eigenvectors of 2x2x3 patches, and the same 12 negated
# Weights of: the image; its mirror; the copies moved by (-1, -1) and (+1, +1); the mirrors of these two.
TTA_WEIGHTS = {
    "none": (1.0,),
    "mirror": (0.5, 0.5),
    "mirror+translate": (0.25, 0.25, 0.125, 0.125, 0.125, 0.125),
}


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is computed in one training (how it is computed: `devices.Runtime`).

    Raises `UsageError` for a value outside a field's legal range and for mixes that exclude each other.
    In which units `lr` and `weight_decay` are stated follows from `optimizer` (see optimizers.py).
    """

    # The network
    network: str = choice("airbench", "airbench", "resnet18", doc="three groups of convolutions, or the reference")
    widths: tuple[int, ...] = channels(64, 256, 256, doc="channels of the three groups (of resnet18's four stages)")
    depth: int = number(2, 2, 8, "convolutions in each group")
    residual: bool = switch(False, "a group's first activation is added back before its last one")
    whiten: bool = switch(True, "first layer: frozen patch-whitening filters instead of trained ones")
    whiten_eps: float = number(5e-4, 1e-12, 1000, "added to the patch covariance's eigenvalues")
    whiten_bias_epochs: float | None = number(3.0, 0, 10_000, "epochs until its bias is frozen; none: never")
    whiten_bias_zero: bool = switch(True, "the whitening layer's bias starts at 0; false: drawn as by PyTorch")
    first_norm: bool = switch(False, "trained first layer: BatchNorm instead of a bias")
    identity_init: bool = switch(True, "3x3 convolutions start by passing their input on (Dirac filters)")
    unit_head: bool = switch(False, "head starts with unit deviation, logits over its width (else over 9)")
    batchnorm_momentum: float = number(0.6, 0, 0.9999, "share of the old running average kept (1 minus PyTorch's)")

    # Data and augmentation
    flip: str = choice("alternating", "none", "random", "alternating", doc="horizontal flips")
    translate: int = number(2, 0, 16, "largest shift in pixels, reflect padding")
    cutout: int = number(0, 0, 31, "side of the square set to 0, in pixels")
    reshuffle: bool = switch(True, "a new order of the images in each epoch")
    cross_epochs: bool = switch(False, "a last incomplete batch is filled from the next epoch; false: dropped")
    proxy_keep: int | None = number(None, 1, 1_000_000, "images kept of a batch, the hardest for a proxy; none: all")
    proxy_widths: tuple[int, ...] = channels(32, 64, 64, doc="channels of the proxy network's groups")
    proxy_every: int = number(4, 1, 1000, "the proxy network learns from every n-th batch")

    # Optimization
    optimizer: str = choice("sgd", "sgd", "torch-sgd", "muon", doc="sgd: lr per 1,024 examples; the others: raw")
    epochs: float = number(9.9, 0.001, 10_000, "passes, of floor(images / batch_size) steps each; fractions count")
    batch_size: int = number(1024, 1, 1_000_000, "images in a step")
    lr: float = number(11.5, 1e-6, 1e9, "peak learning rate (muon: of the convolutions)")
    momentum: float = number(0.85, 0.01, 0.9999, "Nesterov momentum (muon: of biases and head)")
    weight_decay: float = number(0.0153, 0, 1000, "weight decay (muon: of biases and head, times the batch)")
    bias_scale: float = number(64.0, 1e-6, 1e6, "learning rate of BatchNorm biases, times lr; 1: as all others")
    bias_lr: float | None = number(None, 1e-9, 1e6, "muon: learning rate of the biases")
    head_lr: float | None = number(None, 1e-9, 1e6, "muon: learning rate of the head")
    muon_momentum: float = number(0.6, 0, 0.9999, "muon: Nesterov momentum of the convolutions")
    newton_schulz_steps: int = number(3, 1, 100, "muon: Newton-Schulz iterations that orthogonalize an update")
    label_smoothing: float = number(0.2, 0, 0.9999, "label smoothing")
    lr_start: float = number(0.2, 0, 1, "schedule: first learning rate, times lr")
    lr_peak_at: float = number(0.23, 0, 1, "schedule: where the peak lies, as a share of the steps")
    lr_end: float = number(0.07, 0, 1, "schedule: last learning rate, times lr")
    lookahead: bool = switch(True, "slow weights pull the fast ones back every 5 steps")

    # Inference
    tta: str = choice("mirror+translate", *TTA_WEIGHTS, doc="views averaged at test time")

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, checked(f, getattr(self, f.name)))
        for (name, value), (needed, why) in MIXES.items():
            lacking = [f"{other}={shown(v)}" for other, v in needed.items() if getattr(self, other) != v]
            if getattr(self, name) == value and lacking:
                raise UsageError(f"{name}={shown(value)} needs {' and '.join(lacking)}: {why}")
        for name, stages in ("widths", 4 if self.network == "resnet18" else 3), ("proxy_widths", 3):
            if len(getattr(self, name)) != stages:
                raise UsageError(
                    f"{name}={shown(getattr(self, name))} is not legal: {stages} numbers of channels are needed"
                )
        if self.optimizer == "muon" and None in (self.bias_lr, self.head_lr):
            raise UsageError("optimizer=muon needs bias_lr and head_lr: start from the recipe airbench94_muon")
        if self.optimizer != "sgd" and (self.lr > RAW_LR or self.weight_decay > RAW_WEIGHT_DECAY):
            raise UsageError(
                f"optimizer={self.optimizer} takes lr and weight_decay raw, so lr={self.lr:g} and "
                f"weight_decay={self.weight_decay:g} are hardly meant ({RAW_LR} and {RAW_WEIGHT_DECAY} at most): "
                f"start from the recipe {'airbench94_muon' if self.optimizer == 'muon' else 'resnet18'}"
            )
        if self.proxy_keep is not None and self.proxy_keep > self.batch_size:
            raise UsageError(
                f"proxy_keep={self.proxy_keep} is more than the batch it is chosen from: batch_size={self.batch_size}"
            )

    def steps_per_epoch(self, images: int) -> int:
        """Steps in one pass over `images` training images; an incomplete last batch does not count."""
        if images < self.batch_size:
            raise UsageError(
                f"batch_size={self.batch_size} is more than the {images} training images there are; "
                "set a smaller one (a scale multiplies it), or give more images"
            )
        return images // self.batch_size

    def steps(self, images: int) -> int:
        """Steps of the whole training on `images` training images."""
        return math.ceil(self.epochs * self.steps_per_epoch(images))

    def freeze_step(self, images: int) -> int | None:
        """The step before which the whitening layer's bias is frozen; None where it never is."""
        if not self.whiten or self.whiten_bias_epochs is None:
            return None
        return math.ceil(self.whiten_bias_epochs * self.steps_per_epoch(images))

    def proxy(self) -> "Recipe":
        """The training of the small network that chooses which images of each batch this recipe trains on."""
        small = {"widths": self.proxy_widths, "depth": 2, "residual": False}
        return replace(self, **small, whiten_bias_epochs=0, lookahead=False, proxy_keep=None)

    def changes(self, other: "Recipe | None" = None) -> dict[str, Any]:
        """The fields in which this recipe differs from `other` (default: from airbench94), with its values."""
        other = Recipe() if other is None else other
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != getattr(other, f.name)}


RAW_LR, RAW_WEIGHT_DECAY = 5, 0.01  # above these a rate per 1,024 examples was taken over by mistake

# What a value of a field needs of other fields, and why.
_NO_MUON = {"bias_lr": None, "head_lr": None}
_PLAIN = dict.fromkeys(("whiten", "first_norm", "identity_init", "unit_head", "residual"), False)
MIXES: dict[tuple[str, Any], tuple[dict[str, Any], str]] = {
    ("first_norm", True): ({"whiten": False}, "the whitening layer has no BatchNorm after it"),
    ("network", "resnet18"): (
        _PLAIN | {"depth": 2, "proxy_keep": None, "optimizer": "torch-sgd"},
        "it is the plain reference, without what belongs to the airbench network: start from the recipe resnet18",
    ),
    ("optimizer", "sgd"): (_NO_MUON, "these learning rates are Muon's"),
    ("optimizer", "torch-sgd"): (_NO_MUON | {"bias_scale": 1}, "it has one learning rate for all weights"),
    ("optimizer", "muon"): ({"bias_scale": 1}, "its biases have a learning rate of their own, bias_lr"),
}
