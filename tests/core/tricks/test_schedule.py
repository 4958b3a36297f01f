from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, AIRBENCH94_MUON
from airbench_core.network import Network
from airbench_core.optimizers import make_optimizers
from airbench_core.tricks.schedule import learning_rates, lr_factors


def test_lr_table_of_airbench94():
    factors = lr_factors(AIRBENCH94, 476)
    peak = 109  # int(0.23 x 476)
    assert len(factors) == 476
    assert factors[0] == pytest.approx(0.2)
    assert factors[peak] == max(factors) == pytest.approx(1)
    assert factors[50] == pytest.approx(0.2 + 0.8 * 50 / peak)
    assert factors[300] == pytest.approx(1 - 0.93 * (300 - peak) / (476 - peak))
    assert factors[-1] == pytest.approx(0.07 + 0.93 / (476 - peak))
    assert lr_factors(replace(AIRBENCH94, lr_peak_at=0.29), 10).index(1) == 2  # rounded down


@pytest.mark.parametrize("peak_at", [0, 1])
def test_lr_table_with_the_peak_at_an_end(peak_at):
    factors = lr_factors(replace(AIRBENCH94, lr_peak_at=peak_at), 10)
    assert len(factors) == 10
    assert all(0.07 <= factor <= 1 for factor in factors)
    assert factors == sorted(factors, reverse=peak_at == 0)


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
