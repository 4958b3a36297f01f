from dataclasses import replace

import pytest
from airbench_lab.flops import training_flops
from airbench_lab.panel import costs
from airbench_lab.panel.costs import RunCosts
from airbench_lab.speed import Speed


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
    run_costs = RunCosts()
    assert run_costs.estimate(chosen, cpu) is None
    for seconds in (3.0, 4.0, 90.0):  # once the machine was busy
        run_costs.add(chosen, cpu, noise, seconds)
    assert run_costs.estimate(chosen, cpu) == 4.0
    assert run_costs.estimate(chosen.changed(seeds=5, first_seed=3), cpu) == 4.0  # of one run


def test_a_race_has_a_price_of_its_own(chosen, cpu, noise):
    """Whoever is watched waits for the evaluations."""
    run_costs, race = RunCosts(), chosen.changed(race=True)
    run_costs.add(chosen, cpu, noise, 4.0)
    assert run_costs.estimate(race, cpu) is None
    run_costs.add(race, cpu, noise, 3.0)
    assert (run_costs.estimate(chosen, cpu), run_costs.estimate(race, cpu)) == (4.0, 3.0)


def test_another_recipe_costs_by_its_flops(chosen, cpu, noise):
    run_costs = RunCosts()
    run_costs.add(chosen, cpu, noise, 4.0)
    wide = chosen.changed(widths=(128, 512, 512))
    flops = [training_flops(one.scaled, 192, 48) for one in (chosen, wide)]
    assert run_costs.estimate(wide, cpu) == pytest.approx(4.0 * flops[1] / flops[0])


def test_another_scale_data_set_or_runtime_is_not_known_by_that(chosen, cpu, noise):
    run_costs = RunCosts()
    run_costs.add(chosen, cpu, noise, 4.0)
    assert run_costs.estimate(chosen.changed(scale="laptop"), cpu) is None
    assert run_costs.estimate(chosen.changed(data="cifar10"), cpu) is None
    assert run_costs.estimate(chosen, replace(cpu, threads=2)) is None
    assert run_costs.estimate(chosen.changed(compile=True), replace(cpu, compile=True)) is None


def test_before_the_first_run_the_machine_is_measured_once(chosen, cpu, noise, measured):
    run_costs = RunCosts()
    run_costs.measure(chosen, cpu, lambda: noise)
    guess = run_costs.estimate(chosen, cpu)
    assert 0.3 < guess < 3  # 3 epochs of 192 images, 1000 a second
    evaluations = 3 * 48 / 5000
    assert run_costs.estimate(chosen.changed(race=True), cpu) == pytest.approx(guess - evaluations)  # known by it too
    run_costs.measure(chosen.changed(race=True), cpu, lambda: noise)
    run_costs.measure(chosen, cpu, lambda: noise)
    run_costs.measure(chosen.changed(whiten=False), cpu, lambda: noise)
    assert len(measured) == 1
    run_costs.add(chosen, cpu, noise, 7.0)
    assert run_costs.estimate(chosen, cpu) == 7.0  # a run says more than a guess


def test_what_a_run_taught_is_not_overwritten_by_a_guess(chosen, cpu, noise, monkeypatch):
    """Nor measured again, nor is anything measured that would be compiled."""
    run_costs = RunCosts()

    def measure(*_) -> Speed:
        run_costs.add(chosen, cpu, noise, 7.0)  # meanwhile, in another thread
        return Speed(train=1.0, augment=1.0, evaluate=1.0)

    monkeypatch.setattr(costs, "measure_speed", measure)
    run_costs.measure(chosen, cpu, lambda: noise)
    assert run_costs.estimate(chosen, cpu) == 7.0
    monkeypatch.setattr(costs, "measure_speed", pytest.fail)
    run_costs.measure(chosen, cpu, lambda: noise)
    run_costs.measure(chosen.changed(compile=True), replace(cpu, compile=True), lambda: noise)


@pytest.mark.trains
def test_a_measurement_is_quick_and_of_this_machine(chosen, cpu, noise):
    run_costs = RunCosts()
    run_costs.measure(chosen, cpu, lambda: noise)
    assert 0 < run_costs.estimate(chosen, cpu) < 60
