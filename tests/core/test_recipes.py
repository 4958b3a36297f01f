import itertools
import re
from dataclasses import fields, replace

import numpy as np
import pytest
from airbench_lab.study.ladder import LADDER
from airbench_lab.study.settings import parse_field, with_fields
from airbench_lab.tables import describe
from hypothesis import given
from hypothesis import strategies as st

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    BASELINE,
    RESNET18,
    Recipe,
    UsageError,
)
from airbench_core.fields import shown
from airbench_core.recipes import MIXES

widths = st.tuples(*[st.integers(1, 4096)] * 3)
share = st.floats(0, 1)
positive = st.floats(0.001, 1000)
LEGAL = {
    "widths": widths,
    "depth": st.integers(2, 8),
    "residual": st.booleans(),
    "whiten_bias_zero": st.booleans(),
    "unit_head": st.booleans(),
    "whiten_eps": positive,
    "whiten_bias_epochs": st.none() | st.floats(0, 100),
    "identity_init": st.booleans(),
    "batchnorm_momentum": st.floats(0, 0.9999),
    "flip": st.sampled_from(["none", "random", "alternating"]),
    "translate": st.integers(0, 16),
    "cutout": st.integers(0, 31),
    "reshuffle": st.booleans(),
    "cross_epochs": st.booleans(),
    "proxy_widths": widths,
    "proxy_every": st.integers(1, 1000),
    "muon_momentum": st.floats(0, 0.9999),
    "newton_schulz_steps": st.integers(1, 100),
    "epochs": positive,
    "batch_size": st.integers(1, 10**6),
    "lr": positive,
    "momentum": st.floats(0.01, 0.99),
    "weight_decay": st.floats(0, 10),
    "bias_scale": positive,
    "label_smoothing": st.floats(0, 0.9999),
    "lr_start": share,
    "lr_peak_at": share,
    "lr_end": share,
    "lookahead": st.booleans(),
    "tta": st.sampled_from(["none", "mirror", "mirror+translate"]),
}
# Fields that others constrain, in legal company.
RESNETS = {
    "network",
    "widths",
    "lr",
    "weight_decay",
    *MIXES["network", "resnet18"][0],
    *MIXES["optimizer", "torch-sgd"][0],
}
TOGETHER = {
    "first layer": [{"whiten": True}, {"whiten": False}, {"whiten": False, "first_norm": True}],
    "proxy": [{}, {"batch_size": 100, "proxy_keep": 1}, {"batch_size": 100, "proxy_keep": 100}],
    "optimizer": [
        {"optimizer": "sgd"},
        {"optimizer": "torch-sgd", "bias_scale": 1, "lr": 0.5, "weight_decay": 5e-4},
        {"optimizer": "muon", "bias_scale": 1, "bias_lr": 0.1, "head_lr": 2, "lr": 0.5, "weight_decay": 1e-6},
    ],
    "network": [{"network": "airbench"}, {name: getattr(RESNET18, name) for name in RESNETS}],
}
recipes = st.builds(
    lambda values, *sets: Recipe(**values | {k: v for some in sets for k, v in some.items()}),
    st.fixed_dictionaries({}, optional=LEGAL),
    *map(st.sampled_from, TOGETHER.values()),
)


def test_every_field_is_drawn():
    together = {name for sets in TOGETHER.values() for some in sets for name in some}
    assert set(LEGAL) | together == {f.name for f in fields(Recipe)}


@given(recipes)
def test_what_differs_from_airbench94_makes_the_recipe_again(recipe):
    assert Recipe(**recipe.changes()) == recipe
    assert all(value != getattr(AIRBENCH94, name) for name, value in recipe.changes().items())


@given(recipes)
def test_settings_of_the_command_line_say_the_same_as_python(recipe):
    lines = [line.split()[:2] for line in describe(recipe).splitlines()]
    assert with_fields(Recipe(), **dict(parse_field(f"{name}={value}") for name, value in lines)) == recipe


def test_equal_values_are_one_recipe():
    assert repr(replace(AIRBENCH94, epochs=12)) == repr(replace(AIRBENCH94, epochs=12.0))
    assert replace(AIRBENCH94, widths=[8, 16, 16]) == replace(AIRBENCH94, widths=(8, 16, 16))


ILLEGAL = [
    ("epochs", 0), ("epochs", -1), ("epochs", float("nan")), ("epochs", float("inf")), ("epochs", "9.9"),
    ("epochs", True), ("batch_size", 0), ("batch_size", 2.5), ("lr", 0), ("momentum", 0), ("momentum", 1),
    ("weight_decay", -1e-9), ("label_smoothing", 1), ("lr_peak_at", 1.01), ("bias_scale", 0), ("flip", "sometimes"),
    ("flip", None), ("tta", "all"), ("translate", -1), ("translate", 17), ("cutout", 32), ("whiten", 1),
    ("whiten", "yes"), ("whiten_eps", 0), ("whiten_bias_epochs", -1), ("batchnorm_momentum", 1), ("depth", 1),
    ("widths", (64, 256, 0)), ("widths", 64), ("widths", (64.0, 256, 256)), ("epochs", None),
    ("epochs", 10**400), ("lr", 5e-324),
]  # fmt: skip


@pytest.mark.parametrize(("name", "value"), ILLEGAL)
def test_an_illegal_value_is_refused_with_field_and_value(name, value):
    with pytest.raises(UsageError, match=rf"^{name}=.* is not legal: "):
        replace(AIRBENCH94, **{name: value})


@given(st.sampled_from([f.name for f in fields(Recipe)]), st.text() | st.binary() | st.lists(st.integers()))
def test_values_of_a_foreign_type_are_refused(name, value):
    legal = value in ("none", "random", "alternating", "mirror", "mirror+translate") or (
        name == "widths" and len(value) == 3
    )
    if not legal:
        with pytest.raises(UsageError, match=f"^{name}="):
            replace(AIRBENCH94, **{name: value})


OTHER = {"first_norm": True, "whiten": True, "identity_init": True, "unit_head": True, "residual": True, "depth": 3,
         "proxy_keep": 1, "optimizer": "sgd", "bias_scale": 2, "bias_lr": 0.1, "head_lr": 0.1}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "needs"),
    [(name, value, needs) for (name, value), (needed, _) in MIXES.items() for needs in needed],
)
def test_each_illegal_mix_is_refused_with_its_reason(name, value, needs):
    plain = replace(BASELINE, optimizer="torch-sgd", lr=0.1, weight_decay=5e-4)
    bases = (AIRBENCH94, AIRBENCH94_MUON, RESNET18, replace(BASELINE, first_norm=True), plain)
    base = next(
        recipe for recipe in bases if getattr(recipe, name) == value and (name, recipe) != ("optimizer", RESNET18)
    )
    needed, why = MIXES[name, value]
    with pytest.raises(UsageError) as refused:
        replace(base, **{needs: OTHER[needs]})
    assert str(refused.value) == f"{name}={shown(value)} needs {needs}={shown(needed[needs])}: {why}"


@pytest.mark.parametrize(
    ("base", "change", "message"),
    [
        (AIRBENCH94, {"first_norm": True}, "first_norm=true needs whiten=false: the whitening layer has no BatchNorm"),
        (
            AIRBENCH94,
            {"network": "resnet18"},
            "network=resnet18 needs whiten=false and identity_init=false and optimizer=torch-sgd: it is the plain "
            "reference, without what belongs to the airbench network: start from the recipe resnet18",
        ),
        (
            replace(AIRBENCH94, bias_scale=1),
            {"optimizer": "torch-sgd"},
            "optimizer=torch-sgd takes lr and weight_decay raw, so lr=11.5 and weight_decay=0.0153 are hardly meant "
            "(5 and 0.01 at most): start from the recipe resnet18",
        ),
        (
            AIRBENCH94,
            {"optimizer": "muon", "bias_scale": 1, "bias_lr": 0.05, "head_lr": 0.7, "lr": 0.24},
            "weight_decay=0.0153 are hardly meant (5 and 0.01 at most): start from the recipe airbench94_muon",
        ),
        (AIRBENCH94, {"optimizer": "muon"}, "optimizer=muon needs bias_scale=1"),
        (RESNET18, {"bias_scale": 64}, "optimizer=torch-sgd needs bias_scale=1"),
        (
            BASELINE,
            {"optimizer": "muon"},
            "optimizer=muon needs bias_lr and head_lr: start from the recipe airbench94_muon",
        ),
        (AIRBENCH94_MUON, {"optimizer": "sgd"}, "optimizer=sgd needs bias_lr=none and head_lr=none: these"),
        (AIRBENCH94_MUON, {"head_lr": None}, "optimizer=muon needs bias_lr and head_lr"),
        (AIRBENCH94, {"widths": (64, 64, 64, 64)}, "widths=64x64x64x64 is not legal: 3 numbers of channels are needed"),
        (RESNET18, {"widths": (64, 128, 256)}, "widths=64x128x256 is not legal: 4 numbers of channels are needed"),
        (AIRBENCH94, {"proxy_widths": (1, 2)}, "proxy_widths=1x2 is not legal: 3 numbers of channels are needed"),
        (AIRBENCH94, {"proxy_keep": 1025}, "proxy_keep=1025 is more than the batch it is chosen from: batch_size=1024"),
    ],
)
def test_values_that_exclude_each_other_are_refused(base, change, message):
    with pytest.raises(UsageError, match=re.escape(message)):
        replace(base, **change)


@pytest.mark.parametrize(
    ("setting", "field", "value"),
    [
        ("flip=random", "flip", "random"),
        ("epochs=12", "epochs", 12.0),
        ("widths=32x64x64", "widths", (32, 64, 64)),
        ("whiten=False", "whiten", False),
        ("whiten_bias_epochs=none", "whiten_bias_epochs", None),
        ("tta=none", "tta", "none"),
        ("proxy_keep=512", "proxy_keep", 512),
        ("proxy_keep=None", "proxy_keep", None),
        ("head_lr=0.67", "head_lr", 0.67),
    ],
)
def test_parse_field(setting, field, value):
    assert parse_field(setting) == (field, value)


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("flip", "FIELD=VALUE"),
        ("flp=random", "unknown recipe field 'flp'; did you mean flip"),
        ("epochs=ten", "epochs=ten is not legal"),
        ("whiten=maybe", "whiten=maybe is not legal"),
        ("widths=64", "widths=64 is not legal"),
        ("widths=64xx", "widths=64xx is not legal"),
        ("proxy_keep=some", "proxy_keep=some is not legal: a whole number, 1 to 1,000,000 or none"),
        ("batch_size=2.5", "batch_size=2.5"),
    ],
)
def test_a_setting_that_cannot_be_read(setting, message):
    with pytest.raises(UsageError, match=message):
        with_fields(AIRBENCH94, **dict([parse_field(setting)]))


def test_numbers_of_numpy_are_numbers():
    recipe = replace(AIRBENCH94, batch_size=np.int64(512), lr=np.float32(2), widths=tuple(np.array([32, 64, 64])))
    assert recipe == replace(AIRBENCH94, batch_size=512, lr=2, widths=(32, 64, 64))
    assert {type(recipe.batch_size), type(recipe.widths[0]), type(recipe.lr)} == {int, float}


def test_ladder_climbs_from_the_baseline_to_airbench94_one_trick_at_a_time():
    assert LADDER[0].recipe == BASELINE
    assert LADDER[-1].recipe == AIRBENCH94
    tricks = [set(rung.recipe.changes(below.recipe)) - {"epochs"} for below, rung in itertools.pairwise(LADDER)]
    bundle = {"lookahead", "batchnorm_momentum", "lr", "lr_peak_at", "lr_end"}
    assert tricks == [
        {"whiten"},
        {"identity_init"},
        {"bias_scale"},
        {"whiten_bias_epochs"},
        bundle,
        {"tta"},
        {"flip"},
        set(),
    ]
    assert [rung.compile for rung in LADDER] == [False] * 8 + [True]
    assert [rung.recipe.epochs for rung in LADDER] == [45, 21, 18, 13.5, 13.5, 12, 10.8, 9.9, 9.9]  # arXiv:2404.00498


def test_steps():
    assert AIRBENCH94.steps(50_000) == 476  # ceil(9.9 x 48)
    assert AIRBENCH94.freeze_step(50_000) == 144
    assert replace(AIRBENCH94, whiten_bias_epochs=0.3).freeze_step(50_000) == 15  # rounded up
    assert BASELINE.freeze_step(50_000) is None
    assert replace(AIRBENCH94, whiten=False).freeze_step(50_000) is None
    with pytest.raises(UsageError, match="batch_size=1024 is more than the 500 training images"):
        AIRBENCH94.steps(500)
