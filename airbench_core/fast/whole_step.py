"""A whole training step as one graph: the device replays what was recorded once, and the host only says on which rows.

Twin: the same step without it, in `Trainer.step_through`. Recorded with it are the gather of the batch from its rows
and the choice of the learning rates by a step counter on the device.
"""

import gc
from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.augmentation import Augmentation
from airbench_core.errors import AirbenchError

Rates = list[tuple[dict, list[float]]]  # parameter groups, each with its learning rate at every step
Record = Callable[[Callable[[], None]], Callable[[], None]]
Work = Callable[[Tensor, bool], Tensor]  # of a batch's rows (B, 6), and which of two kinds of steps it is


class NotRecorded(AirbenchError):
    """A step does something that a graph cannot hold, such as to ask the device for a value."""


class WholeStep:
    """`start` before each run; then the function that it gives, step after step, in order from 0.

    rates: parameter groups with their learning rates at every step. record: gets a function that works on the device,
    calls it or not, and gives one that repeats what it did there.
    """

    def __init__(self, rates: Rates, device: torch.device, record: Record):
        self.record = record
        self.at = torch.zeros(1, dtype=torch.int64, device=device)  # the step
        lines = torch.tensor([line for _, line in rates], dtype=torch.float32, device=device)
        self.rates = lines.T.contiguous()  # (steps, groups)
        self.now = self.rates[0].clone()  # (groups,)
        groups = zip(rates, self.now.unbind(), strict=True)
        self.learning_rates = [(group, [rate] * len(line)) for (group, line), rate in groups]
        self.work: Work | None = None
        self.augmentation: Augmentation | None = None
        self.rows: Tensor | None = None  # of the batch, where the graphs look for them
        self.graphs: dict[bool, Callable[[], None]] = {}
        self.results: dict[bool, Tensor] = {}

    def start(self, work: Work, augmentation: Augmentation) -> Work:
        """`work` on the images of `augmentation`, replayed; what it gives is overwritten by the next step.

        The first run's is what is recorded: the images of later ones are copied to where its graphs look for them.
        """
        if self.work is None:
            self.work, self.augmentation = work, augmentation
        elif self.augmentation is not augmentation:
            self.augmentation.padded.copy_(augmentation.padded)
        self.at.zero_()
        return self._step

    def _step(self, rows: Tensor, kind: bool) -> Tensor:
        if self.rows is None:
            self.rows = torch.empty_like(rows)
        self.rows.copy_(rows)
        if kind not in self.graphs:
            self.graphs[kind] = self.record(lambda: self._compute(kind))
        self.graphs[kind]()
        return self.results[kind]

    def _compute(self, kind: bool) -> None:
        self.now.copy_(self.rates.index_select(0, self.at)[0])
        result = self.work(self.rows, kind)
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
        graph, before = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        try:
            with torch.cuda.graph(graph, self.pool, self.stream, capture_error_mode="thread_local"):  # others may go on
                work()
        except RuntimeError as error:
            while error.__context__ is not None:  # to end a recording that failed fails too
                error = error.__context__
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise NotRecorded(f"a step cannot be recorded as a CUDA graph ({reason})") from error
        finally:  # which a recording that failed leaves as it was in it
            torch.cuda.set_stream(before)
        torch.cuda.current_stream().wait_stream(self.stream)
        self.pool = graph.pool()
        return graph.replay
