"""A factorial experiment: airbench94 with its tricks on and off in all combinations, and what each is worth.

All accuracies are of recorded runs, in percent, by seed; a seed was run in all combinations, so each is an experiment
of its own. Main effects and interactions: Fisher, The Design of Experiments, 1935.
"""

import statistics
from collections.abc import Iterable, Iterator, Mapping
from itertools import combinations

from airbench_core import AIRBENCH94, UsageError
from airbench_lab.replay import lookup
from airbench_lab.study.settings import with_fields
from airbench_lab.study.studies import SWITCHES

BySeed = dict[int, float]
Grid = Mapping[frozenset[str], Mapping[int, float]]  # by the tricks that are off


def recorded_grid(scale: str = "laptop", data: str = "cifar10") -> dict[frozenset[str], BySeed]:
    """The recorded runs of all combinations of `study.studies.SWITCHES`; empty where none are."""
    found = {}
    for off in _subsets(SWITCHES):
        runs = lookup(with_fields(AIRBENCH94, **{name: SWITCHES[name][1] for name in off}), scale, data)
        if runs:
            found[off] = {seed: 100 * accuracy for seed, accuracy in runs.accuracies.items()}
    return found


def sides(grid: Grid, trick: str, off: Iterable[str] | None = None) -> tuple[BySeed, BySeed]:
    """Accuracies without `trick` and with it, of each seed that all these combinations have; they differ by its effect.

    off: the other tricks that are off. None: the mean over all settings of the others, for the main effect.
    Raises UsageError where a combination was not run.
    """
    settings = list(_subsets(SWITCHES.keys() - {trick})) if off is None else [frozenset(off)]
    without, with_it = _means(grid, [[one | {trick} for one in settings], settings])
    return without, with_it


def worths(grid: Grid, trick: str, other: str) -> tuple[BySeed, BySeed]:
    """What `trick` is worth where `other` is off and where it is on, in points; their difference is the interaction.

    Both are means over all settings of the tricks that are left. The interaction of B with A is that of A with B.
    Raises UsageError where a combination was not run.
    """
    rest = list(_subsets(SWITCHES.keys() - {trick, other}))
    groups = [[one | off for one in rest] for off in ({trick, other}, {other}, {trick}, set())]
    neither, alone, without, both = _means(grid, groups)
    return {seed: alone[seed] - neither[seed] for seed in both}, {seed: both[seed] - without[seed] for seed in both}


def _means(grid: Grid, groups: Iterable[Iterable[frozenset[str]]]) -> tuple[BySeed, ...]:
    """The mean of each group of combinations, of each seed that all of them have."""
    groups = [list(group) for group in groups]
    for off in (off for group in groups for off in group if off not in grid):
        raise UsageError(f"there are no runs of airbench94 without {', '.join(sorted(off)) or 'anything'}")
    seeds = sorted(set.intersection(*(set(grid[off]) for group in groups for off in group)))
    return tuple({seed: statistics.mean(grid[off][seed] for off in group) for seed in seeds} for group in groups)


def _subsets(names: Iterable[str]) -> Iterator[frozenset[str]]:
    names = list(names)
    for size in range(len(names) + 1):
        yield from map(frozenset, combinations(names, size))
