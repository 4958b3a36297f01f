"""What is recorded of settings: as rows, as lines, as plain values for JSON. Nothing is interpolated between settings.

In values an accuracy is in percent, and an interval is [low, high] with None where it is open or not known.
"""

import math
import time
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from typing import Any, NamedTuple

from airbench_core import BASELINE, RECIPES, Dataset, Recipe
from airbench_core.tricks.tta import TTA_WEIGHTS
from airbench_lab import published, replay
from airbench_lab.figures import Line
from airbench_lab.panel.positions import Values, paper_speedup, rounded, target_of, to_target
from airbench_lab.panel.runs import mean_curve, row_values, run_name, summary_row, was_watched
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.replay import Replay
from airbench_lab.study.speedup import Curve, curve_of


class Match(NamedTuple):
    """about: what is recorded of the settings themselves, in a line."""

    about: str
    lines: tuple[Line, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


class RecordedRuns:
    """Of the settings of a panel, and of the recipe that its switches start from. Remembers what it found."""

    def __init__(self, datasets: DataSets, start: Recipe):
        self._datasets, self._start = datasets, start
        self._positions: dict[Settings, Values | None] = {}
        self._found, self._to_target = cache(self._found), cache(self._to_target)
        self._target, self._baseline = cache(self._target), cache(self._baseline)

    def start(self, settings: Settings) -> Settings:
        """What the switches start from, at the same scale."""
        return settings.changed(recipe=self._start, compile=False)

    def baseline(self, settings: Settings) -> Curve | None:
        """The recorded curve of the baseline, in whose epochs speedups are; None for fewer than two lengths."""
        return self._baseline(*settings.scale_and_data)

    def lookup(self, settings: Settings) -> Match:
        start, settings = _once(self.start(settings)), _once(settings)
        some = [(one, *self._found(one)) for one in dict.fromkeys((start, settings))]
        lines = tuple(drawn for one, found, _ in some if found and (drawn := _line(run_name(one), found)))
        return Match(str(some[-1][1]), lines, tuple(row for _, found, row in some if found))

    def near(
        self, settings: Settings, names: set[str], at: Callable[[Settings], Any], seconds: float = math.inf
    ) -> Values:
        """What is recorded of settings that differ from these in `names` alone: fields of the recipe, or "recipe".

        positions: `entry` of each, with its curve, epochs to the target, the paper's speedup, and where it is: `at`.
        Those of which that is None are left out. complete: whether that is all; in so many seconds it may not be, and
        the next call goes on.
        """
        where, until = settings.scale_and_data, math.inf
        positions, complete = [], True
        known = _with_lower_tta(replay.recipes(*where))
        changes = {one: one[0].changes(settings.recipe).keys() for one in known}
        for recipe, compiled in sorted(known, key=lambda one: len(changes[one])):
            if not changes[recipe, compiled] <= names and not ("recipe" in names and recipe in RECIPES.values()):
                continue
            one = _once(settings.changed(recipe=recipe, compile=compiled))
            if (compiled != settings.compile and "compile" not in names) or (place := at(one)) is None:
                continue
            if one not in self._positions:
                if time.monotonic() >= until:
                    complete = False
                    continue
                until = min(until, time.monotonic() + seconds)  # from the first on, so that each call finds one
                self._positions[one] = self._position(one)
            if found := self._positions[one]:
                positions.append({"at": place, **found})
        target = self._target(*where)
        return {
            "scale": settings.scale,
            "target": target and 100 * target,
            "baseline": (self._to_target(BASELINE, *where) or {}).get("epochs"),
            "paper_hardware": published.HARDWARE,
            "start": at(self.start(settings)),
            "positions": positions,
            "complete": complete,
        }

    def _position(self, settings: Settings) -> Values | None:
        found, row = self._found(settings)
        if not found:
            return None
        same = replace(settings.recipe, epochs=1)  # all lengths share what it needs
        more = {"to_target": self._to_target(same, *settings.scale_and_data), "paper": paper_speedup(same)}
        line = _line("", found)
        more |= {"points": points(line), "points_n": len(line.accuracies)} if line else {"points": []}
        return entry(row) | more

    def _found(self, settings: Settings) -> tuple[Replay, dict[str, Any]]:
        """The runs, and their row."""
        scale, data = settings.scale_and_data
        found = replay.lookup(settings.recipe, scale, self._data(scale, data), compile=settings.compile)
        if not found:
            return found, {}
        runs = {record["seed"]: record for record in found.records}
        row = summary_row(run_name(settings), runs, self._baseline(scale, data))
        return found, row_values(row, f"recorded on {found.hardware}", settings, "recorded")

    def _to_target(self, recipe: Recipe, scale: str, data: str) -> Values | None:
        return to_target(recipe, scale, self._data(scale, data), self._target(scale, data))

    def _target(self, scale: str, data: str) -> float | None:
        return target_of(scale, self._data(scale, data))

    def _baseline(self, scale: str, data: str) -> Curve | None:
        curve = curve_of(replay.curve(BASELINE, scale, self._data(scale, data)))
        return curve if len(curve) > 1 else None

    def _data(self, scale: str, data: str) -> Dataset | str:
        return self._datasets.for_lookup(data, scale)


def entry(row: dict[str, Any]) -> Values:
    """A row of `row_values` as plain values."""
    return {
        "name": row["recipe"],
        "where": row["where"],
        "n": row["n"],
        "accuracy": rounded(row["accuracy"]),
        "interval": [rounded(row["low"]), rounded(row["high"])],
        "speedup": rounded(row["speedup"]),
        "speedup_interval": [rounded(row["speedup_low"]), rounded(row["speedup_high"])],
        "speedup_n": row["worth_n"],
        "epochs": rounded(row["epochs"]),
        "seconds": rounded(row["seconds"]),
        "timed": row["timed"],
        "note": row["note"],
    }


def points(line: Line) -> list[list[float | None]]:
    """Of a curve: epochs, accuracy in percent, its interval."""
    table = line.table[["epochs", "accuracy, %", "low", "high"]]
    return [[rounded(one) for one in point] for point in table.to_numpy()]


def _once(settings: Settings) -> Settings:
    """The same for all presses of what is the same training."""
    return replace(settings, seeds=1, first_seed=0, race=False)


def _line(name: str, found: Replay) -> Line | None:
    watched = [record for record in found.records if was_watched(record)]
    return mean_curve(name, watched, found.hardware) if watched else None


def _with_lower_tta(recipes: list[tuple[Recipe, bool]]) -> dict[tuple[Recipe, bool], None]:
    """With those that differ in a lower level of TTA alone: their accuracies are in the same records."""
    levels = list(TTA_WEIGHTS)
    return dict.fromkeys(
        (replace(recipe, tta=level), compiled)
        for recipe, compiled in recipes
        for level in reversed(levels[: levels.index(recipe.tta) + 1])
    )
