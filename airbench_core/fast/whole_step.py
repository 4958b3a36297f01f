"""A whole training step as one graph: the device replays what was recorded once, and the host only says on which rows.

Twin: `Learner.step`, whose device part, `Learner.compute`, is what is recorded. Recorded with it are the gather of the
batch from its rows and the choice of the learning rates by a step counter on the device. A step then costs the host one
copy of rows and one launch; eager steps launch some two hundred kernels each.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.augmentation import Augmentation
from airbench_core.errors import AirbenchError
from airbench_core.learner import Learner

Record = Callable[[Callable[[], None]], Callable[[], None]]


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
        self.forget()

    def forget(self) -> None:
        """Record anew in the next steps."""
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
        if kind not in self.graphs:
            self.rows = rows.clone() if not self.graphs else self.rows
            self.rows.copy_(rows)
            self.graphs[kind] = self.record(lambda: self._compute(kind))
        self.rows.copy_(rows)
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


def cuda_graph(work: Callable[[], None]) -> Callable[[], None]:
    """`work` as a CUDA graph. It is done a few times first, so that kernels are chosen and memory is at hand."""
    aside = torch.cuda.Stream()
    aside.wait_stream(torch.cuda.current_stream())
    try:
        with torch.cuda.stream(aside):
            for _ in range(3):
                work()
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, capture_error_mode="thread_local"):  # other threads may go on
            work()
    except RuntimeError as error:
        reason = str(error).strip().splitlines()[0]
        raise AirbenchError(f"a step cannot be recorded as a CUDA graph ({reason}): run without compile") from error
    return graph.replay
