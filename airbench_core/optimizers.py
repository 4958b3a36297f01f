"""The three ways to optimize, their learning rates at every step, and Lookahead.

How `lr` and `weight_decay` are stated belongs to the optimizer. The loss is summed over the batch in all of them.

sgd        Nesterov SGD. Both per 1,024 examples and decoupled from momentum, batch size and each other: with
           K = 1024 (1 + 1 / (1 - momentum)), SGD's lr is lr / K, and its weight decay is such that
           weight_decay * batch_size / K of each weight enters its momentum in a step, whatever the lr of its group.
torch-sgd  Nesterov SGD with torch.optim.SGD's own numbers for a loss averaged over the batch.
muon       Muon on the convolutions, Nesterov SGD on biases and head. Raw: each lr as it is, and
           weight_decay * batch_size of each bias and head weight enters its momentum in a step.

Source: Jordan, arXiv:2404.00498, its repository, and kellerjordan.github.io/posts/muon.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import SGD, Optimizer

from airbench_core.recipes import Recipe
from airbench_core.tricks.muon import Muon, newton_schulz

LOOKAHEAD_EVERY = 5  # steps between two updates of the slow weights


def lr_factors(recipe: Recipe, steps: int) -> list[float]:
    """The factor on each group's learning rate at every step: a triangle.

    It goes from `lr_start` over 1 towards `lr_end`.
    """
    peak = int(recipe.lr_peak_at * steps)
    # A peak at once has no way up.
    points = [(0, recipe.lr_start), (peak, 1), (steps, recipe.lr_end)][peak == 0 :]
    return np.interp(np.arange(steps), *zip(*points, strict=True)).tolist()


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    """The groups of sgd: what is trained of `network`, with its "lr" and "weight_decay".

    The "lr" is that at the peak of the schedule. The biases of the BatchNorms learn
    `bias_scale` times as fast as all else, and decay as all else.
    """
    k = 1024 * (1 + 1 / (1 - recipe.momentum))
    lr = recipe.lr / k
    decay = recipe.weight_decay * recipe.batch_size / k
    norms, others = _norm_biases_and_others(network)
    return _decayed(
        decay,
        {"params": norms, "lr": lr * recipe.bias_scale},
        {"params": others, "lr": lr},
    )


def make_optimizers(
    network: nn.Module,
    recipe: Recipe,
    orthogonalize: Callable = newton_schulz,
    groups: Callable[[nn.Module, Recipe], list[dict]] = parameter_groups,
) -> list[Optimizer]:
    """The optimizers of `recipe`, their groups' "lr" at the peak of the schedule.

    orthogonalize: Muon's. groups: sgd's, a function like `parameter_groups`.
    """
    if recipe.optimizer == "muon":
        return _muon(network, recipe, orthogonalize)
    return [_nesterov(recipe, (groups if recipe.optimizer == "sgd" else _torch_groups)(network, recipe))]


def learning_rates(
    optimizers: list[Optimizer],
    recipe: Recipe,
    steps: int,
    freeze_step: int | None,
    schedule: Callable = lr_factors,
) -> list[tuple[dict, list[float]]]:
    """Each group of the optimizers with its learning rate at every step.

    schedule: a function like `lr_factors`.
    """
    factors = [float(factor) for factor in schedule(recipe, steps)]
    # Muon's whitening bias has a line of its own, down to 0 where it is frozen.
    down = factors
    if freeze_step:
        down = [max(0.0, 1 - step / freeze_step) for step in range(steps)]
    rates = []
    for group in (group for optimizer in optimizers for group in optimizer.param_groups):
        line = down if group.get("until_frozen") else factors
        rates.append((group, [group["lr"] * factor for factor in line]))
    return rates


def _torch_groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    lr = recipe.lr / recipe.batch_size  # the loss is summed here
    trained = [p for p in network.parameters() if p.requires_grad]
    return _decayed(recipe.lr * recipe.weight_decay, {"params": trained, "lr": lr})


def _muon(network: nn.Module, recipe: Recipe, orthogonalize: Callable) -> list[Optimizer]:
    norms, others = _norm_biases_and_others(network)
    filters, head, first_bias = ([p for p in others if p.ndim == n] for n in (4, 2, 1))
    groups = _decayed(
        recipe.weight_decay * recipe.batch_size,
        {"params": norms, "lr": recipe.bias_lr},
        {"params": head, "lr": recipe.head_lr},
        {"params": first_bias, "lr": recipe.bias_lr, "until_frozen": recipe.whiten},
    )
    steps = recipe.newton_schulz_steps
    muon = Muon(filters, recipe.lr, recipe.muon_momentum, steps, orthogonalize=orthogonalize)
    return [muon, _nesterov(recipe, groups)]


def _norm_biases_and_others(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    norms = [module.bias for module in network.modules() if isinstance(module, nn.BatchNorm2d)]
    ids = {id(bias) for bias in norms}
    return norms, [p for p in network.parameters() if p.requires_grad and id(p) not in ids]


def _decayed(decay: float, *groups: dict) -> list[dict]:
    """Groups of "params" with their "lr"; `decay` is lr times weight decay, one for all."""
    # SGD multiplies its weight decay by the lr: dividing here keeps the lr out of it.
    return [group | {"weight_decay": decay / group["lr"]} for group in groups]


def _nesterov(recipe: Recipe, groups: list[dict]) -> SGD:
    return SGD(groups, momentum=recipe.momentum, nesterov=True, fused=True)


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

    `begin` starts a training; after it `finish` puts the slow weights into the network.
    update_: a function like `lookahead_update_`.
    """

    def __init__(self, network: nn.Module, steps: int, update_: Callable = lookahead_update_):
        self.fast = [value for value in network.state_dict().values() if value.is_floating_point()]
        self.slow = [value.clone() for value in self.fast]
        self.decays = lookahead_decays(steps)
        self.update_ = update_

    @torch.no_grad()
    def begin(self) -> None:
        """The slow weights are the network's of now."""
        for s, f in zip(self.slow, self.fast, strict=True):
            s.copy_(f)

    def after_step(self, step: int) -> None:
        """To be called when `step` steps are done."""
        if step % LOOKAHEAD_EVERY == 0:
            self.update_(self.slow, self.fast, self.decays[step])

    def finish(self) -> None:
        self.update_(self.slow, self.fast, 1.0)
