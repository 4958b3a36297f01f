from dataclasses import replace

import pytest

from airbench_core import AIRBENCH94
from airbench_core.network import Network
from airbench_core.optimizers import make_optimizers
from airbench_core.tricks.bias_scale import parameter_groups


def test_parameter_groups_are_decoupled():
    network = Network(AIRBENCH94)
    (sgd,) = make_optimizers(network, AIRBENCH94)
    biases, others = sgd.param_groups
    k = 1024 * (1 + 1 / 0.15)
    assert biases["lr"] == pytest.approx(64 * 11.5 / k)
    assert others["lr"] == pytest.approx(11.5 / k)
    for group in (biases, others):
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.0153 * 1024 / k)
        assert group["nesterov"]
        assert group["momentum"] == 0.85
    assert len(biases["params"]) == 6
    trained = {id(p) for p in network.parameters() if p.requires_grad}
    assert {id(p) for group in (biases, others) for p in group["params"]} == trained


@pytest.mark.parametrize("changes", [{"batch_size": 256}, {"momentum": 0.5}, {"bias_scale": 1}, {"lr": 1}])
def test_the_decay_is_stated_per_1024_examples_whatever_batch_momentum_rate_and_scale(changes):
    recipe = replace(AIRBENCH94, **changes)
    for group in parameter_groups(Network(recipe), recipe):
        share = recipe.batch_size / (1024 * (1 + 1 / (1 - recipe.momentum)))
        assert group["lr"] * group["weight_decay"] == pytest.approx(0.0153 * share)


def test_weight_decay_is_per_1024_examples_and_lr_is_not_moved_by_the_batch_size():
    half = replace(AIRBENCH94, batch_size=512)
    whole_group, half_group = (make_optimizers(Network(r), r)[0].param_groups[1] for r in (AIRBENCH94, half))
    assert half_group["lr"] == whole_group["lr"]
    assert half_group["weight_decay"] == pytest.approx(whole_group["weight_decay"] / 2)
