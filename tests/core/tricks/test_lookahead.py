from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, Parts, train
from airbench_core.tricks.lookahead import Lookahead, lookahead_decays


def test_lookahead_closed_form():
    """With fast weights that move by +1 a step, the slow ones follow s <- d s + (1 - d) f, and f restarts from s."""
    layer = torch.nn.BatchNorm1d(3)
    value = layer.weight.data.fill_(0)
    steps = 22
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
        assert value[0].item() == pytest.approx(slow if step == steps else fast, rel=1e-6)
    assert slow < fast


def test_lookahead_covers_running_statistics_and_leaves_counters_alone():
    layer = torch.nn.BatchNorm1d(3)
    lookahead = Lookahead(layer, 9)
    layer.running_mean += 8
    layer.num_batches_tracked += 5
    lookahead.after_step(9)
    assert not layer.running_mean.any()
    assert layer.num_batches_tracked == 5


def test_lookahead_decays_rise_with_the_cube():
    decays = lookahead_decays(100)
    assert decays[0] == 0
    assert decays[50] == pytest.approx(0.95**5 / 8)
    assert decays[100] == pytest.approx(0.95**5)


SHORT = replace(AIRBENCH94, epochs=2.5, whiten_bias_epochs=1)  # 8 steps of 64 on `noise` at the tiny scale


def test_lookahead_updates_after_every_fifth_step_and_at_the_end(noise, tiny, float32):
    decays = []
    train(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(lookahead=lambda *args: decays.append(args[2])))
    assert decays == [pytest.approx(0.95**5 * (5 / 8) ** 3), 1]
