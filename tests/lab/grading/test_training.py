"""What a measurement is held against: one of its runs, made again."""

from types import SimpleNamespace

import pytest
import torch
from airbench_lab.grading import made_again, trained, training

from airbench_core import Runtime


@pytest.mark.parametrize(
    ("claimed", "said"),
    [
        ([0.3, 0.1, 0.4], "points, and yours 0"),
        ([float("nan")] * 3, "yours nan"),
        ([5], "no measurements"),
        (None, "no measurements"),
        (..., "no measurements"),
    ],
)
def test_what_was_not_measured_is_found(claimed, said):
    with pytest.raises(AssertionError, match=said):
        made_again(claimed, 7, lambda seed: -1.0)


def test_what_was_measured_agrees_for_each_of_the_first_three_seeds():
    asked = set()
    for _ in range(60):
        made_again([7.0, 8.0, 9.0, None], 7, lambda seed: asked.add(seed) or float(seed))
    assert asked == {7, 8, 9}


def test_it_trains_at_the_laptop_scale_on_a_gpu_too(monkeypatch):
    monkeypatch.setenv(training.DRY, "1")
    monkeypatch.delenv("AIRBENCH_SCALE", raising=False)
    monkeypatch.setattr(Runtime, "detect", lambda: Runtime(torch.device("cuda"), torch.float16, threads=1))
    assert trained({}, seed=0).scale == "laptop"
    monkeypatch.setenv("AIRBENCH_SCALE", "smoke")
    assert trained({}, seed=0).scale == "smoke"
    assert trained({}, seed=0, scale="full").scale == "full"


def test_to_choose_it_tests_on_training_pictures(monkeypatch, noise):
    monkeypatch.delenv(training.DRY, raising=False)
    monkeypatch.setattr(training, "_data", lambda: noise)
    asked = []
    monkeypatch.setattr(training, "Trainer", lambda recipe, data, **_: asked.append(data) or Fake())

    class Fake:
        def run(self, seed):
            return SimpleNamespace(accuracy=0.5, epochs=(), seconds=1.0)

    trained({}, seed=3, scale="smoke", holdout=48)
    trained({}, seed=3, scale="smoke")
    assert asked[0].digest == noise.holdout(48).digest
    assert asked[1] is noise
