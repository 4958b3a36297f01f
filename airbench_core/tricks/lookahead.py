"""Lookahead: slow weights that pull the fast ones back every five steps.

Source: Zhang et al., arXiv:1907.08610; with the decays of Jordan, arXiv:2404.00498, section 3.4.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

LOOKAHEAD_EVERY = 5  # steps between two updates of the slow weights


def lookahead_decays(steps: int) -> list[float]:
    """How much of the slow weights is kept when they are updated after step s = 0..`steps`.

    It is 0.95^5 (s / steps)^3.
    """
    return (0.95**5 * (np.arange(steps + 1) / steps) ** 3).tolist()


@torch.no_grad()
def lookahead_update_(slow: Iterable[Tensor], fast: Iterable[Tensor], decay: float) -> None:
    """slow <- decay * slow + (1 - decay) * fast; fast <- slow, in place."""
    for s, f in zip(slow, fast, strict=True):
        s.lerp_(f, 1 - decay)
        f.copy_(s)


class Lookahead:
    """Slow copies of a network's whole floating-point state, BatchNorm's running statistics included.

    For each training: `init`, then `after_step` with the number of steps done; the last of `steps` puts the slow
    weights into the network. update_: a function like `lookahead_update_`.
    """

    def __init__(self, network: nn.Module, steps: int, update_: Callable = lookahead_update_):
        self.fast = [value for value in network.state_dict().values() if value.is_floating_point()]
        self.slow = [value.clone() for value in self.fast]
        self.steps, self.decays, self.update_ = steps, lookahead_decays(steps), update_

    @torch.no_grad()
    def init(self) -> None:
        """The slow weights are the network's of now."""
        for s, f in zip(self.slow, self.fast, strict=True):
            s.copy_(f)

    def after_step(self, done: int) -> None:
        if done % LOOKAHEAD_EVERY == 0:
            self.update_(self.slow, self.fast, self.decays[done])
        if done == self.steps:
            self.update_(self.slow, self.fast, 1.0)
