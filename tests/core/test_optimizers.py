from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, BASELINE
from airbench_core.network import Network
from airbench_core.optimizers import (
    Lookahead,
    learning_rates,
    lookahead_decays,
    lr_factors,
    make_optimizers,
    parameter_groups,
)


def test_lr_table_of_airbench94():
    factors = lr_factors(AIRBENCH94, 476)
    peak = 109  # int(0.23 x 476)
    assert len(factors) == 476
    assert factors[0] == pytest.approx(0.2)
    assert factors[peak] == max(factors) == pytest.approx(1)
    assert factors[50] == pytest.approx(0.2 + 0.8 * 50 / peak)
    assert factors[300] == pytest.approx(1 - 0.93 * (300 - peak) / (476 - peak))
    assert factors[-1] == pytest.approx(0.07 + 0.93 / (476 - peak))


@pytest.mark.parametrize("peak_at", [0, 1])
def test_lr_table_with_the_peak_at_an_end(peak_at):
    factors = lr_factors(replace(AIRBENCH94, lr_peak_at=peak_at), 10)
    assert len(factors) == 10
    assert all(0.07 <= factor <= 1 for factor in factors)
    assert factors == sorted(factors, reverse=peak_at == 0)


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


def test_groups_of_one_s_own_are_sgd_s_alone():
    network, asked = Network(AIRBENCH94), []

    def own(network, recipe):
        asked.append(recipe)
        return [{"params": [network.head.weight], "lr": 0.5, "weight_decay": 0.25}]

    (sgd,) = make_optimizers(network, AIRBENCH94, groups=own)
    (group,) = sgd.param_groups
    assert [group[name] for name in ("lr", "weight_decay", "momentum", "nesterov")] == [0.5, 0.25, 0.85, True]
    assert group["params"][0] is network.head.weight
    make_optimizers(Network(AIRBENCH94_MUON), AIRBENCH94_MUON, groups=own)
    assert asked == [AIRBENCH94]


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


def test_each_group_has_its_own_rate_times_the_factor_of_each_step():
    optimizers = make_optimizers(Network(AIRBENCH94), AIRBENCH94)
    (biases, own), (others, rates) = learning_rates(optimizers, AIRBENCH94, 20, 6)
    factors = lr_factors(AIRBENCH94, 20)
    assert own == [biases["lr"] * factor for factor in factors]
    assert rates == [others["lr"] * factor for factor in factors]


def test_a_schedule_of_one_s_own_takes_the_place_of_the_triangle():
    def halves(recipe, steps):
        return torch.full((steps,), 0.5) * recipe.lr_start

    optimizers = make_optimizers(Network(AIRBENCH94), AIRBENCH94)
    for group, rates in learning_rates(optimizers, AIRBENCH94, 20, 6, halves):
        assert rates == pytest.approx([0.1 * group["lr"]] * 20)
        assert all(type(rate) is float for rate in rates)
    # Muon's whitening bias keeps its line to 0.
    optimizers = make_optimizers(Network(AIRBENCH94_MUON), AIRBENCH94_MUON)
    *_, (bias, down) = learning_rates(optimizers, AIRBENCH94_MUON, 20, 4, halves)
    assert down == pytest.approx([bias["lr"] * left for left in (1, 0.75, 0.5, 0.25)] + [0] * 16)


def test_the_trained_first_layer_is_optimized():
    for recipe in (BASELINE, replace(BASELINE, first_norm=True)):
        network = Network(recipe)
        given = {id(p) for group in make_optimizers(network, recipe)[0].param_groups for p in group["params"]}
        assert id(network.first.weight) in given


def test_lookahead_closed_form():
    """With fast weights that move by +1 a step, the slow ones follow s <- d s + (1 - d) f, and f restarts from s."""
    layer = torch.nn.BatchNorm1d(3)
    value = layer.weight.data.fill_(0)
    steps = 20
    lookahead = Lookahead(layer, steps)
    slow = fast = 0.0
    for step in range(1, steps + 1):
        value += 1
        fast += 1
        lookahead.after_step(step)
        if step % 5 == 0:
            decay = 0.95**5 * (step / steps) ** 3
            slow = decay * slow + (1 - decay) * fast
            fast = slow
        assert value[0].item() == pytest.approx(fast, rel=1e-6)
    value += 100
    lookahead.finish()
    assert value[0].item() == pytest.approx(slow, rel=1e-6)


def test_lookahead_covers_running_statistics_and_leaves_counters_alone():
    layer = torch.nn.BatchNorm1d(3)
    lookahead = Lookahead(layer, 10)
    layer.running_mean += 8
    layer.num_batches_tracked += 5
    lookahead.finish()
    assert not layer.running_mean.any()
    assert layer.num_batches_tracked == 5


def test_lookahead_decays_rise_with_the_cube():
    decays = lookahead_decays(100)
    assert decays[0] == 0
    assert decays[50] == pytest.approx(0.95**5 / 8)
    assert decays[100] == pytest.approx(0.95**5)
