"""A sweep: the runs of a study that a log lacks are planned, made and logged, one after another or side by side.

The log is all that is kept. To go on after Ctrl-C, a crash or a power cut is to start the same sweep again: what the
log holds, by its key, is not made again, and neither are runs that diverged, since the same seed would do so again;
those that failed for another reason are tried again.
"""

import hashlib
import statistics
import tempfile
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from airbench_core import runlog
from airbench_core.datasets import Dataset
from airbench_core.errors import AirbenchError, UsageError
from airbench_core.flops import training_flops
from airbench_core.recipes import Recipe
from airbench_core.scales import Scale, scale_named
from airbench_lab.study.engines import Engine, Outcome, Task
from airbench_lab.study.keys import key, planned_key
from airbench_lab.study.studies import Variant

Kind = tuple[Recipe, bool]  # a scaled recipe, and whether it is compiled


class Costs:
    """Seconds that runs take: of a recipe that was run, as then; of others, by its FLOPs and the pace of those.

    Compiled or not are two kinds. data: as scaled.
    """

    def __init__(self, data: Dataset):
        self.images = len(data.train_images), len(data.test_images)
        self.measured: dict[Kind, list[float]] = {}
        self.guessed: tuple[Recipe, float] | None = None  # until something was run
        self.flops: dict[Recipe, float] = {}
        self._pace: tuple[bool, float | None] | None = None  # for which `compile`; forgotten when more is known

    def learn(self, kind: Kind, seconds: float) -> None:
        self.measured.setdefault(kind, []).append(seconds)
        self._pace = None

    def guess(self, recipe: Recipe, seconds: float) -> None:
        """What a run of `recipe` may take, for as long as none was made of any."""
        self.guessed = recipe, seconds
        self._pace = None

    def expect(self, kind: Kind) -> float | None:
        """Seconds of a run; None before anything is known."""
        if kind in self.measured:
            return statistics.median(self.measured[kind])
        pace = self._seconds_per_flop(kind[1])
        return None if pace is None else pace * self._flops(kind[0])

    def total(self, runs: Mapping[Kind, int], slots: int, underway: float = 0.0) -> float | None:
        """Seconds until so many `runs` of each kind are done, `slots` at a time; None before anything is known.

        underway: how many of them are done already, in parts.
        """
        n = sum(runs.values())
        each = {kind: self.expect(kind) for kind, times in runs.items() if times}
        if None in each.values():
            return None
        seconds = sum(times * each[kind] for kind, times in runs.items() if times)
        return max(0.0, seconds * (1 - underway / n)) / min(slots, n) if n else 0.0

    def _seconds_per_flop(self, compile: bool) -> float | None:
        """The median of the recipes that were run; of those that were compiled too, or not either, if there are any."""
        if self._pace is None or self._pace[0] != compile:
            alike = [kind for kind in self.measured if kind[1] == compile] or list(self.measured)
            paces = [statistics.median(self.measured[kind]) / self._flops(kind[0]) for kind in alike]
            if not paces and self.guessed:
                paces = [self.guessed[1] / self._flops(self.guessed[0])]
            self._pace = compile, statistics.median(paces) if paces else None
        return self._pace[1]

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
    def total(self) -> int:
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
    made = [(key(record), record) for record in finished]
    have = {which for which, record in made if not predictions or "predictions" in record}
    hopeless = {key(record) for record in failed if record["failed"]["kind"] == "diverged"} - have
    costs = Costs(data)
    seconds = {which: record["seconds"] for which, record in made if record["seconds"] is not None}
    groups: dict[str, list[Task]] = {"todo": [], "held": [], "diverged": []}
    planned: set[str] = set()
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
            if keys & planned:
                continue  # another variant is the same training
            planned |= keys
            group = "held" if keys & have else "diverged" if keys & hopeless else "todo"
            groups[group].append(Task(variant.label, variant.recipe, seed, variant.compile))
            for timed in keys & seconds.keys():
                costs.learn((scale.recipe(variant.recipe), variant.compile), seconds[timed])
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
    what is in progress then is lost. Raises AirbenchError if the log cannot be written, and then ends all; also if
    another sweep of this machine writes to it, since both would make the same runs.
    """
    failed = []
    with _only_sweep(log), closing(engine.run(tasks, stop or threading.Event())) as outcomes:
        for outcome in outcomes:
            if outcome is not None:
                runlog.append_record(log, outcome.record)
                if outcome.failed:
                    failed.append(outcome)
            observer(outcome)
    return failed


@contextmanager
def _only_sweep(log: Path) -> Iterator[None]:
    """Holds a lock on `log` that other sweeps want too, by a file elsewhere; the system frees it if this is killed."""
    name = hashlib.sha256(str(log.resolve()).encode()).hexdigest()[:16]
    lock = FileLock(Path(tempfile.gettempdir()) / f"airbench-sweep-{name}.lock")
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise AirbenchError(f"another sweep is writing to {log}: wait for it, or choose another --out") from None
    try:
        yield
    finally:
        lock.release()
