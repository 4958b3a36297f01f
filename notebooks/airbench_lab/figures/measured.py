"""The runs of a frame, as figures need them: by recipe, with their mean and interval, and where they were made."""

import math
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from airbench_core import UsageError
from airbench_lab.study.frames import one_setting
from airbench_lab.study.names import recipe_name
from airbench_lab.study.statistics import mean_interval


class Interval(NamedTuple):
    """The mean of n values with its 95 % interval by Student's t, NaN for a single one."""

    n: int
    mean: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"n={self.n}" if self.n > 1 else "n=1, no interval"


def percent(accuracies: Iterable[float]) -> Interval:
    """Of accuracies in 0..1, in percent; all NaN of none."""
    values = list(accuracies)
    if len(values) < 2:
        return Interval(len(values), 100 * values[0] if values else math.nan, math.nan, math.nan)
    mean = mean_interval([100 * value for value in values])
    return Interval(mean.n, mean.mean, mean.low, mean.high)


class Measured:
    """The runs of `study.frames.frame`, of one scale, data set and kind of hardware; `setting` says which.

    Raises UsageError for a frame without runs, or with those of several settings.
    """

    def __init__(self, runs: pd.DataFrame):
        one_setting(runs)
        self.runs = runs
        kinds = sorted(set(runs["hardware"]))
        if len(kinds) > 1:
            raise UsageError(f"these runs are of several kinds: {'; '.join(kinds)}: draw runs of one")
        self.hardware, self.scale, self.data = kinds[0], runs["scale"].iloc[0], runs["data"].iloc[0]
        self.setting = f"scale {self.scale}, {self.data}, {self.hardware}"

    def groups(self) -> dict[str, pd.DataFrame]:
        """The runs of each recipe, compiled or not, by name, in the order of their first run.

        Of several of one seed the last counts.
        """
        names = [
            recipe_name(asked, parts) + ", compiled" * compile
            for asked, parts, compile in zip(*(self.runs[c] for c in ("asked", "parts", "compile")), strict=True)
        ]
        groups = self.runs.groupby(pd.Series(names, self.runs.index), sort=False)
        return {name: of.drop_duplicates("seed", keep="last") for name, of in groups}
