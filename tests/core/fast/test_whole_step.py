from contextlib import contextmanager
from dataclasses import replace

import pytest
import torch
from torch.fx.experimental.proxy_tensor import make_fx

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, AIRBENCH96_FASTER, RESNET18, Trainer
from airbench_core.errors import AirbenchWarning
from airbench_core.fast import lookahead
from airbench_core.fast.cpu import plain_
from airbench_core.fast.whole_step import CudaGraphs, NotRecorded
from airbench_core.tricks.lookahead import LOOKAHEAD_EVERY, lookahead_update_

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
    for seed in (1, 2) if name == "sgd" else (1,):  # a second run finds the graphs of the first
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


def test_a_stopped_run_leaves_nothing_behind(noise, tiny, float32):
    trainer = make_trainer(SHORT, noise, tiny, float32, replayed)
    expected = trainer.run(3).epochs
    step, taken = trainer.learner.graphs._step, []

    def failing(rows, kind):
        taken.append(len(taken))
        if taken[-1] == 5:
            raise KeyboardInterrupt
        return step(rows, kind)

    trainer.learner.graphs._step = failing
    with pytest.raises(KeyboardInterrupt):
        trainer.run(0)
    trainer.learner.graphs._step = step
    assert taken == [0, 1, 2, 3, 4, 5]
    assert [e.train_loss for e in trainer.run(3).epochs] == [e.train_loss for e in expected]


class FakeCuda:
    """Enough of torch.cuda to see in which order what is called, and in which stream."""

    def __init__(self, monkeypatch, ending_fails=False):
        self.log, self.current = [], "default"
        fake = self

        class Stream:
            def wait_stream(self, other):
                fake.log.append(f"side waits for {other}")

        class Default:
            def wait_stream(self, other):
                fake.log.append("default waits for side")

            def __str__(self):
                return "default"

        class Graph:
            def pool(self):
                return "pool"

            def replay(self):
                fake.log.append("replay")

        @contextmanager
        def stream(given):
            fake.current = "side"
            yield
            fake.current = "default"

        @contextmanager
        def graph(made, pool, stream, capture_error_mode):
            fake.log.append(f"record into {pool}, {capture_error_mode}")
            fake.current = "recording"
            try:
                yield
            finally:
                if ending_fails:  # PyTorch's then leaves its stream the current one
                    raise RuntimeError("the recording was ended by an error")
                fake.current = "default"
            fake.log.append("recorded")

        fakes = {"Stream": lambda device: Stream(), "current_stream": Default, "stream": stream}
        fakes["set_stream"] = lambda stream: setattr(fake, "current", str(stream))
        for name, value in {**fakes, "graph": graph, "CUDAGraph": Graph}.items():
            monkeypatch.setattr(torch.cuda, name, value)

    def work(self):
        self.log.append(f"work in {self.current}")


def test_a_graph_is_warmed_up_and_recorded_in_one_stream_and_replayed_later(monkeypatch):
    cuda = FakeCuda(monkeypatch)
    record = CudaGraphs(torch.device("cuda"))
    replays = [record(cuda.work), record(cuda.work)]
    start, end = (
        ["side waits for default", *["work in side"] * 3],
        ["work in recording", "recorded", "default waits for"],
    )
    expected = [*start, "record into None, thread_local", *end, *start, "record into pool, thread_local", *end]
    assert [line.removesuffix(" side") if line.startswith("default") else line for line in cuda.log] == expected
    cuda.log.clear()
    for replay in replays:
        replay()
    assert cuda.log == ["replay", "replay"]


def test_what_cannot_be_recorded_is_said_by_the_first_error(monkeypatch):
    cuda = FakeCuda(monkeypatch, ending_fails=True)

    def work():
        if cuda.current == "recording":
            raise RuntimeError("operation not permitted when stream is capturing\nmore")

    with pytest.raises(NotRecorded, match=r"graph \(operation not permitted when stream is capturing\)$"):
        CudaGraphs(torch.device("cuda"))(work)
    assert cuda.current == "default"


def test_an_error_of_the_step_itself_stays_what_it_is(monkeypatch):
    def work():
        raise RuntimeError("out of memory")

    FakeCuda(monkeypatch)
    with pytest.raises(RuntimeError, match=r"^out of memory$"):
        CudaGraphs(torch.device("cuda"))(work)


def test_a_step_that_cannot_be_recorded_is_taken_plainly_with_a_warning(noise, tiny, float32):
    def record(work):
        work()
        raise NotRecorded("a step cannot be recorded as a CUDA graph (why)")

    trainer = make_trainer(SHORT, noise, tiny, float32, record)
    with pytest.warns(AirbenchWarning, match=r"\(why\): compiled steps run one by one"):
        result = trainer.run(0)
    expected = make_trainer(SHORT, noise, tiny, float32).run(0)
    assert not result.graphs
    assert [e.train_loss for e in result.epochs] == [e.train_loss for e in expected.epochs]
    assert make_trainer(SHORT, noise, tiny, float32, replayed).run(0).graphs


def test_lookahead_by_lists_is_the_plain_one(generator):
    shapes = [(3, 4), (5,), (2, 3, 3, 3)]
    dtypes = [torch.float32, torch.float16, torch.float32]
    tensors = [[torch.randn(s, generator=generator).to(d) for s, d in zip(shapes, dtypes, strict=True)] for _ in "sf"]
    ours, plain = [[[t.clone() for t in some] for some in tensors] for _ in range(2)]
    for decay in 0.3, 1.0:
        lookahead.lookahead_update_(*ours, decay)
        lookahead_update_(*plain, decay)
        for mine, theirs in zip(ours[0] + ours[1], plain[0] + plain[1], strict=True):
            torch.testing.assert_close(mine, theirs)
