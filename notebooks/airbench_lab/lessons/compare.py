"""Recipes compared for a lesson: the recorded runs of many seeds, and beside them the few that were made live."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from airbench_core import Dataset, Recipe, RunResult
from airbench_core.scales import scale_named
from airbench_lab.figures.differences import Accuracies, differences
from airbench_lab.figures.drawing import Drawing
from airbench_lab.lessons import own_runs
from airbench_lab.replay import FOLDER, lookup

DRAWN = "drawn pictures, which say nothing about a trick, on "
Changes = Mapping[str, tuple[Recipe, Recipe]]  # what each is called: the recipe without it, and with it; not scaled


def compare(
    changes: Changes, *, scale: str, data: Dataset | str, live: Iterable[RunResult] = (), folder: Path = FOLDER
) -> Drawing:
    """What each change makes of the accuracy, paired by seed: recorded, and by the `live` results, if there are any.

    Where nothing of this is recorded at `scale`, as at full scale on a GPU, the runs at the laptop scale stand beside
    the live ones, and the figure says so. Where this machine has no CIFAR-10, the recorded runs on it are shown all the
    same, if `data` is its name, or the drawn pictures: the figure then says of both what they were made on. Recorded
    runs of two kinds of hardware are not paired: the figure says which changes were left out for that. The live results
    are kept in the log of one's own runs, and its earlier ones counted with them (`own_runs`). folder: where they are
    recorded, as for `lookup`.
    """
    live = list(live)
    drawn = (data if isinstance(data, str) else data.name) == "builtin"
    data = "cifar10" if drawn else data  # on drawn pictures nothing is recorded
    found = {name: [lookup(recipe, scale, data, folder=folder) for recipe in pair] for name, pair in changes.items()}
    elsewhere = ""
    if not any(map(any, found.values())) and scale != "laptop":
        found = {name: [lookup(one, "laptop", data, folder=folder) for one in pair] for name, pair in changes.items()}
        elsewhere = f" at the laptop scale, since nothing of this is recorded at scale {scale}"
    recorded, kinds, mixed = {}, [], []
    for name, (a, b) in found.items():
        same = bool(a and b) and a.hardware == b.hardware
        recorded[name] = (a.accuracies, b.accuracies) if same else ({}, {})
        if same:
            kinds.append(a.hardware)
        elif a and b:
            mixed.append(name)
    scaled = scale_named(scale)
    counted = own_runs.with_earlier(live)
    own, new = (
        {name: tuple(_of(some, scaled.recipe(recipe), scale) for recipe in pair) for name, pair in changes.items()}
        for some in (counted, live)
    )
    earlier = f", with your earlier runs in {own_runs.LOG.name}" if _pairs(own) > _pairs(new) else ""
    return differences(
        recorded,
        own,
        where="CIFAR-10, " * drawn + " and ".join(dict.fromkeys(kinds)) + elsewhere,
        live_where=DRAWN * drawn + live[0].runtime.device_name + earlier if live else "",
        mixed=mixed,
    )


def _pairs(of: Mapping[str, tuple[Accuracies, Accuracies]]) -> int:
    return sum(len(a.keys() & b.keys()) for a, b in of.values())


def _of(results: Iterable[own_runs.OwnRun | RunResult], scaled: Recipe, scale: str) -> Accuracies:
    plain = (one for one in results if not one.parts and not one.seeds)
    return {one.seed: one.accuracy for one in plain if one.recipe == scaled and one.scale == scale}
