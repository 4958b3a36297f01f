"""A sweep: the runs of a study that a log lacks are planned, made and logged, one after another or side by side.

The log is all that is kept. To go on after Ctrl-C, a crash or a power cut is to start the same sweep again: what the
log holds, by its key, is not made again, and neither are runs that diverged, since the same seed would do so again;
those that failed for another reason are tried again.
"""

import statistics
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from airbench_core.datasets import Dataset
from airbench_core.errors import UsageError
from airbench_core.flops import training_flops
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale, scale_named
from airbench_core.study import runlog
from airbench_core.study.engines import Engine, Outcome, Task
from airbench_core.study.keys import key, planned_key
from airbench_core.study.studies import Variant


class Costs:
    """Seconds that runs take: of a recipe that was run, as then; of others, by its FLOPs and the pace of those.

    Recipes are scaled ones. data: as scaled.
    """

    def __init__(self, data: Dataset):
        self.images = len(data.train_images), len(data.test_images)
        self.seconds: dict[Recipe, list[float]] = {}
        self.flops: dict[Recipe, float] = {}
        self.pace: float | None = None  # seconds per FLOP, the median of the recipes that were run

    def learn(self, recipe: Recipe, seconds: float) -> None:
        self.seconds.setdefault(recipe, []).append(seconds)
        self.pace = statistics.median(statistics.median(of) / self._flops(known) for known, of in self.seconds.items())

    def expect(self, recipe: Recipe) -> float | None:
        """Seconds of a run of `recipe`; None before anything was learned."""
        if recipe in self.seconds:
            return statistics.median(self.seconds[recipe])
        return None if self.pace is None else self.pace * self._flops(recipe)

    def total(self, runs: Mapping[Recipe, int], slots: int, underway: float = 0.0) -> float | None:
        """Seconds until so many `runs` of each recipe are done, `slots` at a time; None before anything was learned.

        underway: how many of them are done already, in parts.
        """
        n = sum(runs.values())
        if not n or self.pace is None:
            return None if n else 0.0
        seconds = sum(times * self.expect(recipe) for recipe, times in runs.items())
        return max(0.0, seconds * (1 - underway / n)) / min(slots, n)

    def _flops(self, recipe: Recipe) -> float:
        if recipe not in self.flops:
            self.flops[recipe] = training_flops(recipe, *self.images)
        return self.flops[recipe]


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The runs of a study, apart: to be made, in the log already, and diverged in it."""

    todo: tuple[Task, ...]
    held: tuple[Task, ...]
    diverged: tuple[Task, ...]
    costs: Costs  # as far as the log tells

    @property
    def tasks(self) -> int:
        return len(self.todo) + len(self.held) + len(self.diverged)


def plan(
    variants: Sequence[Variant],
    seeds: Iterable[int],
    *,
    scale: str | Scale,
    data: Dataset,
    runtimes: Sequence[Mapping[str, Any]],
    log: Path,
    predictions: bool = False,
) -> Plan:
    """What is to be done of `variants` with each of `seeds`, seed after seed.

    data: as scaled. runtimes: an engine's; a run counts as made if any of them made it. predictions: a run that was
    logged without them is made again. Raises UsageError for a recipe that cannot be trained so, and as `runlog.load`.
    """
    scale = scale_named(scale) if isinstance(scale, str) else scale
    for variant in variants:
        try:
            scale.recipe(variant.recipe).steps(len(data.train_images))
        except UsageError as error:
            raise UsageError(f"{variant.label}: {error}") from error
    finished, failed = runlog.load_both(log) if log.exists() else ([], [])
    have = {key(record) for record in finished if not predictions or "predictions" in record}
    hopeless = {key(record) for record in failed if record["failed"]["kind"] == "diverged"} - have
    costs = Costs(data)
    seconds = {key(record): record["seconds"] for record in finished if record["seconds"] is not None}
    groups: dict[str, list[Task]] = {"todo": [], "held": [], "diverged": []}
    for seed in seeds:
        for variant in variants:
            keys = {
                planned_key(
                    variant.recipe,
                    scale=scale,
                    digest=data.digest,
                    runtime={**runtime, "compile": variant.compile},
                    seed=seed,
                )
                for runtime in runtimes
            }
            group = "held" if keys & have else "diverged" if keys & hopeless else "todo"
            groups[group].append(Task(variant.label, variant.recipe, seed, variant.compile))
            for made in keys & set(seconds):
                costs.learn(scale.recipe(variant.recipe), seconds[made])
    return Plan(costs=costs, **{name: tuple(tasks) for name, tasks in groups.items()})


def make(
    tasks: Sequence[Task],
    engine: Engine,
    log: Path,
    *,
    observer: Callable[[Outcome | None], None] = lambda outcome: None,
    stop: threading.Event | None = None,
) -> list[Outcome]:
    """Run `tasks` on `engine`, append each outcome to `log` as it comes, and give those that failed.

    observer: called with each outcome when it is in the log, and with None about once a second. stop: ends the sweep;
    what is in progress then is lost. Raises AirbenchError if the log cannot be written, and then ends all.
    """
    failed = []
    with closing(engine.run(tasks, stop or threading.Event())) as outcomes:
        for outcome in outcomes:
            if outcome is not None:
                runlog.append_record(log, outcome.record)
                if outcome.failed:
                    failed.append(outcome)
            observer(outcome)
    return failed
