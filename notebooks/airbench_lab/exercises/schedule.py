"""Lesson 01: the factor on the learning rate at every step."""

import math
from dataclasses import replace

import torch
from torch import Tensor

from airbench_core import AIRBENCH94, BASELINE, Recipe
from airbench_core.tricks.schedule import lr_factors
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def _variant(*, peak=lambda recipe, steps: int(recipe.lr_peak_at * steps), **other):
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


def _unreached(recipe: Recipe, steps: int) -> list[float]:
    """The two lines as one minimum: right where both are long."""
    top = int(recipe.lr_peak_at * steps)
    down = [recipe.lr_end + (1 - recipe.lr_end) * (steps - step) / steps for step in range(steps)]
    up = [recipe.lr_start + (1 - recipe.lr_start) * step / max(1, top) for step in range(steps)]
    return [min(pair) for pair in zip(up, down, strict=True)]


def _jump(recipe: Recipe, steps: int) -> list[float]:
    """A peak at step 0 that is found by interpolation between two points at the same place."""
    right = lr_factors(recipe, steps)
    return [recipe.lr_start, *right[1:]] if int(recipe.lr_peak_at * steps) == 0 else right


def _form(factors: list[float]) -> Tensor:
    return torch.tensor([float(factor) for factor in factors], dtype=torch.float64)


def _cosine(share: float) -> float:
    return (1 - math.cos(math.pi * share)) / 2


SCHEDULE = Exercise(
    name="schedule",
    part="lr_factors",
    reference=lr_factors,
    form=_form,
    cases=(
        Case("20 steps of the baseline: from 0.2 up to 1 at step 4, then down towards 0", lambda: (BASELINE, 20)),
        Case(
            "another recipe: the peak at 23 % of 30 steps, down towards 0.07",
            lambda: (replace(AIRBENCH94, lr_start=0.1), 30),
        ),
        Case("a peak at step 0: no way up", lambda: (replace(BASELINE, lr_peak_at=0), 10)),
    ),
    mistakes=(
        Mistake(_variant(more=1), "there is one factor too many: `steps` are needed, for step 0 to step steps - 1."),
        Mistake(
            _variant(last=-1),
            "the last step has the factor lr_end already: it belongs to step `steps`, one after the last.",
        ),
        Mistake(_variant(shift=1), "everything comes a step too early: step 0 has the factor lr_start."),
        Mistake(_variant(start=0.0), "the way up starts at 0: it starts at lr_start."),
        Mistake(_variant(rates=True), "these are learning rates: give the factor only, which is 1 at the peak."),
        Mistake(
            _unreached,
            "1 is never reached: the way down starts at the peak, not at step 0. Draw both lines on paper.",
        ),
        Mistake(_variant(curve=_cosine), "these are arcs of a cosine: here both ways are straight lines."),
        Mistake(
            _variant(peak=lambda recipe, steps: recipe.lr_peak_at * steps),
            "the peak lies between two steps: take the whole step below it, int(lr_peak_at * steps).",
        ),
        Mistake(
            _variant(peak=lambda recipe, steps: round(recipe.lr_peak_at * steps)),
            "the peak was rounded: int() takes the whole step below, so 6.9 becomes 6.",
        ),
        Mistake(
            _variant(peak=lambda recipe, steps: int(0.2 * steps)),
            "with another recipe the peak stays where it was: take recipe.lr_peak_at, not 0.2.",
        ),
        Mistake(_variant(end=0.0), "the way down always ends at 0: it ends at recipe.lr_end."),
        Mistake(_jump, "where the peak is at step 0, the first factor is 1: there is no way up from lr_start."),
    ),
    otherwise=(
        "the factors are not yet those of the triangle. Print the first, the largest and the last, and compare: "
        "lr_start at step 0, 1 at the peak, and lr_end at step `steps`, which is one after the last."
    ),
)
