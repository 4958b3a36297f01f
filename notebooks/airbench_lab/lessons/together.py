"""Several tricks removed at once: what each costs alone, their sum, and what they cost together.

All of it from runs of airbench94 with some of its tricks off, by which are off. In points of accuracy, by seed.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from airbench_core import AIRBENCH94, RunResult, UsageError
from airbench_core.scales import scale_named
from airbench_lab.replay import lookup
from airbench_lab.study.settings import with_fields
from airbench_lab.study.studies import SWITCHES

BySeed = dict[int, float]
Grid = Mapping[frozenset[str], Mapping[int, float]]  # by the tricks that are off: the accuracies in 0..1, by seed


def recorded_grid(scale: str = "laptop", data: str = "cifar10") -> Grid:
    """The recorded runs of all combinations of `study.studies.SWITCHES`; empty where none are."""
    found = {off: lookup(_without(off), scale, data).accuracies for off in _subsets(SWITCHES)}
    return {off: accuracies for off, accuracies in found.items() if accuracies}


def live_grid(results: Iterable[RunResult]) -> Grid:
    """Those of `results` that are runs of airbench94 with nothing but some of its tricks off, at one scale."""
    found: dict[frozenset[str], BySeed] = {}
    for result in results:
        scaled = scale_named(result.scale).recipe
        for off in _subsets(SWITCHES):
            if not result.parts and result.recipe == scaled(_without(off)):
                found.setdefault(off, {})[result.seed] = result.accuracy
    return found


def sum_and_joint(
    grid: Grid,
    tricks: Iterable[str],
    others_off: Iterable[str] = (),
) -> tuple[BySeed, BySeed]:
    """What `tricks` cost one by one, added up, and what they cost when all are removed.

    Both where `others_off` are off, and in points of accuracy, of each seed that all of these
    combinations were run with. Raises UsageError where one of them was not run.
    """
    tricks, base = frozenset(tricks), frozenset(others_off)
    needed = [base, base | tricks, *(base | {trick} for trick in tricks)]
    for off in needed:
        if off not in grid:
            without = ", ".join(sorted(off)) or "anything"
            raise UsageError(f"there are no runs of airbench94 without {without}")
    seeds = sorted(set.intersection(*(set(grid[off]) for off in needed)))

    def cost(removed: frozenset[str], seed: int) -> float:
        return 100 * (grid[base | removed][seed] - grid[base][seed])

    summed = {seed: sum(cost(frozenset({one}), seed) for one in tricks) for seed in seeds}
    joint = {seed: cost(tricks, seed) for seed in seeds}
    return summed, joint


def averaged(grid: Grid, tricks: Iterable[str]) -> tuple[BySeed, BySeed]:
    """As `sum_and_joint`, each the mean over all settings of the other tricks: so each run of the grid counts."""
    tricks = frozenset(tricks)
    found = [sum_and_joint(grid, tricks, others) for others in _subsets(SWITCHES.keys() - tricks)]
    seeds = set.intersection(*(set(joint) for _, joint in found))
    summed, joint = (
        {seed: statistics.mean(one[side][seed] for one in found) for seed in sorted(seeds)} for side in (0, 1)
    )
    return summed, joint


def _without(off: Iterable[str]):
    return with_fields(AIRBENCH94, **{name: SWITCHES[name][1] for name in off})


def _subsets(names: Iterable[str]) -> Iterator[frozenset[str]]:
    names = list(names)
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))
