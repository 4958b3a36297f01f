"""What the explorer shows, as plain values for JSON: every number is made here, JavaScript only draws.

A position is a setting of the six switches of airbench94, by a key such as "110100": a digit for each of `SWITCHES`, 1
where it is on. At one scale each position has its recorded runs, or none; nothing is interpolated between positions.
"""

import math
from dataclasses import replace
from itertools import product
from typing import Any

from airbench_core import AIRBENCH94, BASELINE, Recipe
from airbench_core.scales import scale_named
from airbench_core.tricks import TRICKS
from airbench_lab import published, replay
from airbench_lab.lessons import regimes
from airbench_lab.panel.runs import mean_curve
from airbench_lab.study import report, studies
from airbench_lab.study.frames import frame
from airbench_lab.study.settings import brief, with_fields
from airbench_lab.study.speedup import Curve, curve_of, epochs_to_target

SCALE, DATA = "laptop", "cifar10"
# In the order of the ladder: a field of the recipe, and what it is on and off.
SWITCHES = {
    name: (studies.SWITCHES | {"tta": (studies.FULL_TTA, "mirror")})[name]
    for name in ("whiten", "identity_init", "bias_scale", "lookahead", "tta", "flip")
}
NAMES = dict(zip(SWITCHES, published.ALONE, strict=True))  # as `published` calls them, in the same order
ALL = "1" * len(SWITCHES)

Values = dict[str, Any]


def explorer(scale: str = SCALE, data: str = DATA) -> Values:
    """All of it. Shares are in percent; an interval is [low, high] with None where it is open or not known.

    positions: what is recorded of each. to_target: of those that were trained for several lengths, epochs to the
    accuracy `target`; `of` names another recipe with the same tricks. paper: its speedups.
    """
    baseline = curve_of(replay.curve(BASELINE, scale, data))
    found = {"".join(map(str, digits)): _recipe(digits) for digits in product((0, 1), repeat=len(SWITCHES))}
    runs = {key: replay.lookup(recipe, scale, data) for key, recipe in found.items()}
    target = _target(runs[ALL])
    lengths = _lengths(scale, data) if target else {}
    return {
        "scale": scale,
        "about": scale_named(scale).about,
        "data": data,
        "hardware": runs[ALL].hardware,
        "trained": scale_named(scale).recipe(AIRBENCH94).epochs,
        "target": target and 100 * target,
        "baseline": _to_target(baseline, target)["epochs"] if target and len(baseline) > 1 else None,
        "paper_hardware": published.HARDWARE,
        "switches": [
            {"name": _shown(name), "off": f"{field}={brief(SWITCHES[field][1])}"} for field, name in NAMES.items()
        ],
        "positions": {key: _position(runs[key], baseline) for key in found if runs[key]},
        "to_target": {key: {"of": label} | _to_target(curve, target) for key, (label, curve) in lengths.items()},
        "paper": {key: published.LADDER["baseline"].paper / epochs for key, epochs in _published().items()},
        "regimes": [_regime(trick) for trick in studies.REGIMES],
    }


def key_of(recipe: Recipe) -> str:
    """The position whose tricks are those of `recipe`."""
    return "".join(str(int(getattr(recipe, name) == on)) for name, (on, _) in SWITCHES.items())


def _recipe(digits: tuple[int, ...]) -> Recipe:
    values = {name: both[1 - on] for (name, both), on in zip(SWITCHES.items(), digits, strict=True)}
    return with_fields(AIRBENCH94, **values)


def _target(runs: replay.Replay) -> float | None:
    """The half percent below what airbench94 reaches with its own epochs; None where it is not recorded."""
    accuracies = runs.accuracies.values()
    return math.floor(200 * sum(accuracies) / len(accuracies)) / 200 if accuracies else None


def _position(runs: replay.Replay, baseline: Curve) -> Values:
    row = report.row("", frame(runs.records), reference="baseline", curve=baseline if len(baseline) > 1 else None)
    curve = mean_curve("", [record for record in runs.records if record.get("epochs")], runs.hardware).table
    return {
        "n": row["n"],
        "accuracy": _round(100 * row["accuracy"]),
        "interval": _interval(row["interval"], 100),
        "curve": [
            [_round(one) for one in point] for point in curve[["epochs", "accuracy, %", "low", "high"]].to_numpy()
        ],
        "speedup": _round(row["speedup"]),
        "speedup_interval": _interval(row["speedup_interval"]),
        "speedup_n": row["worth_n"],
        "note": row["note"],
    }


def _lengths(scale: str, data: str) -> dict[str, tuple[str | None, Curve]]:
    """The positions of which trainings of several lengths are recorded: with the switches alone changed, or else as the
    paper's ladder or its figure 4 has it, which change more with Lookahead, the first layer or the learning rate."""
    own = [(None, _recipe(digits)) for digits in product((0, 1), repeat=len(SWITCHES))]
    theirs = [(variant.label, variant.recipe) for variant in (*studies.ladder(), *studies.ablation())]
    lower = [(f"{label}, without multi-crop TTA", replace(recipe, tta="mirror")) for label, recipe in theirs]
    found = {}
    for label, recipe in (*own, *theirs, *lower):
        if (key := key_of(recipe)) not in found and len(curve := curve_of(replay.curve(recipe, scale, data))) > 1:
            found[key] = label, curve
    return found


def _to_target(curve: Curve, target: float) -> Values:
    found = epochs_to_target(curve, target)
    interval = _interval((found.low, found.high))
    return {"epochs": _round(found.epochs), "interval": interval, "n": found.n, "note": found.reason}


def _published() -> dict[str, float]:
    """Epochs to 94 % at full scale, by position: the ladder's, and those of the paper's figure 4."""
    whitened, names = key_of(studies.WHITENED), list(NAMES.values())

    def but(key: str, name: str) -> str:
        place = names.index(name)
        return key[:place] + str(1 - int(key[place])) + key[place + 1 :]

    found = {but(ALL, "whitening"): published.UNWHITENED_EPOCHS}
    for name, epochs in published.INTERACTIONS.items():
        found |= {but(whitened, name): epochs.added, but(ALL, name): epochs.removed}
    rungs = {key_of(rung.recipe): published.LADDER[rung.label].paper for rung in reversed(studies.ladder())}
    return found | {key: epochs for key, epochs in rungs.items() if epochs}


def _regime(trick: str) -> Values:
    (one,) = (one for one in TRICKS if one.file == trick)
    regime = studies.REGIMES[trick]
    about = {"name": regime.label, "lesson": one.lesson, "chosen": regime.chosen}
    found = regimes.worth(trick)
    if found is None:
        return about
    gain, numbers = found.gain, {"without": found.without, "with": found.with_it, "gain": found.gain.difference}
    numbers = {name: _round(100 * number) for name, number in numbers.items()}
    return (
        about
        | numbers
        | {
            "interval": _interval((gain.low, gain.high), 100),
            "n": gain.n_a,
            "hardware": found.hardware,
        }
    )


def _shown(name: str) -> str:
    return name.replace(" x ", " \N{MULTIPLICATION SIGN} ")


def _interval(bounds: tuple[float, float] | None, times: float = 1) -> list[float | None]:
    return [_round(times * bound) for bound in bounds or (math.nan, math.nan)]


def _round(value: float | None) -> float | None:
    """To four decimals; None for what JSON has no number for."""
    return None if value is None or not math.isfinite(value) else round(float(value), 4)
