from dataclasses import replace
from unittest.mock import MagicMock

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, AIRBENCH96_FASTER, RESNET18, AirbenchError, Trainer
from airbench_core.fast import whole_step
from airbench_core.fast.cpu import plain_
from airbench_core.optimizers import LOOKAHEAD_EVERY

SHORT = replace(AIRBENCH94, epochs=4, whiten_bias_epochs=2)
RECIPES = {
    "sgd": SHORT,
    "no lookahead, never frozen": replace(SHORT, lookahead=False, whiten_bias_epochs=None),
    "muon": replace(AIRBENCH94_MUON, epochs=8, batch_size=1024, whiten_bias_epochs=3),
    "proxy, cutout": replace(AIRBENCH96_FASTER, widths=(64, 64, 64), epochs=3, lr=3, whiten_bias_epochs=1),
    "torch-sgd": replace(RESNET18, widths=(64, 64, 64, 64), epochs=2),
}


def make_trainer(recipe, data, scale, runtime, record=None) -> Trainer:
    trainer = Trainer(recipe, data, scale=scale, runtime=runtime, record=record)
    for learner in trainer.learners:
        plain_(learner.network)  # torch does not see what our kernels for CPUs do, and could not repeat it
    return trainer


def replayed(work):
    """What a CUDA graph does, on a CPU: the tensor operations of one call are repeated on the tensors of that call.

    Whatever else the call did or decided, in Python, is not done again.
    """
    work()  # as cuda_graph does
    graph = make_fx(lambda: (work(), torch.zeros(()))[1])()
    return torch.no_grad()(lambda: graph())


def state(trainer) -> dict[str, torch.Tensor]:
    return {name: value.clone() for name, value in trainer.network.state_dict().items()}


@pytest.mark.parametrize("name", RECIPES)
def test_replayed_steps_train_as_plain_ones(name, noise, tiny, float32):
    plain = make_trainer(RECIPES[name], noise, tiny, float32)
    graphs = make_trainer(RECIPES[name], noise, tiny, float32, replayed)
    assert plain.steps > LOOKAHEAD_EVERY
    for seed in (1, 2):  # a second run finds the graphs of the first
        expected, result = plain.run(seed), graphs.run(seed)
        assert [e.train_loss for e in result.epochs] == pytest.approx([e.train_loss for e in expected.epochs], rel=1e-6)
        for key, value in state(plain).items():
            torch.testing.assert_close(graphs.network.state_dict()[key], value, rtol=1e-5, atol=1e-6)
        assert result.accuracy == expected.accuracy


def test_a_kind_of_step_is_recorded_once(noise, tiny, float32):
    recorded = []

    def record(work):
        recorded.append(work)
        return replayed(work)

    trainer = make_trainer(SHORT, noise, tiny, float32, record)
    trainer.run(0)
    trainer.run(1)
    assert len(recorded) == 2  # with and without the whitening bias
    assert trainer.whole.keys() == {trainer.main}


def test_a_stopped_run_leaves_nothing_behind(noise, tiny, float32):
    trainer = make_trainer(SHORT, noise, tiny, float32, replayed)
    expected = trainer.run(3).epochs
    step, taken = trainer.whole[trainer.main].step, []

    def failing(rows, number):
        taken.append(number)
        if number == 5:
            raise KeyboardInterrupt
        return step(rows, number)

    trainer.whole[trainer.main].step = failing
    with pytest.raises(KeyboardInterrupt):
        trainer.run(0)
    trainer.whole[trainer.main].step = step
    assert taken == [0, 1, 2, 3, 4, 5]
    assert [e.train_loss for e in trainer.run(3).epochs] == [e.train_loss for e in expected]


def test_what_cannot_be_recorded_is_one_clear_error(monkeypatch):
    def work():
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    monkeypatch.setattr(torch.cuda, "Stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", MagicMock())
    monkeypatch.setattr(torch.cuda, "current_stream", MagicMock())
    with pytest.raises(AirbenchError, match=r"\(operation not permitted when stream is capturing\): run without comp"):
        whole_step.cuda_graph(work)
