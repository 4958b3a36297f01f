"""A student's own runs: kept in a log beside the lessons, and counted with those that a lesson has just made."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from airbench_core import Recipe, RunResult, UsageError
from airbench_core.scales import scale_named
from airbench_lab import runlog
from airbench_lab.runlog.records import recipe_of
from airbench_lab.study.keys import key, runtime_parts

LOG: Path | None = None  # set by `preflight`; elsewhere nothing is kept


class OwnRun(NamedTuple):
    """A run that was kept: what a `RunResult` has of these. recipe: as it was scaled."""

    recipe: Recipe
    scale: str
    parts: Sequence[str] | None
    seed: int
    seeds: Mapping[str, int] | None
    accuracy: float


def with_earlier(live: Iterable[RunResult]) -> list[OwnRun | RunResult]:
    """First what the log holds of the same machine and pictures, then `live`, which the log holds from now on.

    Raises AirbenchError where the log cannot be read or written, UsageError for a run whose `recipe` was changed and
    `asked` was not, of which the log would say what is not so, and for runs on several data sets or in several ways.
    """
    live = list(live)
    if len({(one.data_digest, one.runtime) for one in live}) > 1:
        raise UsageError("these runs are on several data sets, devices or precisions: compare those of one")
    for one in live:
        if scale_named(one.scale).recipe(one.asked) != one.recipe:
            raise UsageError(f"seed {one.seed}: `recipe` is not `asked` at the scale {one.scale}: change both")
    if LOG is None or not live:
        return live
    earlier = runlog.load(LOG) if LOG.exists() else []
    known = {key(one) for one in earlier}
    records = [runlog.record(one) for one in live]
    for one in records:
        if key(one) not in known:  # else the cell was run again
            runlog.append(LOG, one)
    same = runtime_parts(records[0]["runtime"]), records[0]["data"]["digest"]
    kept = [
        OwnRun(recipe_of(one["recipe"]), *(one.get(name) for name in OwnRun._fields[1:]))
        for one in earlier
        if (runtime_parts(one["runtime"]), one["data"]["digest"]) == same
    ]
    return [*kept, *live]
