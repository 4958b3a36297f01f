from dataclasses import replace

import pytest
from airbench_lab import speed
from airbench_lab.speed import Speed, estimate_seconds, gpu_memory, measure_speed

from airbench_core import AIRBENCH94, AIRBENCH96_FASTER, SCALES


def test_estimate_counts_steps_and_views():
    measured = Speed(train=1000, augment=1, evaluate=2000)
    full = SCALES["full"]
    assert estimate_seconds(AIRBENCH94, full, measured) == pytest.approx(476 * 1024 / 1000 + 60_000 / 2000)
    without = replace(AIRBENCH94, tta="none", epochs=1)
    assert estimate_seconds(without, full, measured) == pytest.approx(48 * 1024 / 1000 + 10_000 / 2000)


def test_a_rate_counts_the_images_of_whole_calls_after_the_first(monkeypatch, float32):
    """Each call takes 2 s for 10 images, the first 100 s; five calls are the fewest that take 9 s."""
    now = [0.0]
    monkeypatch.setattr(speed.time, "perf_counter", lambda: now[0])
    calls = []

    def work():
        now[0] += 2 if calls else 100
        calls.append(now[0])
        return 10

    assert speed._rate(work, float32, seconds=9) == 5
    assert len(calls) == 6


@pytest.mark.parametrize("recipe", [AIRBENCH94, AIRBENCH96_FASTER], ids=["airbench94", "with a proxy"])
def test_every_rate_is_measured(recipe, float32):
    rates = measure_speed(replace(recipe, epochs=1), SCALES["smoke"], float32, seconds=0.3)
    assert min(rates.train, rates.augment, rates.evaluate) > 0


@pytest.mark.parametrize("file", ["memory.max", "memory/memory.limit_in_bytes"])
def test_a_container_s_limit_is_what_there_is_of_memory(file, monkeypatch, tmp_path):
    monkeypatch.setattr(speed, "CGROUPS", tmp_path)
    everything = speed.available_memory()
    (tmp_path / file).parent.mkdir(exist_ok=True)
    (tmp_path / file).write_text("1000000\n")
    assert speed.available_memory() == 1e6 < everything


def test_memory_of_a_gpu_is_pictures_and_what_a_step_keeps():
    """airbench94 by hand: what is kept of a picture, 2 bytes a number and 8 an index of max_pool2d."""
    pictures = 60_000 * 3 * 32**2 + 50_000 * 3 * 2 * (32**2 + 2 * 36**2)
    whitened, wide, first, second, last = 24 * 31**2, 64 * 31**2, 64 * 15**2, 256 * 15**2, 256 * 7**2
    kept = 3 * 32**2 + 2 * whitened + wide + 6 * first + second + 6 * last + last + 6 * 256 * 3**2
    indices = first + last + 256 * 3**2 + 256
    once, of_a_picture = pictures + 12 * 1.97e6, 2 * kept + 8 * indices + 2 * 2 * wide
    for batch in (1024, 2048):
        by_hand = once + batch * of_a_picture
        assert gpu_memory(replace(AIRBENCH94, batch_size=batch)) == pytest.approx(by_hand, rel=0.005)
