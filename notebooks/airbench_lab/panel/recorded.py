"""What is recorded of the settings of a panel, and of the recipe that its switches start from, to compare with."""

import threading
from typing import Any, NamedTuple

from airbench_core import Dataset, Recipe
from airbench_lab import replay
from airbench_lab.figures import Line
from airbench_lab.panel.runs import line, name_of, plain, row_of, was_watched
from airbench_lab.panel.settings import Settings, Shelf
from airbench_lab.replay import Replay
from airbench_lab.study.curves import Curve, curve_of


class Found(NamedTuple):
    runs: Replay  # of the settings themselves
    lines: tuple[Line, ...] = ()
    rows: tuple[dict[str, Any], ...] = ()


class Recorded:
    """Looks up, and remembers the last answer. start: what the switches start from; reference: see `Panel`."""

    def __init__(self, shelf: Shelf, start: Recipe, reference: Recipe):
        self._shelf, self._start, self._reference = shelf, start, reference
        self._last: tuple[Any, Found] | None = None
        self._lock = threading.Lock()

    def of(self, settings: Settings) -> Found:
        about = (settings.recipe, settings.scale, settings.data, settings.compile)
        with self._lock:
            if self._last is None or self._last[0] != about:
                self._last = about, self._look_up(settings)
            return self._last[1]

    def _look_up(self, settings: Settings) -> Found:
        data = self._shelf.known(settings.data, settings.scale)
        start = settings.changed(recipe=self._start, compile=False)
        chosen = replay.lookup(settings.recipe, settings.scale, data, compile=settings.compile)
        runs = {settings: chosen}
        if (start.recipe, start.compile) != (settings.recipe, settings.compile):
            runs = {start: replay.lookup(start.recipe, start.scale, data), settings: chosen}
        some = {one: found for one, found in runs.items() if found}
        lines = tuple(drawn for one, found in some.items() if (drawn := _line(name_of(one), found)))
        return Found(chosen, lines, tuple(self._row(one, found, data) for one, found in some.items()))

    def _row(self, settings: Settings, found: Replay, data: Dataset | str) -> dict[str, Any]:
        runs = {record["seed"]: record for record in found.records}
        curve = reference_curve(self._reference, settings, data)
        row = row_of(name_of(settings), runs, settings, self._reference, curve)
        return plain(row, f"recorded on {found.hardware}", settings, "recorded")


def reference_curve(reference: Recipe, settings: Settings, data: Dataset | str) -> Curve | None:
    """The recorded curve of the reference, which never is compiled; None where there are fewer than two lengths."""
    curve = curve_of(replay.curve(reference, settings.scale, data))
    return curve if len(curve) > 1 else None


def _line(name: str, found: Replay) -> Line | None:
    watched = [record for record in found.records if was_watched(record)]
    return line(name, watched, found.hardware) if watched else None
