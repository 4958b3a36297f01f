"""What is recorded of settings: as rows, as lines, as plain values for JSON. Nothing is interpolated between settings.

In values an accuracy is in percent, and an interval is [low, high] with None where it is open or not known.
"""

import math
import threading
import time
from collections.abc import Callable
from dataclasses import replace
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
        self._found: dict[Any, tuple[Replay, dict[str, Any]]] = {}
        self._needs: dict[Any, Values | None] = {}
        self._baselines: dict[tuple[str, str], Curve | None] = {}
        self._lock = threading.RLock()

    def start(self, settings: Settings) -> Settings:
        """What the switches start from, at the same scale."""
        return settings.changed(recipe=self._start, compile=False)

    def lookup(self, settings: Settings) -> Match:
        start = self.start(settings)
        pairs = {(one.recipe, one.compile): one for one in (start, settings)}
        some = [(one, *self._look_up(one)) for one in pairs.values()]
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
        data, scale, until = self._data(settings), settings.scale, time.monotonic() + seconds
        target, positions, complete = target_of(scale, data), [], True
        known = _with_lower_tta(replay.recipes(scale, settings.data))
        changes = {one: one[0].changes(settings.recipe).keys() for one in known}
        for recipe, compiled in sorted(known, key=lambda one: len(changes[one])):
            if not changes[recipe, compiled] <= names and not ("recipe" in names and recipe in RECIPES.values()):
                continue
            one = settings.changed(recipe=recipe, compile=compiled)
            if (compiled != settings.compile and "compile" not in names) or (where := at(one)) is None:
                continue
            if _about(one) not in self._found and time.monotonic() > until:
                complete = False
                continue
            found, row = self._look_up(one)
            if found:
                line, same = _line("", found), (replace(recipe, epochs=1), settings.scale_and_data)
                if same not in self._needs:  # all lengths share it
                    self._needs[same] = to_target(recipe, scale, data, target)
                more = {"to_target": self._needs[same], "paper": paper_speedup(recipe)}
                more |= {"points": points(line), "points_n": len(line.accuracies)} if line else {"points": []}
                positions.append({"at": where, **entry(row), **more})
        return {
            "scale": scale,
            "target": target and 100 * target,
            "baseline": (to_target(BASELINE, scale, data, target) or {}).get("epochs"),
            "paper_hardware": published.HARDWARE,
            "start": at(self.start(settings)),
            "positions": positions,
            "complete": complete,
        }

    def baseline(self, settings: Settings) -> Curve | None:
        """The recorded curve of the baseline, in whose epochs speedups are; None for fewer than two lengths."""
        with self._lock:
            where = settings.scale_and_data
            if where not in self._baselines:
                found = curve_of(replay.curve(BASELINE, settings.scale, self._data(settings)))
                self._baselines[where] = found if len(found) > 1 else None
            return self._baselines[where]

    def _look_up(self, settings: Settings) -> tuple[Replay, dict[str, Any]]:
        about = _about(settings)
        with self._lock:
            if about not in self._found:
                data = self._data(settings)
                found = replay.lookup(settings.recipe, settings.scale, data, compile=settings.compile)
                self._found[about] = found, self._row(settings, found) if found else {}
            return self._found[about]

    def _data(self, settings: Settings) -> Dataset | str:
        return self._datasets.for_lookup(settings.data, settings.scale)

    def _row(self, settings: Settings, found: Replay) -> dict[str, Any]:
        runs = {record["seed"]: record for record in found.records}
        row = summary_row(run_name(settings), runs, self.baseline(settings))
        return row_values(row, f"recorded on {found.hardware}", settings, "recorded")


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


def _about(settings: Settings) -> tuple:
    """What is looked up of settings."""
    return settings.recipe, settings.scale, settings.data, settings.compile


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
