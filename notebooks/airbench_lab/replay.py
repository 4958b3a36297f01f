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

from airbench_core import Dataset, Recipe, Scale
from airbench_core.scales import scale_named
from airbench_core.tricks.tta import TTA_WEIGHTS
from airbench_lab import runlog
from airbench_lab.study.frames import frame, of_recipe

FOLDER = Path(__file__).parent / "recorded"

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
    runs = _runs(scale, data, folder)
    if isinstance(runs, Replay):
        return runs
    scaled = scale.recipe(recipe)
    found = of_recipe(runs, scaled, compile=compile)
    if found.empty:
        return Replay(reason=f"no runs of this recipe{', compiled,' * compile} are recorded: run it")
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
    runs = _runs(scale, data, folder)
    if isinstance(runs, Replay):
        return {}
    found = of_recipe(runs, scale.recipe(recipe), any_epochs=True).sort_values(["epochs", "seed"])
    if found.empty:
        return {}
    _, most = max(found.groupby(["hardware", "digest"], sort=False), key=lambda group: group[1]["epochs"].nunique())
    lengths = most.groupby("epochs")
    return {epochs: dict(zip(of["seed"], of["accuracy"], strict=True)) for epochs, of in lengths}


def _runs(scale: Scale, data: Dataset | str, folder: Path) -> pd.DataFrame | Replay:
    """What is recorded at `scale` on `data`; an empty Replay where nothing is."""
    name, digest = (data, None) if isinstance(data, str) else (data.name, scale.data(data).digest)
    recorded = _recorded(folder)
    runs = recorded[(recorded["scale"] == scale.name) & (recorded["data"] == name)]
    there = f"scale {scale.name} on {name}"
    if runs.empty:
        settings = sorted(set("scale " + recorded["scale"] + " on " + recorded["data"]))
        return Replay(reason=f"no runs are recorded at {there}; there are: {', '.join(settings) or 'none'}")
    same = runs if digest is None else runs[runs["digest"] == digest]
    return same if len(same) else Replay(reason=f"the runs recorded at {there} used other images than these")


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
def _recorded(folder: Path) -> pd.DataFrame:
    """All runs in `folder`, each once, with their records: of two copies the one with its seconds."""
    records = [record for log in sorted(folder.glob("*.jsonl")) for record in runlog.load(log)]
    runs = frame(records).assign(record=pd.Series(records, dtype=object))
    runs = runs[runs["parts"].map(len) == 0].sort_values("seconds", kind="stable", na_position="first")
    return runs.drop_duplicates("key", keep="last")
