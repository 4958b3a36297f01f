from dataclasses import replace

import pytest

from airbench_core import AIRBENCH94, BASELINE, LADDER
from airbench_core.flops import training_flops

# The repository's ablation study, in PFLOPs (airbench/ablations of cifar10-zoo), from the whitening rung upwards.
PUBLISHED = [0.76, 0.65, 0.49, 0.47, 0.42, 0.39, 0.36, 0.36]


def test_airbench94_is_within_4_percent():
    assert training_flops(AIRBENCH94) / 1e15 == pytest.approx(0.355, rel=0.04)


@pytest.mark.parametrize(
    ("rung", "published"), list(zip(LADDER[1:], PUBLISHED, strict=True)), ids=[rung.label for rung in LADDER[1:]]
)
def test_rungs_are_within_6_percent(rung, published):
    assert training_flops(rung.recipe) / 1e15 == pytest.approx(published, rel=0.06)


def test_the_34_epoch_baseline_is_within_6_percent():
    bare = replace(BASELINE, epochs=34, first_norm=True)
    assert training_flops(bare) / 1e15 == pytest.approx(1.22, rel=0.06)


def test_a_frozen_bias_and_fewer_views_cost_less():
    steps, per_view = AIRBENCH94.steps(50_000), 10_000
    never, at_once = (training_flops(replace(AIRBENCH94, whiten_bias_epochs=n)) for n in (None, 0))
    # What the freeze saves is the gradient with respect to the input of the first 3x3 convolution.
    assert never - at_once == steps * 1024 * 2 * (31 * 31 * 64 * 24 * 9)
    six, one = training_flops(AIRBENCH94), training_flops(replace(AIRBENCH94, tta="none"))
    forward = 2 * (31 * 31 * (24 * 12 + 64 * 24 * 9) + 15 * 15 * (64 * 64 * 9 + 256 * 64 * 9)
                   + 49 * (2 * 256 * 256 * 9) + 9 * 256 * 256 * 9 + 10 * 256)  # fmt: skip
    assert six - one == pytest.approx(5 * per_view * forward)
