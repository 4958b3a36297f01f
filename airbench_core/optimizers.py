"""Parameter groups, the learning-rate table, and Lookahead.

Learning rate and weight decay are stated per 1,024 examples and decoupled from momentum, batch size and each other:
with K = 1024 (1 + 1 / (1 - momentum)), SGD's lr is lr / K on a summed loss, and a step decays each weight by
weight_decay * batch_size / K, whatever the lr of its group. Source: Jordan, arXiv:2404.00498, and its repository.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn

from airbench_core.network import Network
from airbench_core.recipes import Recipe

LOOKAHEAD_EVERY = 5  # steps between two updates of the slow weights


def lr_factors(recipe: Recipe, steps: int) -> list[float]:
    """The factor on each group's learning rate at every step: a triangle from `lr_start` over 1 towards `lr_end`."""
    peak = int(recipe.lr_peak_at * steps)
    return np.interp(np.arange(steps), [0, peak, steps], [recipe.lr_start, 1, recipe.lr_end]).tolist()


def make_optimizer(network: Network, recipe: Recipe) -> torch.optim.SGD:
    """Nesterov SGD for a loss summed over the batch; BatchNorm biases are a group with `bias_scale` times the lr."""
    k = 1024 * (1 + 1 / (1 - recipe.momentum))
    lr = recipe.lr / k
    decay = recipe.weight_decay * recipe.batch_size / k
    norms = [module.bias for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    norm_ids = {id(bias) for bias in norms}
    others = [p for p in network.parameters() if p.requires_grad and id(p) not in norm_ids]
    # SGD multiplies the decay by the lr: dividing here keeps it the same for both groups.
    groups = [
        {"params": norms, "lr": lr * recipe.bias_scale, "weight_decay": decay / (lr * recipe.bias_scale)},
        {"params": others, "lr": lr, "weight_decay": decay / lr},
    ]
    return torch.optim.SGD(groups, momentum=recipe.momentum, nesterov=True)


def lookahead_decays(steps: int) -> list[float]:
    """How much of the slow weights is kept when they are updated after step s = 0..`steps`: 0.95^5 (s / steps)^3."""
    return (0.95**5 * (np.arange(steps + 1) / steps) ** 3).tolist()


@torch.no_grad()
def lookahead_update_(slow: Iterable[Tensor], fast: Iterable[Tensor], decay: float) -> None:
    """slow <- decay * slow + (1 - decay) * fast; fast <- slow, in place."""
    for s, f in zip(slow, fast, strict=True):
        s.lerp_(f, 1 - decay)
        f.copy_(s)


class Lookahead:
    """Slow copies of a network's whole floating-point state, BatchNorm's running statistics included.

    After training, `finish` puts the slow weights into the network. update_: a function like `lookahead_update_`.
    """

    def __init__(self, network: nn.Module, steps: int, update_: Callable = lookahead_update_):
        self.fast = [value for value in network.state_dict().values() if value.is_floating_point()]
        self.slow = [value.clone() for value in self.fast]
        self.decays = lookahead_decays(steps)
        self.update_ = update_

    def after_step(self, step: int) -> None:
        """To be called when `step` steps are done."""
        if step % LOOKAHEAD_EVERY == 0:
            self.update_(self.slow, self.fast, self.decays[step])

    def finish(self) -> None:
        self.update_(self.slow, self.fast, 1.0)
