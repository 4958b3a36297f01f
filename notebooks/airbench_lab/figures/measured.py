"""The runs of a frame, as figures need them: by recipe, with their mean and interval, and where they were made."""

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from airbench_core import Recipe, UsageError
from airbench_core.scales import scale_named
from airbench_core.study.curves import Curve
from airbench_core.study.frames import RUN
from airbench_core.study.groups import Record, curve, recipe_name
from airbench_core.study.keys import one_setting, recipe_parts
from airbench_core.study.statistics import mean_interval
from airbench_lab.replay import hardware

LEVEL = "accuracy_"  # what heads a frame's column of the accuracy at a level of TTA
RUNTIME = {"device": "device", "name": "device_name", "dtype": "dtype", "threads": "threads", "compile": "compile"}


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
        self.records = [_record(row) for row in runs.to_dict("records")]
        one_setting(self.records)
        self._trainings = [_training(record["recipe"]) for record in self.records]
        kinds = {hardware(record["runtime"] | {"compile": False}) for record in self.records}
        if len(kinds) > 1:
            raise UsageError(f"these runs are of several kinds: {'; '.join(sorted(kinds))}: draw runs of one")
        self.hardware = kinds.pop()
        self.scale, self.data = self.records[0]["scale"], self.records[0]["data"]["name"]
        self.setting = f"scale {self.scale}, {self.data}, {self.hardware}"

    def curve(self, recipe: Recipe) -> Curve:
        """Accuracies of `recipe`, not scaled, at its level of TTA, by the lengths of training that have two runs.

        {epochs, as scaled: {seed: accuracy in 0..1}}. As in `replay.lookup`, runs at a higher level answer for a lower
        one; compiled ones and those with parts of somebody's own answer for none.
        """
        return curve(self._lengths(recipe), str(recipe))

    def groups(self) -> dict[str, list[int]]:
        """The rows, counted from 0, of each recipe, compiled or not, by name, in the order of their first run.

        Of several of one seed the last counts.
        """
        found: dict[str, dict[int, int]] = defaultdict(dict)
        for row, record in enumerate(self.records):
            found[recipe_name(record) + ", compiled" * record["runtime"]["compile"]][record["seed"]] = row
        return {name: list(rows.values()) for name, rows in found.items()}

    def _lengths(self, recipe: Recipe) -> dict[float, dict[int, Record]]:
        """The runs of a recipe, whatever its epochs, by these and by seed; of several of a seed the last counts.

        `accuracy` is that at the recipe's level of TTA; runs that ask for just this level count before others.
        """
        wanted = _training(asdict(scale_named(self.scale).recipe(recipe)))
        found: dict[float, dict[int, Record]] = defaultdict(dict)
        for record, training in sorted(
            zip(self.records, self._trainings, strict=True), key=lambda one: one[0]["recipe"]["tta"] == recipe.tta
        ):
            same = training == wanted and not record["runtime"]["compile"] and not record["parts"]
            if same and recipe.tta in record["accuracies"]:
                at_level = {**record, "accuracy": record["accuracies"][recipe.tta]}
                found[record["recipe"]["epochs"]][record["seed"]] = at_level
        return found


def _training(recipe: Mapping[str, Any]) -> dict[str, Any]:
    """What all runs of a recipe share that differ in epochs and TTA alone."""
    return {name: value for name, value in recipe_parts(recipe).items() if name not in ("epochs", "tta")}


def _record(row: Mapping[str, Any]) -> Record:
    """What of a run's record is in a row of its frame; NaN is null again."""
    values = {name: _plain(value) for name, value in row.items()}
    recipe = {name: values[name] for name in values.keys() - set(RUN)}
    known = {f.name for f in fields(Recipe)}
    levels = {name.removeprefix(LEVEL): value for name, value in values.items() if name.startswith(LEVEL)}
    return {
        "recipe": {name: value for name, value in recipe.items() if name in known or value is not None},
        "scale": values["scale"],
        "data": {"name": values["data"], "digest": values["digest"]},
        "runtime": {name: values[column] for name, column in RUNTIME.items()},
        "seed": values["seed"],
        "parts": values["parts"],
        "accuracy": values["accuracy"],
        "accuracies": {level: value for level, value in levels.items() if value is not None},
    }


def _plain(value: Any) -> Any:
    value = value.item() if isinstance(value, np.generic) else value
    return None if isinstance(value, float) and math.isnan(value) else value
