"""The ladder from the baseline to airbench94: each rung adds one trick, with the epochs that it then needs for 94 %.

Source: Jordan, arXiv:2404.00498.
"""

from dataclasses import replace
from typing import NamedTuple

from airbench_core.published import BASELINE
from airbench_core.recipes import Recipe


class Variant(NamedTuple):
    """One of the things that a study compares."""

    label: str
    recipe: Recipe  # not scaled
    compile: bool = False


_WHITEN = replace(BASELINE, whiten=True, epochs=21)
_IDENTITY = replace(_WHITEN, identity_init=True, epochs=18)
_BIAS_SCALE = replace(_IDENTITY, bias_scale=64, epochs=13.5)
_FREEZE = replace(_BIAS_SCALE, whiten_bias_epochs=3)
# Lookahead pays only together with a fast BatchNorm average and its own schedule: this rung is a bundle.
_LOOKAHEAD = replace(_FREEZE, lookahead=True, batchnorm_momentum=0.6, lr=11.5, lr_peak_at=0.23, lr_end=0.07, epochs=12)
_TTA = replace(_LOOKAHEAD, tta="mirror+translate", epochs=10.8)
_FLIP = replace(_TTA, flip="alternating", epochs=9.9)

LADDER = (
    Variant("baseline", BASELINE, False),
    Variant("+ whitening", _WHITEN, False),
    Variant("+ identity initialization", _IDENTITY, False),
    Variant("+ BatchNorm-bias learning rate x 64", _BIAS_SCALE, False),
    Variant("+ whitening bias frozen after 3 epochs", _FREEZE, False),
    Variant("+ Lookahead", _LOOKAHEAD, False),
    Variant("+ multi-crop TTA", _TTA, False),
    Variant("+ alternating flip", _FLIP, False),
    Variant("+ torch.compile", _FLIP, True),
)
