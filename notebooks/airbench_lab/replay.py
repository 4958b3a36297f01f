"""Recorded runs: what was measured of a recipe on named hardware, found at once on any machine.

`lookup` gives the runs of exactly the recipe that is asked for, or says that there are none. Nothing is interpolated,
what is recorded is never mixed with what is measured here, and runs with parts of somebody's own are left out. What is
recorded, and by what: recorded/README.md.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from airbench_core import Dataset, Recipe, Scale, runlog
from airbench_core.evaluation import TTA_WEIGHTS
from airbench_core.scales import scale_named
from airbench_lab.study.keys import key, recipe_parts

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
    return runs if isinstance(runs, Replay) else _of(scale.recipe(recipe), runs, compile)


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
    scaled = scale.recipe(recipe)
    found: dict[tuple[str, str], dict[float, dict[int, float]]] = defaultdict(dict)
    for epochs in sorted({run.record["recipe"]["epochs"] for run in runs}):
        for setting, of in _by_setting(replace(scaled, epochs=epochs), runs, compile=False).items():
            found[setting][epochs] = {seed: of[seed]["accuracy"] for seed in sorted(of)}
    return max(found.values(), key=len, default={})


@dataclass(frozen=True)
class _Run:
    record: Record
    training: dict[str, Any]  # the recipe's fields that are not at their defaults, without `tta`
    setting: tuple[str, str]  # the hardware, and the digest of the images


def _runs(scale: Scale, data: Dataset | str, folder: Path) -> list[_Run] | Replay:
    """What is recorded at `scale` on `data`; an empty Replay where nothing is."""
    name, digest = (data, None) if isinstance(data, str) else (data.name, scale.data(data).digest)
    there = f"scale {scale.name} on {name}"
    recorded = _recorded(folder)
    runs = [run for run in recorded if (run.record["scale"], run.record["data"]["name"]) == (scale.name, name)]
    if not runs:
        settings = sorted({f"scale {run.record['scale']} on {run.record['data']['name']}" for run in recorded})
        return Replay(reason=f"no runs are recorded at {there}; there are: {', '.join(settings) or 'none'}")
    same = [run for run in runs if digest in (None, run.setting[1])]
    return same or Replay(reason=f"the runs recorded at {there} used other images than these")


def _of(scaled: Recipe, runs: Iterable[_Run], compile: bool) -> Replay:
    """Those of `runs` that are of this recipe, on the hardware that made the most of them."""
    found = _by_setting(scaled, runs, compile)
    if not found:
        return Replay(reason=f"no runs of this recipe{', compiled,' * compile} are recorded: run it")
    (hardware, _), most = max(found.items(), key=lambda group: len(group[1]))
    return Replay(tuple(most[seed] for seed in sorted(most)), hardware)


def _by_setting(scaled: Recipe, runs: Iterable[_Run], compile: bool) -> dict[tuple[str, str], dict[int, Record]]:
    """The runs of this recipe at its level of TTA, by seed: those on the same hardware and images together."""
    wanted = _training(asdict(scaled))
    groups: dict[tuple[str, str], dict[int, Record]] = defaultdict(dict)
    for run in runs:
        record = run.record
        if run.training == wanted and record["runtime"]["compile"] == compile and scaled.tta in record["accuracies"]:
            group = groups[run.setting]
            exact = record["recipe"]["tta"] == scaled.tta
            if exact or record["seed"] not in group:
                group[record["seed"]] = record if exact else _at_level(record, scaled.tta)
    return groups


def _at_level(record: Record, tta: str) -> Record:
    """The run as if its recipe had asked for a lower level of TTA: the same training, the accuracy at that level."""
    return {
        **record,
        "recipe": {**record["recipe"], "tta": tta},
        "accuracy": record["accuracies"][tta],
        "accuracies": {name: record["accuracies"][name] for name in TTA_WEIGHTS if _level(name) <= _level(tta)},
        "seconds": None,
    }


def _level(tta: str) -> int:
    return list(TTA_WEIGHTS).index(tta)


def _training(recipe: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in recipe_parts(recipe).items() if name != "tta"}


def hardware(runtime: Mapping[str, Any]) -> str:
    """A record's runtime in words."""
    threads = f", {runtime['threads']} thread{'s' * (runtime['threads'] > 1)}" if runtime["device"] == "cpu" else ""
    return f"{runtime['name']}, {runtime['dtype']}{threads}{', compiled' * runtime['compile']}"


@cache
def _recorded(folder: Path) -> tuple[_Run, ...]:
    """All runs of a recipe in `folder`, each once: of two copies the one with its seconds."""
    records = [record for log in sorted(folder.glob("*.jsonl")) for record in runlog.load(log)]
    plain = [record for record in records if not record.get("parts")]
    timed = sorted(plain, key=lambda record: record["seconds"] is not None)
    return tuple(
        _Run(record, _training(record["recipe"]), (hardware(record["runtime"]), record["data"]["digest"]))
        for record in {key(record): record for record in timed}.values()
    )
