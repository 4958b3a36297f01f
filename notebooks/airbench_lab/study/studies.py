"""The paper's studies, each a list of recipes to be trained with several seeds; and grids over any of their fields.

Sources: [P] Jordan, arXiv:2404.00498; [Z] the ablations of github.com/KellerJordan/cifar10-zoo.

A run holds its accuracy also at the levels of TTA below its own. Where a study compares accuracies at several levels,
one training with the highest of them therefore stands for all; where it compares seconds, each level is a run.
"""

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from airbench_core.errors import UsageError
from airbench_core.published import AIRBENCH94, AIRBENCH94_MUON, AIRBENCH95, AIRBENCH96, RECIPES
from airbench_core.recipes import Recipe
from airbench_lab.study.ladder import LADDER, Variant
from airbench_lab.study.settings import brief, parse_field, split_settings, with_fields

FULL_TTA = "mirror+translate"
MOST = 100_000  # runs of a sweep


class Study(NamedTuple):
    about: str
    variants: Callable[[], list[Variant]]
    predictions: bool = False  # whether the runs' predictions are kept in the log


# The ladder's Lookahead rung, taken apart and put back.
_rungs = {rung.label: rung.recipe for rung in LADDER}
WHITENED = _rungs["+ whitening"]
_BUNDLE = ("lookahead", "batchnorm_momentum", "lr", "lr_peak_at", "lr_end")
LOOKAHEAD = {name: getattr(AIRBENCH94, name) for name in _BUNDLE}
NO_LOOKAHEAD = {name: getattr(WHITENED, name) for name in _BUNDLE}


def ladder() -> list[Variant]:
    """Each rung with the epochs that it needs for 94 % at full scale; seconds are compared."""
    return list(LADDER)


def ablation() -> list[Variant]:
    """[P], figure 4: one trick added to the whitened baseline, one removed from airbench94.

    Lookahead is the bundle of fields of its rung. Without TTA means with mirrors alone: a lower level, so no run of
    its own. Without whitening the first layer has a BatchNorm, as in [Z]. The epochs are those of the two recipes:
    for epochs to a target add --set epochs=...
    """
    added: dict[str, dict[str, Any]] = {
        "+ identity initialization": {"identity_init": True},
        "+ BatchNorm-bias learning rate x 64": {"bias_scale": 64},
        "+ Lookahead": LOOKAHEAD,
        "+ multi-crop TTA": {"tta": FULL_TTA},  # its level mirror is the whitened baseline itself
        "+ alternating flip": {"flip": "alternating"},
    }
    removed: dict[str, dict[str, Any]] = {
        "- whitening": {"whiten": False, "first_norm": True},
        "- identity initialization": {"identity_init": False},
        "- BatchNorm-bias learning rate x 64": {"bias_scale": 1},
        "- Lookahead": NO_LOOKAHEAD,
        "- alternating flip": {"flip": "random"},
    }
    return [
        *(Variant(f"whitened baseline {label}", replace(WHITENED, **values)) for label, values in added.items()),
        Variant("airbench94", AIRBENCH94),  # its level mirror is airbench94 without multi-crop TTA
        *(Variant(f"airbench94 {label}", replace(AIRBENCH94, **values)) for label, values in removed.items()),
    ]


SWITCHES = {
    "whiten": (True, False),
    "identity_init": (True, False),
    "bias_scale": (64, 1),
    "lookahead": (True, False),
    "flip": ("alternating", "random"),
}


def toggles() -> list[Variant]:
    """airbench94 with its tricks on and off in all combinations, each a single field: 32 trainings.

    TTA, the sixth, is on in all: without it is a lower level.
    """
    return grid([Variant("airbench94", AIRBENCH94)], SWITCHES)


def flip() -> list[Variant]:
    """[P], figure 5 and table 1: random against alternating, over epochs, cutout and reshuffling.

    9.9 epochs are airbench94's own, 20 and 40 those for which [P] states speedups. TTA: the levels of each run.
    """
    start = [Variant("airbench94", AIRBENCH94)]
    flips = {"flip": ("random", "alternating")}
    return [
        *grid(start, {"epochs": (9.9, 20, 40), "cutout": (0, 12), **flips}),
        *grid(start, {"reshuffle": (False,), **flips}),
    ]


def scaling() -> list[Variant]:
    """[P], figure 3: FLOPs against error."""
    named = {"airbench94": AIRBENCH94, "airbench95": AIRBENCH95, "airbench96": AIRBENCH96}
    return [Variant(name, recipe) for name, recipe in named.items()]


def variance() -> list[Variant]:
    """[P], the section on variance: many runs of one recipe, with what they predict."""
    return [Variant("airbench94", AIRBENCH94)]


class Regime(NamedTuple):
    """A small training in which a trick shows: two recipes, not scaled, whose difference it makes; and what was chosen.

    At the scale `laptop`: a network of an eighth of the width, on 2,000 pictures that it sees 16 times. What a trick is
    worth there is not what it is worth at the full scale; its sign is the paper's. How all was chosen, on other seeds
    than those that are recorded: benchmarks/README.md.
    """

    label: str
    without: Recipe
    with_it: Recipe
    chosen: str


# Test-time augmentation makes up for a part of what these two gain.
_brief = replace(AIRBENCH94, tta="none", epochs=5)
_still = replace(AIRBENCH94, tta="none", translate=0)

# By the file of the trick in airbench_core/tricks.
REGIMES = {
    "whitening": Regime("whitening", replace(AIRBENCH94, whiten=False), AIRBENCH94, "nothing"),
    "identity_init": Regime("identity initialization", replace(AIRBENCH94, identity_init=False), AIRBENCH94, "nothing"),
    "bias_scale": Regime("bias scale 64", replace(AIRBENCH94, bias_scale=1), AIRBENCH94, "nothing"),
    "lookahead": Regime(
        "Lookahead, its schedule and BatchNorm momentum",
        replace(_brief, **NO_LOOKAHEAD),
        _brief,
        "5 epochs, no TTA",
    ),
    "tta": Regime("multi-crop TTA instead of mirrors", replace(AIRBENCH94, tta="mirror"), AIRBENCH94, "nothing"),
    "flip": Regime(
        "alternating instead of random flip", replace(_still, flip="random"), _still, "no translation, no TTA"
    ),
    "muon": Regime(
        "Muon instead of SGD", replace(AIRBENCH94, epochs=AIRBENCH94_MUON.epochs), AIRBENCH94_MUON, "8 epochs"
    ),
}


def regimes() -> list[Variant]:
    """What all regimes train, each once, with the highest level of TTA: the lower ones are in its record."""
    labels = {AIRBENCH94: "airbench94", AIRBENCH94_MUON: "airbench94_muon"}
    for name, regime in REGIMES.items():
        for word, recipe in ("with", regime.with_it), ("without", regime.without):
            labels.setdefault(replace(recipe, tta=FULL_TTA), f"{name}: {word}")
    return [Variant(label, recipe) for recipe, label in labels.items()]


STUDIES = {
    "ladder": Study("from the baseline to airbench94, one trick more at each rung; seconds", ladder),
    "ablation": Study("one trick added to the whitened baseline, one removed from airbench94 (figure 4)", ablation),
    "toggles": Study("airbench94's five tricks in training, on and off in all combinations", toggles),
    "flip": Study("random against alternating flip: epochs, cutout, reshuffling (figure 5, table 1)", flip),
    "scaling": Study("FLOPs against error: airbench94, 95 and 96 (figure 3)", scaling),
    "regimes": Study("for each trick the trainings in which it shows, at the scale laptop", regimes),
    "variance": Study("many runs of airbench94, with their predictions", variance, predictions=True),
}


def study_named(name: str) -> Study:
    """The study of that name, or a study of the one recipe of that name. Raises UsageError with the known ones."""
    if name in STUDIES:
        return STUDIES[name]
    if name in RECIPES:
        return Study(f"the recipe {name}", lambda: [Variant(name, RECIPES[name])])
    raise UsageError(
        f"{name!r} is neither a study nor a recipe; studies: {', '.join(STUDIES)}; recipes: {', '.join(RECIPES)}"
    )


def axes_from(settings: list[str]) -> dict[str, list[Any]]:
    """The values of each field of "epochs=5,10,20" and the like."""
    texts = split_settings(settings)
    return {name: [parse_field(f"{name}={text}")[1] for text in of.split(",")] for name, of in texts.items()}


def check_runs(n: int) -> None:
    """Raise UsageError for more runs than anybody makes: their plan would take hours, and all memory."""
    if n > MOST:
        raise UsageError(f"these are {n:,} runs, and {MOST:,} at most can be planned: fewer values or seeds")


def grid(variants: Iterable[Variant], axes: dict[str, Sequence[Any]]) -> list[Variant]:
    """Each of `variants` with every combination of the fields' values in `axes`; recipes that come out equal, once.

    Raises UsageError for unknown fields, illegal values, too many combinations, and where one excludes itself.
    """
    variants = list(variants)
    check_runs(len(variants) * math.prod(map(len, axes.values())))
    found: dict[tuple[Recipe, bool], Variant] = {}
    for variant, values in itertools.product(variants, itertools.product(*axes.values())):
        recipe = with_fields(variant.recipe, **dict(zip(axes, values, strict=True)))
        changed = recipe.changes(variant.recipe)
        label = " ".join([variant.label, *(f"{name}={brief(value)}" for name, value in changed.items())])
        found.setdefault((recipe, variant.compile), Variant(label, recipe, variant.compile))
    return list(found.values())
