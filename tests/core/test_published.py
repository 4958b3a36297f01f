"""The published numbers, typed a second time from the paper and its repository."""

import pytest
from airbench_lab.flops import training_flops
from airbench_lab.study.cli_verify import TARGETS

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    AIRBENCH94_NEXT,
    AIRBENCH95,
    AIRBENCH96,
    AIRBENCH96_FASTER,
    RECIPES,
    RESNET18,
    SCALES,
    UsageError,
)
from airbench_core.published import recipe_named


def test_airbench95_is_wider_and_longer():
    assert AIRBENCH95.changes() == {"epochs": 15, "lr": 10, "widths": (128, 384, 384)}


def test_airbench96_is_also_deeper_with_cutout():
    assert AIRBENCH96.changes(AIRBENCH95) == {
        "epochs": 37, "lr": 9, "weight_decay": 0.012, "widths": (128, 384, 512), "depth": 3, "residual": True,
        "translate": 4, "cutout": 12, "batchnorm_momentum": 0.9, "lr_peak_at": 0.1, "lr_end": 0,
    }  # fmt: skip


def test_airbench96_faster_filters_by_a_proxy():
    assert AIRBENCH96_FASTER.changes(AIRBENCH96) == {"epochs": 45, "cross_epochs": True, "proxy_keep": 512}
    assert AIRBENCH96_FASTER.steps(50_000) == 2160
    proxy = AIRBENCH96_FASTER.proxy()
    assert proxy.changes(AIRBENCH96_FASTER) == {
        "widths": (32, 64, 64), "depth": 2, "residual": False, "whiten_bias_epochs": 0, "lookahead": False,
        "proxy_keep": None,
    }  # fmt: skip
    assert proxy.freeze_step(50_000) == 0
    assert (AIRBENCH96_FASTER.proxy_every, proxy.lr, proxy.batch_size) == (4, 9, 1024)


def test_airbench94_muon():
    assert AIRBENCH94_MUON.changes(AIRBENCH94) == {
        "epochs": 8, "batch_size": 2000, "optimizer": "muon", "lr": 0.24, "bias_lr": 0.053, "head_lr": 0.67,
        "weight_decay": 2e-6, "bias_scale": 1, "unit_head": True, "whiten_bias_zero": False, "lr_start": 1,
        "lr_peak_at": 0, "lr_end": 0, "lookahead": False,
    }  # fmt: skip
    assert (AIRBENCH94_MUON.muon_momentum, AIRBENCH94_MUON.newton_schulz_steps) == (0.6, 3)
    assert AIRBENCH94_MUON.steps(50_000) == 200


def test_airbench94_next_takes_more_steps_for_at_most_four_fifths_of_the_flops():
    assert AIRBENCH94_NEXT.changes(AIRBENCH94_MUON) == {
        "epochs": 6.4, "batch_size": 768, "lr": 0.15, "whiten_bias_epochs": 1,
    }  # fmt: skip
    assert AIRBENCH94_NEXT.steps(50_000) == 416
    ours, muon = (training_flops(SCALES["quarter"].recipe(one)) for one in (AIRBENCH94_NEXT, AIRBENCH94_MUON))
    assert ours / muon <= 0.8


def test_resnet18_is_the_standard_training():
    assert (RESNET18.epochs, RESNET18.batch_size, RESNET18.lr, RESNET18.momentum) == (200, 128, 0.1, 0.9)
    assert (RESNET18.weight_decay, RESNET18.flip, RESNET18.translate, RESNET18.cutout) == (5e-4, "random", 4, 0)
    assert (RESNET18.label_smoothing, RESNET18.tta, RESNET18.lookahead) == (0, "none", False)


def test_every_published_recipe_but_the_reference_has_a_target_and_all_can_be_named():
    assert RECIPES.keys() - TARGETS.keys() == {"resnet18", "airbench94_next"}
    assert TARGETS["baseline"] == 0.94
    for name in TARGETS.keys() - {"baseline"}:
        assert name.startswith(f"airbench{TARGETS[name] * 100:.0f}")
    assert all(recipe_named(name) is recipe for name, recipe in RECIPES.items())
    with pytest.raises(UsageError, match="unknown recipe 'airbench97'; the recipes are baseline, airbench94, "):
        recipe_named("airbench97")
