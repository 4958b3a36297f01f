import pytest
from airbench_lab.lessons import regimes
from airbench_lab.study.studies import REGIMES

from airbench_core import AIRBENCH94, SCALES
from airbench_core.tricks import TRICKS


def test_every_trick_that_changes_the_accuracy_of_a_plain_run_has_its_regime():
    assert set(REGIMES) == {trick.file for trick in TRICKS} - {"schedule", "compiled", "proxy"}


@pytest.mark.parametrize("trick", REGIMES)
def test_each_trick_shows_in_its_regime(trick):
    found = regimes.worth(trick)
    assert found.gain.n_a >= 50
    assert found.gain.low > 0
    assert found.sign_share >= 0.8


@pytest.mark.parametrize("trick", REGIMES)
def test_both_sides_of_a_regime_train_for_equally_long(trick):
    both = REGIMES[trick].without, REGIMES[trick].with_it
    without, with_it = map(SCALES[regimes.SCALE].recipe, both)
    assert without.epochs == with_it.epochs


class Recorded:
    def __init__(self, accuracies, hardware="a CPU"):
        self.accuracies, self.hardware = accuracies, hardware

    def __bool__(self):
        return bool(self.accuracies)


def recorded(monkeypatch, without, with_it):
    monkeypatch.setattr(regimes, "lookup", lambda recipe, *_: with_it if recipe == AIRBENCH94 else without)


def test_a_worth_is_paired_by_seed_and_counted_over_all_draws_of_three(monkeypatch):
    recorded(
        monkeypatch, Recorded({0: 0.5, 1: 0.6, 2: 0.7, 3: 0.4, 8: 0.9}), Recorded({0: 0.6, 1: 0.7, 2: 0.5, 3: 0.5})
    )
    found = regimes.worth("whitening")
    assert (found.gain.n_a, found.gain.difference) == (4, pytest.approx(0.025))
    assert (found.without, found.with_it) == (pytest.approx(0.55), pytest.approx(0.575))
    assert found.sign_share == 1 / 4  # the three draws that hold the -0.2 add up to 0


@pytest.mark.parametrize(
    ("guess", "said"),
    [
        (None, "no guess written down"),
        (2, "your guess: +2 points, below the interval"),
        (10, "your guess: +10 points, inside the interval"),
        (20.5, "your guess: +20.5 points, above the interval"),
    ],
)
def test_a_guess_is_held_against_the_recorded_interval(guess, said, monkeypatch):
    recorded(monkeypatch, Recorded({0: 0.5, 1: 0.6, 2: 0.7}), Recorded({0: 0.6, 1: 0.68, 2: 0.82}))
    first, second, third = regimes.answer("whitening", guess).splitlines()
    assert first == "3 pairs recorded on CIFAR-10: +10.00 points, 95 % interval +5.03 to +14.97"
    assert second == said
    assert "2.00 points" in third
    assert "100%" in third


def test_what_is_not_recorded_or_on_two_machines_has_no_worth(monkeypatch):
    some = {0: 0.5, 1: 0.6, 2: 0.7}
    recorded(monkeypatch, Recorded({}), Recorded(some))
    assert regimes.worth("whitening") is None
    recorded(monkeypatch, Recorded(some, "another CPU"), Recorded(some))
    assert regimes.worth("whitening") is None
