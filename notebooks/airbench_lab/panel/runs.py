"""The runs that a panel shows: those made in it, by recipe, and the recorded ones beside them, never in one mean."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

import pandas as pd

from airbench_core import EpochRecord, Parts, Recipe, RunResult
from airbench_core.study import report, runlog
from airbench_core.study.curves import Curve
from airbench_core.study.groups import recipe_name
from airbench_core.study.report import Row
from airbench_lab.figures import Line
from airbench_lab.panel.settings import Settings

HERE = "here"
COLUMNS = {
    "recipe": "recipe",
    "where": "where",
    "scale": "scale",
    "data": "data",
    "n": "n",
    "accuracy": "accuracy, %",
    "low": "95 % low",
    "high": "95 % high",
    "seconds": "seconds",
    "timed": "seconds are",
    "worth": "worth epochs of the reference",
    "worth_low": "worth low",
    "worth_high": "worth high",
    "speedup": "effective speedup",
    "note": "note",
}


class Newest(NamedTuple):
    """Which run was the last: of what is called so, with this seed; None if it was stopped."""

    name: str
    seed: int | None


@dataclass
class Group:
    """The runs of one recipe at one scale on one data set, made here; and the last one, if that was stopped."""

    settings: Settings
    name: str
    reference: str  # the reference's name
    curve: Curve | None  # of the reference
    records: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # by seed
    raced: set[int] = field(default_factory=set)  # seeds
    stopped: tuple[EpochRecord, ...] = ()

    def add(self, record: Mapping[str, Any], raced: bool) -> None:
        seed = record["seed"]
        self.records.pop(seed, None)  # of several of one seed the last counts
        self.records[seed] = record
        (self.raced.add if raced else self.raced.discard)(seed)
        self.stopped = ()
        self.__dict__.pop("row", None)

    @cached_property
    def row(self) -> dict[str, Any]:
        # The honest time is a race's; that of runs that were drawn meanwhile stands in where there was none.
        raced = self.raced & self.records.keys()
        records = {
            seed: runlog.untimed(record) if raced and seed not in raced else record
            for seed, record in self.records.items()
        }
        row = report.row(self.name, records, self.reference, self.curve)
        return plain(row, HERE, self.settings, "race" if raced else "watched")

    def lines(self, newest: Newest | None) -> list[Line]:
        """Those to be drawn: of the finished runs, of the stopped one; not what `newest`, drawn apart, says alone."""
        mine = newest is not None and newest.name == self.name
        watched = [record for record in self.records.values() if was_watched(record)]
        alone = mine and [record["seed"] for record in watched] == [newest.seed]
        lines = [line(self.name, watched)] if watched and not alone else []
        if self.stopped and not (mine and newest.seed is None):
            lines.append(partial(self.name, self.stopped, "stopped"))
        return lines


class Runs:
    """Those that were made in a panel. Threads may add and read.

    reference: the recipe in whose epochs they are stated. curve: gives what is recorded of it.
    """

    def __init__(self, reference: Recipe, curve: Callable[[Settings], Curve | None]):
        self._reference, self._curve = reference, curve
        self._groups: dict[tuple, Group] = {}
        self._lock = threading.Lock()

    def add(self, settings: Settings, parts: Parts, result: RunResult) -> None:
        """A finished run."""
        with self._lock:
            self._group(settings, parts).add(runlog.record(result), settings.race)

    def add_stopped(self, settings: Settings, parts: Parts, epochs: tuple[EpochRecord, ...]) -> None:
        """A run that was stopped after these complete epochs."""
        with self._lock:
            self._group(settings, parts).stopped = epochs

    def lines(self, settings: Settings, newest: Newest | None = None) -> tuple[Line, ...]:
        """The curves of this scale and data set, oldest first, without that of the newest run."""
        with self._lock:
            return tuple(one for group in self._of(settings) for one in group.lines(newest))

    def rows(self, settings: Settings | None = None) -> list[dict[str, Any]]:
        """Of this scale and data set; of all without one."""
        with self._lock:
            return [group.row for group in self._of(settings) if group.records]

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """Of all finished runs, as the run log has them."""
        with self._lock:
            return [record for group in self._groups.values() for record in group.records.values()]

    def _of(self, settings: Settings | None) -> list[Group]:
        groups = list(self._groups.values())
        return [group for group in groups if settings is None or group.settings.place == settings.place]

    def _group(self, settings: Settings, parts: Parts) -> Group:
        key = (settings.recipe, settings.scale, settings.data, settings.compile, parts)
        group = self._groups.pop(key, None)  # the newest comes last
        if group is None:
            reference = name_of(settings.changed(recipe=self._reference, compile=False))
            group = Group(settings, name_of(settings, parts), reference, self._curve(settings))
        self._groups[key] = group
        return group


def name_of(settings: Settings, parts: Parts | None = None) -> str:
    """What a run of these settings is called."""
    own = list((parts or Parts()).replaced)
    record = {"recipe": asdict(settings.scaled), "scale": settings.scale, "parts": own}
    return recipe_name(record) + ", compiled" * settings.compile


def line(name: str, records: Sequence[Mapping[str, Any]], recorded: str = "") -> Line:
    """The curve of the runs of one recipe, each of which was watched."""
    epochs = [epoch["epochs"] for epoch in records[0]["epochs"]]
    accuracies = [[epoch["accuracy"] for epoch in one["epochs"]] for one in records]
    return Line(label=name, epochs=epochs, accuracies=accuracies, recorded=recorded)


def partial(name: str, epochs: Sequence[EpochRecord], state: str) -> Line:
    """The curve of a single run as far as it went."""
    return Line(
        label=name,
        epochs=[epoch.epochs for epoch in epochs],
        accuracies=[epoch.accuracy for epoch in epochs],
        state=state,
    )


def was_watched(record: Mapping[str, Any]) -> bool:
    """Whether the accuracy between epochs is known."""
    return bool(record["epochs"]) and record["epochs"][0]["accuracy"] is not None


def plain(row: Row, where: str, settings: Settings, timed: str) -> dict[str, Any]:
    """A row in percent, with its intervals taken apart; None for what is not known. timed: which seconds these are."""
    low, high = row.interval or (None, None)
    worth_low, worth_high = row.worth_interval or (None, None)
    return {
        "recipe": row.recipe,
        "where": where,
        "scale": settings.scale,
        "data": settings.data,
        "n": row.n,
        "accuracy": 100 * row.accuracy,
        "low": None if low is None else 100 * low,
        "high": None if high is None else 100 * high,
        "seconds": row.seconds,
        "timed": timed if row.seconds is not None else "",
        "worth": row.worth,
        "worth_low": worth_low,
        "worth_high": worth_high,
        "speedup": row.speedup,
        "note": row.note,
    }


def frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).rename(columns=COLUMNS)
