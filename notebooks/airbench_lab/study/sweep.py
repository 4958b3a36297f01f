"""A sweep: the runs of a study that a log lacks are planned, made and logged, one after another or side by side.

The log is all that is kept. To go on after Ctrl-C, a crash or a power cut is to start the same sweep again: what the
log holds, by its key, is not made again, and neither are runs that diverged, since the same seed would do so again;
those that failed for another reason are tried again.
"""

import statistics
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from airbench_core import Dataset, Recipe, Scale
from airbench_core.errors import UsageError
from airbench_lab import runlog
from airbench_lab.flops import training_flops
from airbench_lab.study.engines import Engine, Outcome, Task
from airbench_lab.study.keys import key, planned_key
from airbench_lab.study.studies import Variant

Kind = tuple[Recipe, bool]  # a recipe, and whether it is compiled


class Costs:
    """Seconds that runs take: of a recipe that was run, as then; of others, by its FLOPs and the pace of those.

    Recipes are as asked for. data: as scaled.
    """

    def __init__(self, scale: Scale, data: Dataset):
        self.scale, self.images = scale, (len(data.train_images), len(data.test_images))
        self.measured: dict[Kind, list[float]] = {}
        self.guessed: tuple[Recipe, float] | None = None  # until something was run

    def learn(self, recipe: Recipe, compile: bool, seconds: float) -> None:
        self.measured.setdefault((recipe, compile), []).append(seconds)

    def guess(self, recipe: Recipe, seconds: float) -> None:
        """What a run of `recipe` may take, for as long as none was made of any."""
        self.guessed = recipe, seconds

    def expect(self, recipe: Recipe, compile: bool = False) -> float | None:
        """Seconds of a run; None before anything is known."""
        if (recipe, compile) in self.measured:
            return statistics.median(self.measured[recipe, compile])
        alike = [kind for kind in self.measured if kind[1] == compile] or self.measured
        known = [(kind[0], self.expect(*kind)) for kind in alike] or [self.guessed] * bool(self.guessed)
        paces = [seconds / _flops(one, self.scale, self.images) for one, seconds in known]
        return statistics.median(paces) * _flops(recipe, self.scale, self.images) if paces else None

    def total(self, tasks: Iterable[Task], slots: int) -> float | None:
        """Seconds until all of `tasks` are done, `slots` at a time; None before anything is known."""
        runs = Counter((task.recipe, task.compile) for task in tasks)
        each = {kind: self.expect(*kind) for kind in runs}
        if None in each.values():
            return None
        return sum(n * each[kind] for kind, n in runs.items()) / max(1, min(slots, runs.total()))


@cache
def _flops(recipe: Recipe, scale: Scale, images: tuple[int, int]) -> float:
    return training_flops(scale.recipe(recipe), *images)


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a study, apart: to be made, in the log already, and diverged in it."""

    todo: tuple[Task, ...]
    held: tuple[Task, ...]
    diverged: tuple[Task, ...]
    costs: Costs  # as far as the log tells
    others: bool  # whether the log holds finished runs on other data sets, by their names

    @property
    def total(self) -> int:
        return len(self.todo) + len(self.held) + len(self.diverged)


def plan(
    variants: Sequence[Variant],
    seeds: Iterable[int],
    *,
    scale: Scale,
    data: Dataset,
    runtimes: Sequence[Mapping[str, Any]],
    log: Path,
    predictions: bool = False,
) -> Plan:
    """What is to be done of `variants` with each of `seeds`, seed after seed.

    data: as scaled. runtimes: an engine's; a run counts as made if any of them made it. predictions: a run that was
    logged without them is made again. Raises UsageError for a recipe that cannot be trained so, and as `runlog.load`.
    """
    for variant in variants:
        try:
            scale.recipe(variant.recipe).steps(len(data.train_images))
        except UsageError as error:
            raise UsageError(f"{variant.label}: {error}") from error
    records = {True: {}, False: {}}  # failed or not: by key
    for record in runlog.load(log, failed=True) if log.exists() else []:
        records["failed" in record][key(record)] = record
    have = {which for which, record in records[False].items() if not predictions or "predictions" in record}
    hopeless = {which for which, record in records[True].items() if record["failed"]["kind"] == "diverged"} - have
    costs = Costs(scale, data)
    groups: dict[str, list[Task]] = {"todo": [], "held": [], "diverged": []}
    planned: set[str] = set()
    for seed in seeds:
        for label, recipe, compile in variants:
            about = [{**runtime, "compile": compile} for runtime in runtimes]
            keys = {planned_key(recipe, scale=scale, digest=data.digest, runtime=one, seed=seed) for one in about}
            if keys & planned:
                continue  # another variant is the same training
            planned |= keys
            group = "held" if keys & have else "diverged" if keys & hopeless else "todo"
            groups[group].append(Task(label, recipe, seed, compile))
            for made in keys & records[False].keys():
                if (seconds := records[False][made]["seconds"]) is not None:
                    costs.learn(recipe, compile, seconds)
    others = any(record["data"]["name"] != data.name for record in records[False].values())
    return Plan(costs=costs, others=others, **{name: tuple(tasks) for name, tasks in groups.items()})


def make(
    tasks: Sequence[Task],
    engine: Engine,
    log: Path,
    *,
    observer: Callable[[Outcome], None] = lambda outcome: None,
    stop: threading.Event | None = None,
) -> list[Outcome]:
    """Run `tasks` on `engine`, append each outcome to `log` as it comes, and give those that failed.

    observer: called with each outcome when it is in the log. stop: ends the sweep; what is in progress then is lost.
    Raises AirbenchError if the log cannot be written, and then ends all. Two at once make no run twice if each plans
    and makes its runs inside `lines.claimed`.
    """
    failed = []
    with closing(engine.run(tasks, stop or threading.Event())) as outcomes:
        for outcome in outcomes:
            runlog.append(log, outcome.record)
            if outcome.failed:
                failed.append(outcome)
            observer(outcome)
    return failed
