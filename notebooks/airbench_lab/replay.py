"""Recorded runs: what was measured of a recipe on named hardware, found at once on any machine.

`lookup` gives the runs of exactly the recipe that is asked for, or says that there are none. Nothing is interpolated,
what is recorded is never mixed with what is measured here, and runs with parts of somebody's own are left out. What is
recorded, and by what: recorded/README.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pandas as pd

from airbench_core import SCALES, Dataset, Recipe, Scale
from airbench_core.scales import scale_named
from airbench_core.tricks.tta import TTA_WEIGHTS
from airbench_lab import runlog
from airbench_lab.study.frames import frame, of_recipe, training

FOLDER = Path(__file__).parent / "recorded"

NOT_THIS = "no runs of this recipe{} are recorded: run it"

Record = Mapping[str, Any]


@dataclass(frozen=True)
class Replay:
    """The recorded runs of one recipe on one kind of hardware, one a seed; or none, and then `reason` says why."""

    records: tuple[Record, ...] = ()
    hardware: str = ""
    reason: str = ""

    def __bool__(self) -> bool:
        return bool(self.records)

    def __str__(self) -> str:
        return f"{len(self.records)} run(s) recorded on {self.hardware}" if self else self.reason

    @property
    def accuracies(self) -> dict[int, float]:
        """Of each seed, at the level of TTA that was asked for."""
        return {record["seed"]: record["accuracy"] for record in self.records}


def lookup(
    recipe: Recipe, scale: str | Scale, data: Dataset | str, *, compile: bool = False, folder: Path = FOLDER
) -> Replay:
    """The recorded runs of `recipe` at `scale` on `data`.

    recipe: not scaled, as for `train`. data: or the name of a data set, for a machine that has not got it; then of all
    that is recorded under that name. Where several kinds of hardware are recorded: the one with the most runs.

    A run holds its accuracy at the levels of TTA below its own too, so a recipe that differs from a recorded one in a
    lower `tta` alone is answered by that: with its accuracy at that level, and without seconds, which nobody measured.
    """
    scale = scale_named(scale) if isinstance(scale, str) else scale
    scaled = scale.recipe(recipe)
    runs = _runs(scaled, scale, data, compile, folder)
    if isinstance(runs, Replay):
        return runs
    found = of_recipe(runs, scaled, compile=compile)
    if found.empty:
        return Replay(reason=NOT_THIS.format(", compiled," * compile))
    _, most = max(found.groupby(["hardware", "digest"], sort=False), key=lambda group: len(group[1]))
    most = most.sort_values("seed")
    where = most["hardware"].iloc[0] + ", compiled" * compile
    records = (
        record if exact else _at_level(record, scaled.tta)
        for record, exact in zip(most["record"], most["exact"], strict=True)
    )
    return Replay(tuple(records), where)


def curve(
    recipe: Recipe, scale: str | Scale, data: Dataset | str, *, folder: Path = FOLDER
) -> dict[float, dict[int, float]]:
    """Recorded accuracies of `recipe` with each number of epochs that there is: {epochs, as scaled: {seed: accuracy}}.

    What `study.speedup.equivalent_epochs` takes as the curve of a reference. As `lookup` finds them, all on one kind of
    hardware: that with the most lengths. Empty where there are none.
    """
    scale = scale_named(scale) if isinstance(scale, str) else scale
    scaled = scale.recipe(recipe)
    runs = _runs(scaled, scale, data, False, folder)
    if isinstance(runs, Replay):
        return {}
    found = of_recipe(runs, scaled, any_epochs=True).sort_values(["epochs", "seed"])
    if found.empty:
        return {}
    _, most = max(found.groupby(["hardware", "digest"], sort=False), key=lambda group: group[1]["epochs"].nunique())
    lengths = most.groupby("epochs")
    return {epochs: dict(zip(of["seed"], of["accuracy"], strict=True)) for epochs, of in lengths}


def recipes(scale: str, data: str, *, folder: Path = FOLDER) -> list[tuple[Recipe, bool]]:
    """All that is recorded at the scale on the data set of these names: recipes, not scaled, and whether compiled."""
    kinds = _recorded(folder).get((scale, data), {})
    return [(recipe, compile) for (_, compile), runs in kinds.items() for recipe in runs["asked"].unique()]


def scales(data: str, *, folder: Path = FOLDER) -> list[str]:
    """The names of the scales at which something is recorded on the data set of this name."""
    return [name for name in SCALES if (name, data) in _recorded(folder)]


def _runs(scaled: Recipe, scale: Scale, data: Dataset | str, compile: bool, folder: Path) -> pd.DataFrame | Replay:
    """What is recorded of `scaled` with any epochs and TTA; an empty Replay where nothing is."""
    name, digest = (data, None) if isinstance(data, str) else (data.name, scale.data(data).digest)
    recorded = _recorded(folder)
    kinds = recorded.get((scale.name, name))
    if kinds is None:
        settings = sorted(f"scale {scale} on {name}" for scale, name in recorded)
        there = ", ".join(settings) or "none"
        return Replay(reason=f"no runs are recorded at scale {scale.name} on {name}; there are: {there}")
    runs = kinds.get((training(scaled), compile))
    if digest is not None:
        if all((some["digest"] != digest).all() for some in kinds.values()):
            return Replay(reason=f"the runs recorded at scale {scale.name} on {name} used other images than these")
        runs = runs if runs is None else runs[runs["digest"] == digest]
    return Replay(reason=NOT_THIS.format(", compiled," * compile)) if runs is None else runs


def _at_level(record: Record, tta: str) -> Record:
    """The run as if its recipe had asked for a lower level of TTA: the same training, the accuracy at that level."""
    below = list(TTA_WEIGHTS)[: list(TTA_WEIGHTS).index(tta) + 1]
    return {
        **record,
        "recipe": {**record["recipe"], "tta": tta},
        "accuracy": record["accuracies"][tta],
        "accuracies": {name: record["accuracies"][name] for name in below},
        "seconds": None,
    }


@cache
def _recorded(folder: Path) -> dict[tuple[str, str], dict[tuple[Recipe, bool], pd.DataFrame]]:
    """All runs in `folder`, by scale and data set, then by what they trained and whether compiled.

    Each once, with its record: of two copies the one with its seconds.
    """
    records = [record for log in sorted(folder.glob("*.jsonl")) for record in runlog.load(log)]
    runs = frame(records).assign(record=pd.Series(records, dtype=object))
    runs = runs[runs["parts"].map(len) == 0].sort_values("seconds", kind="stable", na_position="first")
    runs = runs.drop_duplicates("key", keep="last")
    found: dict[tuple[str, str], dict[tuple[Recipe, bool], pd.DataFrame]] = {}
    kind = [runs["scale"], runs["data"], runs["trained"].map(training), runs["compile"]]
    for (scale, data, recipe, compile), some in runs.groupby(kind, sort=False):
        found.setdefault((scale, data), {})[recipe, bool(compile)] = some
    return found
