from dataclasses import replace

import pytest
from airbench_lab.panel import costs
from airbench_lab.panel.costs import Prices

from airbench_core.flops import training_flops
from airbench_core.speed import Speed


@pytest.fixture
def measured(monkeypatch) -> list:
    """Notes each measurement instead of making it."""
    made = []

    def measure(*about) -> Speed:
        made.append(about)
        return Speed(train=1000.0, augment=1e6, evaluate=5000.0)

    monkeypatch.setattr(costs, "measure_speed", measure)
    return made


def test_a_recipe_that_was_run_costs_what_it_took(chosen, cpu, noise):
    prices = Prices()
    assert prices.expect(chosen, cpu) is None
    for seconds in (3.0, 4.0, 90.0):  # once the machine was busy
        prices.learn(chosen, cpu, noise, seconds)
    assert prices.expect(chosen, cpu) == 4.0
    assert prices.expect(chosen.changed(seeds=5, first_seed=3), cpu) == 4.0  # of one run


def test_a_race_has_a_price_of_its_own(chosen, cpu, noise):
    """Whoever is watched waits for the evaluations."""
    prices, race = Prices(), chosen.changed(race=True)
    prices.learn(chosen, cpu, noise, 4.0)
    assert prices.expect(race, cpu) is None
    prices.learn(race, cpu, noise, 3.0)
    assert (prices.expect(chosen, cpu), prices.expect(race, cpu)) == (4.0, 3.0)


def test_another_recipe_costs_by_its_flops(chosen, cpu, noise):
    prices = Prices()
    prices.learn(chosen, cpu, noise, 4.0)
    wide = chosen.changed(widths=(128, 512, 512))
    flops = [training_flops(one.scaled, 192, 48) for one in (chosen, wide)]
    assert prices.expect(wide, cpu) == pytest.approx(4.0 * flops[1] / flops[0])


def test_another_scale_data_set_or_runtime_is_not_known_by_that(chosen, cpu, noise):
    prices = Prices()
    prices.learn(chosen, cpu, noise, 4.0)
    assert prices.expect(chosen.changed(scale="laptop"), cpu) is None
    assert prices.expect(chosen.changed(data="cifar10"), cpu) is None
    assert prices.expect(chosen, replace(cpu, threads=2)) is None
    assert prices.expect(chosen.changed(compile=True), replace(cpu, compile=True)) is None


def test_before_the_first_run_the_machine_is_measured_once(chosen, cpu, noise, measured):
    prices = Prices()
    prices.measure(chosen, cpu, lambda: noise)
    guess = prices.expect(chosen, cpu)
    assert 0.3 < guess < 3  # 3 epochs of 192 images, 1000 a second
    evaluations = 3 * 48 / 5000
    assert prices.expect(chosen.changed(race=True), cpu) == pytest.approx(guess - evaluations)  # known by it too
    prices.measure(chosen.changed(race=True), cpu, lambda: noise)
    prices.measure(chosen, cpu, lambda: noise)
    prices.measure(chosen.changed(whiten=False), cpu, lambda: noise)
    assert len(measured) == 1
    prices.learn(chosen, cpu, noise, 7.0)
    assert prices.expect(chosen, cpu) == 7.0  # a run says more than a guess


def test_what_a_run_taught_is_not_overwritten_by_a_guess(chosen, cpu, noise, monkeypatch):
    """Nor measured again, nor is anything measured that would be compiled."""
    prices = Prices()

    def measure(*_) -> Speed:
        prices.learn(chosen, cpu, noise, 7.0)  # meanwhile, in another thread
        return Speed(train=1.0, augment=1.0, evaluate=1.0)

    monkeypatch.setattr(costs, "measure_speed", measure)
    prices.measure(chosen, cpu, lambda: noise)
    assert prices.expect(chosen, cpu) == 7.0
    monkeypatch.setattr(costs, "measure_speed", pytest.fail)
    prices.measure(chosen, cpu, lambda: noise)
    prices.measure(chosen.changed(compile=True), replace(cpu, compile=True), lambda: noise)


def test_a_measurement_is_quick_and_of_this_machine(chosen, cpu, noise):
    prices = Prices()
    prices.measure(chosen, cpu, lambda: noise)
    assert 0 < prices.expect(chosen, cpu) < 60
