"""What the explorer shows, as plain values for JSON: every number is made here, JavaScript only draws.

At each scale a position of the six switches (panel/positions.py) has its recorded runs, or none; nothing is
interpolated between positions.
"""

from collections.abc import Sequence

from airbench_core import AIRBENCH94
from airbench_core.scales import scale_named
from airbench_core.tricks import TRICKS
from airbench_lab import published, replay
from airbench_lab.lessons import regimes
from airbench_lab.panel.positions import NAMES, SWITCHES, Values, key_of, recipe_at, rounded
from airbench_lab.panel.recorded import RecordedRuns
from airbench_lab.panel.settings import DataSets, Settings
from airbench_lab.study import studies
from airbench_lab.study.settings import brief

SCALE, DATA = "laptop", "cifar10"


def explorer(scales: Sequence[str] | None = None, data: str = DATA) -> Values:
    """All of it. Shares are in percent; an interval is [low, high] with None where it is open or not known.

    scales: by default those at which there is something to switch, SCALE first.
    """
    found = {scale: _at_scale(scale, data) for scale in scales or replay.scales(data)}
    if scales is None:
        switched = [scale for scale, one in found.items() if len(one["positions"]) > 1]
        found = {scale: found[scale] for scale in sorted(switched, key=lambda name: name != SCALE)}
    return {
        "paper_hardware": published.HARDWARE,
        "switches": [
            {"name": _shown(name), "off": f"{field}={brief(SWITCHES[field][1])}"} for field, name in NAMES.items()
        ],
        "scales": found,
        "regimes": [_regime(trick) for trick in studies.REGIMES],
    }


def _at_scale(scale: str, data: str) -> Values:
    """positions: what is recorded of each, by its key."""
    settings = Settings(recipe=AIRBENCH94, scale=scale, data=data)

    def at(one: Settings) -> str | None:
        key = key_of(one.recipe)
        return key if recipe_at(key) == one.recipe else None  # there are levels of TTA in between

    near = RecordedRuns(DataSets("builtin"), AIRBENCH94).near(settings, set(SWITCHES), at)
    return {
        "about": scale_named(scale).about,
        "data": data,
        "hardware": replay.lookup(AIRBENCH94, scale, data).hardware,
        "trained": scale_named(scale).recipe(AIRBENCH94).epochs,
        **{k: near[k] for k in ("scale", "target", "baseline")},
        "positions": {one.pop("at"): one for one in near["positions"]},
    }


def _regime(trick: str) -> Values:
    (one,) = (one for one in TRICKS if one.file == trick)
    regime = studies.REGIMES[trick]
    about = {"name": regime.label, "lesson": one.lesson, "chosen": regime.chosen}
    found = regimes.worth(trick)
    if found is None:
        return about
    gain, numbers = found.gain, {"without": found.without, "with": found.with_it, "gain": found.gain.difference}
    numbers = {name: rounded(100 * number) for name, number in numbers.items()}
    return (
        about
        | numbers
        | {
            "interval": [rounded(100 * gain.low), rounded(100 * gain.high)],
            "n": gain.n_a,
            "hardware": found.hardware,
        }
    )


def _shown(name: str) -> str:
    return name.replace(" x ", " \N{MULTIPLICATION SIGN} ")
