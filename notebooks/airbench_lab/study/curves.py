"""A curve: what was measured of one recipe, as accuracy over the epochs of whole trainings; how it is interpolated.

For each budget of epochs (a training of that length, its schedule included, not a point within a longer one) a curve
holds the accuracies of its runs.

Between two budgets, accuracy is taken as linear in the logarithm of the epochs, after isotonic regression of the means
(weighted by the number of runs): more epochs are assumed not to hurt. Errors fall about like a power of the epochs, so
the logarithm is the straighter scale, and the result does not depend on whether epochs or steps are counted. PCHIP is
smoother, but no better founded with the three to six budgets that one has. A power law fitted to all budgets (error = c
+ b epochs^a) needs more budgets than it has parameters, and lends itself to reading off what was never measured.
"""

import math
from collections.abc import Hashable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from airbench_core.errors import UsageError
from airbench_lab.study.statistics import by_seed, checked

Curve = Mapping[float, Sequence[float]] | Mapping[float, Mapping[Hashable, float]]  # budget -> its runs, or seed -> run

ROUNDING = 1e-12  # relative: a target that is just the lowest or highest mean is met by it, however it was summed


class MeasuredCurve:
    """A curve that has been checked, its budgets in order.

    Raises UsageError for fewer than two budgets, one that is not positive, fewer than two runs at one, values that are
    not finite, and where seeds are named, budgets whose seeds are not the same.
    """

    def __init__(self, curve: Curve):
        if len(curve) < 2:
            raise UsageError(f"{len(curve)} budget(s) of epochs make no curve: at least 2 are needed")
        for budget, runs in curve.items():
            if not (math.isfinite(budget) and budget > 0):
                raise UsageError(f"a budget of {budget} epochs is not legal: above 0")
            if len(runs) < 2:
                raise UsageError(f"{len(runs)} run(s) of {budget:g} epochs have no spread: at least 2 are needed")
            checked(list(runs.values()) if isinstance(runs, Mapping) else runs)
        order = sorted(curve)
        self.budgets = np.array(order, float)
        paired = [isinstance(curve[budget], Mapping) for budget in order]
        if any(paired) != all(paired):
            raise UsageError("seeds are named at some budgets only: name them at all, or at none")
        self.seeds = list(curve[order[0]]) if all(paired) else None
        columns = by_seed(*(curve[budget] for budget in order)) if all(paired) else [curve[budget] for budget in order]
        self.runs = [np.asarray(column, float) for column in columns]
        self.weights = np.array([len(column) for column in self.runs])
        self.n = int(self.weights.min())

    @property
    def residuals(self) -> NDArray:
        """Runs about the mean of their budget, as wide as those about the true mean would be."""
        return np.concatenate([(runs - runs.mean()) * math.sqrt(len(runs) / (len(runs) - 1)) for runs in self.runs])

    def resampled(self, rng: np.random.Generator, resamples: int, picked: NDArray | None = None) -> NDArray:
        """Means of runs that are drawn again, (resamples, budgets); `picked`: which runs, where they are paired."""
        if self.seeds is not None and picked is None:
            picked = rng.integers(self.n, size=(resamples, self.n))
        draws = (
            runs[rng.integers(len(runs), size=(resamples, len(runs))) if picked is None else picked]
            for runs in self.runs
        )
        return np.stack([drawn.mean(1) for drawn in draws], axis=1)

    def crossings(self, means: NDArray, targets: NDArray | float) -> NDArray:
        """Where the curve through each row of `means` reaches its target: epochs, 0 below the curve, infinite above."""
        levels = isotonic(means, self.weights)
        targets = np.broadcast_to(np.asarray(targets, float)[..., None], (len(levels), 1))
        reached = levels >= targets - ROUNDING * np.abs(targets)
        after = reached.argmax(1)  # the first budget that reaches it; 0 also where none does
        before = np.maximum(after - 1, 0)
        rows, logs = np.arange(len(levels)), np.log(self.budgets)
        start, end = levels[rows, before], levels[rows, after]
        share = np.where(end > start, (targets[:, 0] - start) / np.where(end > start, end - start, 1), 0)
        between = np.exp(logs[before] + np.clip(share, 0, 1) * (logs[after] - logs[before]))
        below = levels[:, 0] > targets[:, 0] + ROUNDING * np.abs(targets[:, 0])
        return np.where(reached.any(1), np.where(below, 0.0, between), math.inf)


def curve_of(budgets: Mapping[float, Mapping[int, float]]) -> Curve:
    """The budgets, of accuracies by seed, that have two runs and more; seeds are named, so that runs are paired, where
    all of these budgets have the same ones."""
    some = {epochs: dict(runs) for epochs, runs in sorted(budgets.items()) if len(runs) > 1}
    alike = len({frozenset(runs) for runs in some.values()}) == 1
    return some if alike else {epochs: list(runs.values()) for epochs, runs in some.items()}


def isotonic(means: NDArray, weights: NDArray) -> NDArray:
    """Each row of `means` (R, B) as the non-decreasing one that is nearest in weighted least squares.

    By the max-min formula, max over j <= i of min over k >= i of the weighted mean from j to k (Barlow et al.,
    Statistical Inference under Order Restrictions, 1972), for all rows at once.
    """
    fitted = np.full(means.shape, -math.inf)
    for j in range(means.shape[1]):
        running = np.cumsum(means[:, j:] * weights[j:], axis=1) / np.cumsum(weights[j:])  # means from j to k
        least = np.minimum.accumulate(running[:, ::-1], axis=1)[:, ::-1]  # over all k from i on
        np.maximum(fitted[:, j:], least, out=fitted[:, j:])
    return fitted
