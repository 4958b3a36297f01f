"""What is recorded of the settings of a panel, and of the recipe that its switches start from, to compare with."""

import threading
from typing import Any, NamedTuple

from airbench_core import Dataset, Recipe
from airbench_lab import replay
from airbench_lab.figures import Line
from airbench_lab.panel.runs import mean_curve, row_values, run_name, summary_row, was_watched
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.replay import Replay
from airbench_lab.study.speedup import Curve, curve_of


class Match(NamedTuple):
    lines: tuple[Line, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


class RecordedRuns:
    """Looks up, and remembers the last answer. start: what the switches start from; reference: see `Panel`."""

    def __init__(self, datasets: DataSets, start: Recipe, reference: Recipe):
        self._datasets, self._start, self._reference = datasets, start, reference
        self._last: tuple[Any, Match] | None = None
        self._lock = threading.Lock()

    def lookup(self, settings: Settings) -> Match:
        about = (settings.recipe, settings.scale, settings.data, settings.compile)
        with self._lock:
            if self._last is None or self._last[0] != about:
                self._last = about, self._look_up(settings)
            return self._last[1]

    def _look_up(self, settings: Settings) -> Match:
        data = self._datasets.for_lookup(settings.data, settings.scale)
        start = settings.changed(recipe=self._start, compile=False)
        chosen = replay.lookup(settings.recipe, settings.scale, data, compile=settings.compile)
        runs = {settings: chosen}
        if (start.recipe, start.compile) != (settings.recipe, settings.compile):
            runs = {start: replay.lookup(start.recipe, start.scale, data), settings: chosen}
        some = {one: found for one, found in runs.items() if found}
        lines = tuple(drawn for one, found in some.items() if (drawn := _line(run_name(one), found)))
        return Match(lines, tuple(self._row(one, found, data) for one, found in some.items()))

    def _row(self, settings: Settings, found: Replay, data: Dataset | str) -> dict[str, Any]:
        runs = {record["seed"]: record for record in found.records}
        curve = reference_curve(self._reference, settings, data)
        row = summary_row(run_name(settings), runs, settings, self._reference, curve)
        return row_values(row, f"recorded on {found.hardware}", settings, "recorded")


def reference_curve(reference: Recipe, settings: Settings, data: Dataset | str) -> Curve | None:
    """The recorded curve of the reference, which never is compiled; None where there are fewer than two lengths."""
    curve = curve_of(replay.curve(reference, settings.scale, data))
    return curve if len(curve) > 1 else None


def _line(name: str, found: Replay) -> Line | None:
    watched = [record for record in found.records if was_watched(record)]
    return mean_curve(name, watched, found.hardware) if watched else None
