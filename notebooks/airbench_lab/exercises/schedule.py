"""Lesson 01: the factor on the learning rate at every step. Two steps before it: where the peak is, and the way up."""

import math
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from airbench_core import AIRBENCH94, BASELINE, Recipe
from airbench_core.tricks.schedule import lr_factors
from airbench_lab.exercises.checking import Case, Exercise, Mistake

OTHER = replace(AIRBENCH94, lr_start=0.1)
AT_ONCE = replace(BASELINE, lr_peak_at=0)


def peak_step(recipe: Recipe, steps: int) -> int:
    """The step with the factor 1."""
    return int(recipe.lr_peak_at * steps)


def way_up(recipe: Recipe, steps: int) -> list[float]:
    """The factors of the steps before the peak."""
    return lr_factors(recipe, steps)[: peak_step(recipe, steps)]


def _variant(*, peak=peak_step, **other):
    """`lr_factors` with something done otherwise."""

    def wrong(recipe: Recipe, steps: int) -> list[float]:
        start, end = other.get("start", recipe.lr_start), other.get("end", recipe.lr_end)
        top = peak(recipe, steps)
        last = steps + other.get("last", 0)
        curve = other.get("curve", lambda share: share)

        def factor(step: float) -> float:
            if step < top:
                return start + (1 - start) * curve(step / top)
            return 1 + (end - 1) * curve((step - top) / (last - top))

        factors = [factor(step + other.get("shift", 0)) for step in range(steps + other.get("more", 0))]
        return [value * (recipe.lr if other.get("rates") else 1) for value in factors]

    return wrong


def _end_points(recipe: Recipe, steps: int) -> list[float]:
    """Two calls of np.linspace, which gives its last point too."""
    top = peak_step(recipe, steps)
    return [*np.linspace(recipe.lr_start, 1, top), *np.linspace(1, recipe.lr_end, steps - top)]


def _unreached(recipe: Recipe, steps: int) -> list[float]:
    """The two lines as one minimum: right where both are long."""
    top = peak_step(recipe, steps)
    down = [recipe.lr_end + (1 - recipe.lr_end) * (steps - step) / steps for step in range(steps)]
    up = [recipe.lr_start + (1 - recipe.lr_start) * step / max(1, top) for step in range(steps)]
    return [min(pair) for pair in zip(up, down, strict=True)]


def _jump(recipe: Recipe, steps: int) -> list[float]:
    """A peak at step 0 that is found by interpolation between two points at the same place."""
    right = lr_factors(recipe, steps)
    return right if peak_step(recipe, steps) else [recipe.lr_start, *right[1:]]


def _factors(function, recipe: Recipe, steps: int) -> dict:
    factors = function(recipe, steps)
    return {"the factors, from step 0 on": list(factors) if isinstance(factors, Iterator) else factors}


SCHEDULE = Exercise(
    name="schedule",
    part="lr_factors",
    reference=lr_factors,
    observe=_factors,
    steps=(
        Exercise(
            name="peak",
            reference=peak_step,
            cases=(
                Case("the baseline's peak in 20 steps", lambda: (BASELINE, 20)),
                Case("a peak at 23 % of 30 steps", lambda: (OTHER, 30)),
                Case("a peak at step 0", lambda: (AT_ONCE, 10)),
            ),
            mistakes=(
                Mistake(lambda recipe, steps: round(recipe.lr_peak_at * steps), "int() takes the whole step below."),
                Mistake(lambda recipe, steps: recipe.lr_peak_at * steps, "the peak is a whole step: int(...)."),
            ),
        ),
        Exercise(
            name="up",
            reference=way_up,
            observe=_factors,
            cases=(
                Case("from 0.2 at step 0 towards 1 at step 4, without the peak itself", lambda: (BASELINE, 20)),
                Case("from 0.1, with the peak at 23 % of 30 steps", lambda: (OTHER, 30)),
                Case("no way up where the peak is at step 0", lambda: (AT_ONCE, 10)),
            ),
            mistakes=(
                Mistake(
                    lambda recipe, steps: np.linspace(recipe.lr_start, 1, peak_step(recipe, steps)),
                    "1 is reached a step too early: np.linspace gives its end point too, unless endpoint=False.",
                ),
            ),
        ),
    ),
    cases=(
        Case("20 steps of the baseline: from 0.2 up to 1 at step 4, then down towards 0", lambda: (BASELINE, 20)),
        Case("another recipe: the peak at 23 % of 30 steps, down towards 0.07", lambda: (OTHER, 30)),
        Case("a peak at step 0: no way up", lambda: (AT_ONCE, 10)),
    ),
    mistakes=(
        Mistake(_variant(more=1), "`steps` factors are needed, for step 0 to step `steps` - 1."),
        Mistake(_end_points, "np.linspace gives its end point too, so both lines are too steep: endpoint=False."),
        Mistake(
            _variant(last=-1),
            "the last step has the factor lr_end already. It belongs to step `steps`, one after the last.",
        ),
        Mistake(_variant(shift=1), "everything comes a step too early. Step 0 has the factor lr_start."),
        Mistake(_variant(start=0.0), "the way up starts at 0. It should start at lr_start."),
        Mistake(_variant(rates=True), "these are learning rates. Give the factor only, which is 1 at the peak."),
        Mistake(
            _unreached,
            "1 is never reached. The way down starts at the peak, not at step 0. Draw both lines on paper.",
        ),
        Mistake(
            _variant(curve=lambda share: (1 - math.cos(math.pi * share)) / 2),
            "these are arcs of a cosine. Here both ways are straight lines.",
        ),
        Mistake(
            _variant(peak=lambda recipe, steps: recipe.lr_peak_at * steps),
            "the peak lies between two steps. Take the whole step below it: int(lr_peak_at * steps).",
        ),
        Mistake(
            _variant(peak=lambda recipe, steps: round(recipe.lr_peak_at * steps)),
            "the peak was rounded. int() takes the whole step below, so 6.9 becomes 6.",
        ),
        Mistake(
            _variant(peak=lambda recipe, steps: int(0.2 * steps)),
            "with another recipe the peak stays where it was. Use recipe.lr_peak_at, not 0.2.",
        ),
        Mistake(_variant(end=0.0), "the way down always ends at 0. It should end at recipe.lr_end."),
        Mistake(_jump, "where the peak is at step 0, the first factor is 1: there is no way up from lr_start."),
    ),
)
