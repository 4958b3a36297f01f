"""A whole training step as one graph: the device replays what was recorded once, and the host only says on which rows.

Twin: `Learner.step`, whose device part, `Learner.compute`, is what is recorded. Recorded with it are the gather of the
batch from its rows and the choice of the learning rates by a step counter on the device. A step then costs the host a
copy of rows, a launch and the sum of the losses; an eager one over a hundred launches.
"""

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.augmentation import Augmentation
from airbench_core.errors import AirbenchError
from airbench_core.learner import Learner

Record = Callable[[Callable[[], None]], Callable[[], None]]


class NotRecorded(AirbenchError):
    """A step does something that a graph cannot hold, such as to ask the device for a value."""


class WholeStep:
    """`begin` before each run, then `step` after step, in order from 0.

    record: gets a function that works on the device, calls it or not, and gives one that repeats what it did there.
    """

    def __init__(self, learner: Learner, record: Record):
        self.learner, self.record = learner, record
        self.labels = learner.data.train_labels
        device = self.labels.device
        self.at = torch.zeros(1, dtype=torch.int64, device=device)
        rates = [rates for _, rates in learner.learning_rates]
        self.rates = torch.tensor(rates, device=device).T.contiguous()  # (steps, groups)
        self.now = self.rates[0].clone()
        self.augmentation: Augmentation | None = None
        self.rows: Tensor | None = None  # of the batch, where the graphs look for them
        self.graphs: dict[bool, Callable[[], None]] = {}
        self.results: dict[bool, Tensor] = {}

    def begin(self, augmentation: Augmentation) -> None:
        """Start a run on the images of `augmentation`; they are copied to where the graphs look for them."""
        if self.augmentation is None:
            self.augmentation = augmentation
        elif self.augmentation is not augmentation:
            self.augmentation.padded.copy_(augmentation.padded)
        self.at.zero_()
        for (group, _), rate in zip(self.learner.learning_rates, self.now.unbind(), strict=True):
            group["lr"] = rate

    def step(self, rows: Tensor, step: int) -> Tensor:
        """As `Learner.step` on the batch that `rows` (B, 6) describe. The result is overwritten by the next step."""
        kind = self.learner.kind(step)
        if self.rows is None:
            self.rows = torch.empty_like(rows)
        self.rows.copy_(rows)
        if kind not in self.graphs:
            self.graphs[kind] = self.record(lambda: self._compute(kind))
        self.graphs[kind]()
        self.learner.average(step)
        return self.results[kind]

    def _compute(self, kind: bool) -> None:
        self.now.copy_(self.rates.index_select(0, self.at)[0])
        result = self.learner.compute(self.augmentation.batch(self.rows), self.labels[self.rows[:, 0]], kind)
        if kind in self.results:
            self.results[kind].copy_(result)
        else:
            self.results[kind] = result.clone()
        self.at.add_(1).remainder_(len(self.rates))


class CudaGraphs:
    """Records work as CUDA graphs, which share their memory: no two of them run at a time."""

    def __init__(self, device: torch.device):
        # All in one stream: another one's work, such as a gradient's from before, may not reach into a recording.
        self.stream, self.pool = torch.cuda.Stream(device), None

    def __call__(self, work: Callable[[], None]) -> Callable[[], None]:
        self.stream.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(self.stream):
            for _ in range(3):  # so that kernels are chosen and memory is at hand
                work()
        gc.collect()  # now, since to destroy another graph would end the recording
        graph = torch.cuda.CUDAGraph()
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):  # others may go on
                work()
        except RuntimeError as error:
            while error.__context__ is not None:  # to end a recording that failed fails too
                error = error.__context__
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise NotRecorded(f"a step cannot be recorded as a CUDA graph ({reason})") from error
        torch.cuda.current_stream().wait_stream(self.stream)
        self.pool = graph.pool()
        return graph.replay
