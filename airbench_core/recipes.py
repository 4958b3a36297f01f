"""A recipe is a value: one frozen `Recipe` states a whole training, and every trick is one of its fields.

    replace(AIRBENCH94, flip="random")        # airbench94 with one trick changed

The defaults are airbench94's (Jordan, arXiv:2404.00498), so a recipe's JSON, which holds only what differs
from them, is short, and stays the same when a field is added later. Values that make no sense are refused
when the recipe is built, with the field, the value and the legal ones.
"""

import difflib
import json
import math
from dataclasses import Field, dataclass, field, fields, replace
from typing import Any, NamedTuple

from airbench_core.errors import UsageError


def _number(default: float, low: float, high: float, doc: str, *, below: bool = False, or_none: bool = False) -> Any:
    """A field for a number from `low` to `high`; `below` keeps it under `high`; `or_none` lets None stand for never."""
    legal = f"{low:g} or more, below {high:g}" if below else f"{low:g} to {high:g}"
    metadata = {"legal": legal + ", or none" * or_none, "doc": doc, "low": low, "high": high, "below": below}
    return field(default=default, metadata=metadata)


def _choice(default: str, *choices: str, doc: str) -> Any:
    return field(default=default, metadata={"legal": " or ".join(choices), "doc": doc, "choices": choices})


def _switch(default: bool, doc: str) -> Any:
    return field(default=default, metadata={"legal": "true or false", "doc": doc})


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that decides what is computed in one training (how it is computed: `devices.Runtime`).

    Raises `UsageError` for a value outside a field's legal range and for mixes that exclude each other.
    `lr` and `weight_decay` are stated per 1,024 examples and decoupled; `optimizers.py` converts them.
    """

    # The network
    widths: tuple[int, int, int] = field(
        default=(64, 256, 256),
        metadata={
            "legal": "three whole numbers from 1 to 4096, such as 64x256x256",
            "doc": "channels of the three groups",
        },
    )
    depth: int = _number(2, 2, 8, "convolutions in each group")
    whiten: bool = _switch(True, "first layer: frozen patch-whitening filters instead of trained ones")
    whiten_eps: float = _number(5e-4, 1e-12, 1000, "added to the patch covariance's eigenvalues")
    whiten_bias_epochs: float | None = _number(
        3.0, 0, 10_000, "epochs until the whitening layer's bias is frozen; none: never", or_none=True
    )
    first_norm: bool = _switch(False, "trained first layer: BatchNorm instead of a bias")
    identity_init: bool = _switch(True, "3x3 convolutions start by passing their input on (Dirac filters)")
    batchnorm_momentum: float = _number(
        0.6, 0, 1, "share of the old running average kept (1 minus PyTorch's momentum)", below=True
    )

    # Data and augmentation
    flip: str = _choice(
        "alternating", "none", "random", "alternating", doc="horizontal flips: none, random or alternating"
    )
    translate: int = _number(2, 0, 16, "largest shift in pixels, reflect padding")
    cutout: int = _number(0, 0, 31, "side of the square set to 0, in pixels")
    reshuffle: bool = _switch(True, "a new order of the images in each epoch")

    # Optimization
    epochs: float = _number(9.9, 0.001, 10_000, "passes over the training images; fractions count")
    batch_size: int = _number(1024, 1, 1_000_000, "images in a step")
    lr: float = _number(11.5, 1e-6, 1e9, "peak learning rate, per 1,024 examples")
    momentum: float = _number(0.85, 0.01, 1, "Nesterov momentum", below=True)
    weight_decay: float = _number(0.0153, 0, 1000, "weight decay, per 1,024 examples")
    bias_scale: float = _number(64.0, 1e-6, 1e6, "learning rate of BatchNorm biases, times lr; 1: as all others")
    label_smoothing: float = _number(0.2, 0, 1, "label smoothing", below=True)
    lr_start: float = _number(0.2, 0, 1, "schedule: first learning rate, times lr")
    lr_peak_at: float = _number(0.23, 0, 1, "schedule: where the peak lies, as a share of the steps")
    lr_end: float = _number(0.07, 0, 1, "schedule: last learning rate, times lr")
    lookahead: bool = _switch(True, "slow weights pull the fast ones back every 5 steps")

    # Inference
    tta: str = _choice(
        "mirror+translate",
        "none",
        "mirror",
        "mirror+translate",
        doc="views averaged at test time: none, mirror or mirror+translate",
    )

    def __post_init__(self) -> None:
        for f in fields(self):
            object.__setattr__(self, f.name, _checked(f, getattr(self, f.name)))
        if self.first_norm and self.whiten:
            raise UsageError("first_norm=true needs whiten=false: the whitening layer has no BatchNorm after it")

    def steps_per_epoch(self, images: int) -> int:
        """Steps in one pass over `images` training images; an incomplete last batch is dropped."""
        if images < self.batch_size:
            raise UsageError(
                f"batch_size={self.batch_size} is more than the {images} training images there are; "
                f"set batch_size to {images} or less"
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

    def changes(self, other: "Recipe | None" = None) -> dict[str, Any]:
        """The fields in which this recipe differs from `other` (default: from airbench94), with its values."""
        other = Recipe() if other is None else other
        return {f.name: value for f in fields(self) if (value := getattr(self, f.name)) != getattr(other, f.name)}

    def to_json(self) -> str:
        """Canonical JSON: the fields that differ from their defaults, sorted by name."""
        return json.dumps(self.changes(), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "Recipe":
        """The recipe that `to_json` wrote. Raises UsageError for unknown fields and illegal values."""
        try:
            values = json.loads(text)
        except ValueError as error:
            raise UsageError(f"not a recipe's JSON: {error}") from error
        if not isinstance(values, dict):
            raise UsageError(f"not a recipe's JSON: {text[:60]!r} is no object")
        return with_fields(cls(), **values)


_FIELDS: dict[str, Field] = {f.name: f for f in fields(Recipe)}


def _checked(f: Field, value: Any) -> Any:
    """`value` in the field's own type, or UsageError."""
    refused = UsageError(f"{f.name}={_shown(value)} is not legal: {f.metadata['legal']}")
    if f.name == "widths":
        if not isinstance(value, tuple | list) or len(value) != 3:
            raise refused
        if not all(type(width) is int and 0 < width <= 4096 for width in value):
            raise refused
        return tuple(value)
    if "choices" in f.metadata:
        if value not in f.metadata["choices"]:
            raise refused
        return value
    if f.type is bool:
        if not isinstance(value, bool):
            raise refused
        return value
    if value is None and f.type == float | None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise refused
    low, high = f.metadata["low"], f.metadata["high"]
    if not low <= value <= high or (f.metadata["below"] and value == high):
        raise refused
    if f.type is int and value != int(value):
        raise refused
    return int(value) if f.type is int else float(value)


def _shown(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def with_fields(recipe: Recipe, /, **values: Any) -> Recipe:
    """`dataclasses.replace` that answers an unknown field with the known ones."""
    for name in values:
        _check_name(name)
    return replace(recipe, **values)


def _check_name(name: str) -> None:
    if name not in _FIELDS:
        near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
        guess = f"did you mean {near[0]}? " if near else ""
        raise UsageError(f"unknown recipe field {name!r}; {guess}The fields are {', '.join(_FIELDS)}")


def parse_field(setting: str) -> tuple[str, Any]:
    """The field and value of a setting such as "flip=random", "widths=64x256x256" or "whiten=false"."""
    name, equals, text = setting.partition("=")
    if not equals:
        raise UsageError(f"cannot read {setting!r}: write FIELD=VALUE, such as flip=random")
    _check_name(name)
    kind = _FIELDS[name].type
    refused = UsageError(f"{name}={text} is not legal: {_FIELDS[name].metadata['legal']}")
    try:
        if name == "widths":
            return name, tuple(int(width) for width in text.split("x"))
        if kind is bool:
            return name, {"true": True, "false": False}[text.lower()]
        if kind is str:
            return name, text
        if kind == float | None and text.lower() == "none":
            return name, None
        return name, int(text) if text.lstrip("-").isdigit() else float(text)
    except (ValueError, KeyError):
        raise refused from None


def describe(recipe: Recipe) -> str:
    """A table of all fields, one per line: name, value, meaning."""
    rows = [(f.name, _shown(getattr(recipe, f.name)), f.metadata["doc"]) for f in fields(recipe)]
    return "\n".join(f"{name:19} {value:17} {doc}" for name, value, doc in rows)


class Rung(NamedTuple):
    """One step of the ladder from the baseline to airbench94."""

    label: str
    recipe: Recipe
    compile: bool


AIRBENCH94 = Recipe()

# The paper's 45-epoch starting point: a first convolution that is trained, with a bias and no BatchNorm.
BASELINE = replace(
    AIRBENCH94,
    epochs=45,
    lr=10,
    lr_peak_at=0.2,
    lr_end=0,
    batchnorm_momentum=0.9,
    whiten=False,
    whiten_bias_epochs=None,
    identity_init=False,
    bias_scale=1,
    lookahead=False,
    tta="mirror",
    flip="random",
)

_WHITEN = replace(BASELINE, whiten=True, epochs=21)
_IDENTITY = replace(_WHITEN, identity_init=True, epochs=18)
_BIAS_SCALE = replace(_IDENTITY, bias_scale=64, epochs=13.5)
_FREEZE = replace(_BIAS_SCALE, whiten_bias_epochs=3)
# Lookahead pays only together with a fast BatchNorm average and its own schedule: this rung is a bundle.
_LOOKAHEAD = replace(_FREEZE, lookahead=True, batchnorm_momentum=0.6, lr=11.5, lr_peak_at=0.23, lr_end=0.07, epochs=12)
_TTA = replace(_LOOKAHEAD, tta="mirror+translate", epochs=10.8)
_FLIP = replace(_TTA, flip="alternating", epochs=9.9)

LADDER = (
    Rung("baseline", BASELINE, False),
    Rung("+ whitening", _WHITEN, False),
    Rung("+ identity initialization", _IDENTITY, False),
    Rung("+ BatchNorm-bias learning rate x 64", _BIAS_SCALE, False),
    Rung("+ whitening bias frozen after 3 epochs", _FREEZE, False),
    Rung("+ Lookahead", _LOOKAHEAD, False),
    Rung("+ multi-crop TTA", _TTA, False),
    Rung("+ alternating flip", _FLIP, False),
    Rung("+ torch.compile", _FLIP, True),
)

RECIPES = {"baseline": BASELINE, "airbench94": AIRBENCH94}
