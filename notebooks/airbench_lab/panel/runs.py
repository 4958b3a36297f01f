"""The runs that a panel shows: those made in it, by recipe, and the recorded ones beside them, never in one mean."""

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal, NamedTuple

import pandas as pd

from airbench_core import EpochRecord, Parts, RunResult
from airbench_lab import runlog
from airbench_lab.figures import Line
from airbench_lab.panel.settings import Settings
from airbench_lab.study import report
from airbench_lab.study.names import recipe_name
from airbench_lab.study.report import Row
from airbench_lab.study.speedup import Curve

HERE = "here"
COLUMNS = {
    "recipe": "recipe",
    "where": "where",
    "scale": "scale",
    "data": "data",
    "epochs": "epochs, as scaled",
    "n": "n",
    "accuracy": "accuracy, %",
    "low": "95 % low",
    "high": "95 % high",
    "seconds": "seconds",
    "timed": "seconds are",
    "worth": "worth epochs of the baseline",
    "worth_low": "worth low",
    "worth_high": "worth high",
    "speedup": "effective speedup",
    "speedup_low": "speedup low",
    "speedup_high": "speedup high",
    "note": "note",
}


class LatestRun(NamedTuple):
    """Which run was the last: of what is called so, with this seed; None if it did not come to its end."""

    name: str
    seed: int | None


class InterruptedRun(NamedTuple):
    """A run that did not come to its end: its complete epochs, and whether it was stopped or failed."""

    epochs: tuple[EpochRecord, ...]
    state: Literal["stopped", "failed"]


@dataclass
class RecipeRuns:
    """The runs of one recipe at one scale on one data set, made here."""

    settings: Settings
    name: str
    curve: Curve | None  # of the baseline
    watched: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # by seed
    raced: dict[int, Mapping[str, Any]] = field(default_factory=dict)  # by seed
    interrupted: list[InterruptedRun] = field(default_factory=list)

    def add(self, record: Mapping[str, Any], raced: bool) -> None:
        """A finished run; of several of one seed the last counts."""
        runs = self.raced if raced else self.watched
        runs.pop(record["seed"], None)
        runs[record["seed"]] = record
        self.__dict__.pop("row", None)

    @cached_property
    def row(self) -> dict[str, Any]:
        # The honest time is a race's; that of runs that were drawn meanwhile stands in where there was none.
        watched = self.watched
        if self.raced:
            watched = {seed: runlog.untimed(record) for seed, record in watched.items()}
        row = summary_row(self.name, watched | self.raced, self.curve)
        return row_values(row, HERE, self.settings, "race" if self.raced else "watched")

    def lines(self, latest: LatestRun | None) -> list[Line]:
        """Those to be drawn: of the finished runs, of those cut short; not what `latest`, drawn apart, says alone."""
        mine = latest is not None and latest.name == self.name
        alone = mine and list(self.watched) == [latest.seed]
        lines = [mean_curve(self.name, list(self.watched.values()))] if self.watched and not alone else []
        cut = self.interrupted[:-1] if mine and latest.seed is None else self.interrupted
        return lines + [run_curve(self.name, one.epochs, one.state) for one in cut]


class RunHistory:
    """Those that were made in a panel. Threads may add and read. curve: gives what is recorded of the baseline."""

    def __init__(self, curve: Callable[[Settings], Curve | None]):
        self._curve = curve
        self._groups: dict[tuple, RecipeRuns] = {}
        self._lock = threading.Lock()

    def add(self, settings: Settings, parts: Parts, result: RunResult) -> None:
        """A finished run."""
        with self._lock:
            self._group(settings, parts).add(runlog.record(result), settings.race)

    def add_interrupted(self, settings: Settings, parts: Parts, cut: InterruptedRun) -> None:
        """A run that did not come to its end."""
        with self._lock:
            self._group(settings, parts).interrupted.append(cut)

    def has_all(self, settings: Settings, parts: Parts) -> bool:
        """Whether a press with these settings could only repeat finished runs."""
        with self._lock:
            group = self._group(settings, parts)
            return (group.raced if settings.race else group.watched).keys() >= set(settings.all_seeds)

    def lines(self, settings: Settings, latest: LatestRun | None = None) -> tuple[Line, ...]:
        """The curves of this scale and data set, oldest first, without that of the latest run."""
        with self._lock:
            return tuple(one for group in self._of(settings) for one in group.lines(latest))

    def rows(self, settings: Settings | None = None) -> list[dict[str, Any]]:
        """Of this scale and data set; of all without one."""
        with self._lock:
            return [group.row for group in self._of(settings) if group.watched or group.raced]

    @property
    def records(self) -> list[Mapping[str, Any]]:
        """Of all finished runs, as the run log has them."""
        with self._lock:
            return [
                record
                for group in self._groups.values()
                for runs in (group.watched, group.raced)
                for record in runs.values()
            ]

    def _of(self, settings: Settings | None) -> list[RecipeRuns]:
        groups = list(self._groups.values())
        if settings is None:
            return groups
        return [group for group in groups if group.settings.scale_and_data == settings.scale_and_data]

    def _group(self, settings: Settings, parts: Parts) -> RecipeRuns:
        key = (settings.recipe, settings.scale, settings.data, settings.compile, parts)
        group = self._groups.pop(key, None)  # the latest comes last
        if group is None:
            group = RecipeRuns(settings, run_name(settings, parts), self._curve(settings))
        self._groups[key] = group
        return group


def run_name(settings: Settings, parts: Parts | None = None) -> str:
    """What a run of these settings is called."""
    return recipe_name(settings.recipe, (parts or Parts()).replaced) + ", compiled" * settings.compile


def summary_row(name: str, runs: Mapping[int, Mapping[str, Any]], curve: Curve | None) -> Row:
    """The row of some runs, by seed, in epochs of the baseline. curve: the baseline's."""
    columns = ("seed", "accuracy", "seconds")  # a whole `frame` of each takes longer than all else
    values = [[*map(run.get, columns), run["recipe"]["epochs"]] for run in runs.values()]
    some = pd.DataFrame(values, columns=[*columns, "epochs"]).astype({"seconds": float})
    return report.row(name, some, reference="baseline", curve=curve or {})


def mean_curve(name: str, records: Sequence[Mapping[str, Any]], recorded: str = "") -> Line:
    """The curve of the runs of one recipe, each of which was watched."""
    epochs = [epoch["epochs"] for epoch in records[0]["epochs"]]
    accuracies = [[epoch["accuracy"] for epoch in one["epochs"]] for one in records]
    return Line(label=name, epochs=epochs, accuracies=accuracies, recorded=recorded)


def run_curve(name: str, epochs: Sequence[EpochRecord], state: str) -> Line:
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


def row_values(row: Row, where: str, settings: Settings, timed: str) -> dict[str, Any]:
    """A row in percent, with its intervals taken apart; None for what is not known. timed: which seconds these are."""
    low, high = row["interval"] or (None, None)
    worth_low, worth_high = row["worth_interval"] or (None, None)
    speedup_low, speedup_high = row["speedup_interval"] or (None, None)
    return {
        "recipe": row["recipe"],
        "where": where,
        "scale": settings.scale,
        "data": settings.data,
        "epochs": settings.scaled.epochs,
        "n": row["n"],
        "accuracy": 100 * row["accuracy"],
        "low": None if low is None else 100 * low,
        "high": None if high is None else 100 * high,
        "seconds": row["seconds"],
        "timed": timed if row["seconds"] is not None else "",
        "worth": row["worth"],
        "worth_low": worth_low,
        "worth_high": worth_high,
        "worth_n": row["worth_n"],
        "speedup": row["speedup"],
        "speedup_low": speedup_low,
        "speedup_high": speedup_high,
        "note": row["note"],
    }


def rows_frame(rows: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The rows as a table."""
    return pd.DataFrame(rows, columns=list(COLUMNS)).rename(columns=COLUMNS)
