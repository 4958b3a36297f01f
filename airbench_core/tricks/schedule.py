"""The schedule: the learning rate of every step, a table that is made before training.

Source: Jordan, arXiv:2404.00498, and its repository.
"""

from collections.abc import Callable

import numpy as np
from torch.optim import Optimizer

from airbench_core.recipes import Recipe


def lr_factors(recipe: Recipe, steps: int) -> list[float]:
    """The factor on each group's learning rate at every step: a triangle.

    It goes from `lr_start` over 1 towards `lr_end`.
    """
    peak = int(recipe.lr_peak_at * steps)
    # A peak at once has no way up.
    points = [(0, recipe.lr_start), (peak, 1), (steps, recipe.lr_end)][peak == 0 :]
    return np.interp(np.arange(steps), *zip(*points, strict=True)).tolist()


def learning_rates(
    optimizers: list[Optimizer], recipe: Recipe, steps: int, freeze_step: int | None, schedule: Callable = lr_factors
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
