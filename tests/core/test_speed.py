from dataclasses import replace

import pytest

from airbench_core import AIRBENCH94, SCALES
from airbench_core.speed import Speed, estimate_seconds, measure_speed


def test_estimate_counts_steps_and_views():
    speed = Speed(train=1000, augment=1, evaluate=2000)
    full = SCALES["full"]
    assert estimate_seconds(AIRBENCH94, full, speed) == pytest.approx(476 * 1024 / 1000 + 60_000 / 2000)
    without = replace(AIRBENCH94, tta="none", epochs=1)
    assert estimate_seconds(without, full, speed) == pytest.approx(48 * 1024 / 1000 + 10_000 / 2000)


def test_measured_rates_order_as_the_work_does(float32):
    """Augmentation is a small part of a step, and a forward pass is cheaper than forward and backward."""
    speed = measure_speed(AIRBENCH94, SCALES["smoke"], float32, seconds=0.3)
    assert speed.augment > speed.train > 0
    assert speed.evaluate > speed.train
