"""The tricks, one file each: TRICKS lists them in the order of the lessons, `Parts` those that can be your own."""

from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import NamedTuple

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
    """The functions that the lessons teach. Your own in place of one, with the same arguments, is what trains."""

    whiten: Callable = whitening_filters
    identity_init: Callable = identity_init_
    parameter_groups: Callable = parameter_groups
    flip: Callable = flip_mask
    lr_factors: Callable = lr_factors
    lookahead: Callable = lookahead_update_
    newton_schulz: Callable = newton_schulz
    tta_views: Callable = tta_views

    @property
    def replaced(self) -> tuple[str, ...]:
        """The names of those that are your own, sorted."""
        return tuple(sorted(f.name for f in fields(self) if getattr(self, f.name) is not f.default))
