from dataclasses import replace

import pytest
import torch
from airbench_lab import flops
from airbench_lab.flops import training_flops
from airbench_lab.study.ladder import LADDER
from torch.utils.flop_counter import FlopCounterMode

from airbench_core import AIRBENCH94, AIRBENCH96_FASTER, BASELINE, RECIPES
from airbench_core.learner import make_network

# The repository's ablation study, in PFLOPs (airbench/ablations of cifar10-zoo), from the whitening rung upwards.
PUBLISHED = [0.76, 0.65, 0.49, 0.47, 0.42, 0.39, 0.36, 0.36]


@pytest.mark.parametrize(
    ("name", "published"),
    [
        ("airbench94", 0.355),
        ("airbench94_muon", 0.29),
        ("airbench95", 1.39),
        ("airbench96", 4.91),
        ("airbench96_faster", 3.1),
        ("resnet18", 32.3),
    ],
)
def test_every_recipe_is_within_5_percent(name, published):
    assert training_flops(RECIPES[name]) / 1e15 == pytest.approx(published, rel=0.05)


def test_a_proxy_costs_a_forward_pass_of_each_batch_and_a_backward_pass_of_every_fourth():
    def flops(**changes):
        short = {"epochs": 1, "tta": "none", "whiten_bias_epochs": 0}
        return training_flops(replace(AIRBENCH96_FASTER, **short | changes))

    every, fourth, second = (flops(proxy_every=n) for n in (1, 4, 2))  # of 48 steps 48, 12 and 24 learn
    assert every - second == pytest.approx(2 * (second - fourth))
    alone = flops(proxy_keep=None, batch_size=512, epochs=48 / 97)
    proxy = replace(AIRBENCH96_FASTER.proxy(), epochs=1)
    assert every - alone == pytest.approx(training_flops(proxy, 50_000, test_images=0), rel=1e-6)


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


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_is_what_torch_counts(name):
    """Forward and backward of two images, on the meta device."""
    with torch.device("meta"):
        network = make_network(RECIPES[name])
    with FlopCounterMode(display=False) as forward, torch.no_grad():
        network(torch.empty(2, 3, 32, 32, device="meta"))
    with FlopCounterMode(display=False) as step:
        logits = network(torch.empty(2, 3, 32, 32, device="meta"))
        torch.autograd.grad(logits.sum(), [p for p in network.parameters() if p.requires_grad])
    counted = flops._per_image(RECIPES[name])
    assert 2 * counted.forward == forward.get_total_flops()
    assert 2 * counted.step == step.get_total_flops()
