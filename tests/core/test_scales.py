from dataclasses import replace

import pytest

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    AIRBENCH96_FASTER,
    BASELINE,
    RESNET18,
    SCALES,
    UsageError,
)
from airbench_core.scales import scale_named


def test_full_is_as_published():
    assert SCALES["full"].recipe(AIRBENCH94) == AIRBENCH94
    assert SCALES["full"].train_images is None


def test_a_scale_multiplies_what_it_says_and_keeps_the_tricks():
    scale = replace(SCALES["full"], width=0.25, batch_size=0.5, epochs=0.5, lr=0.1)
    scaled = scale.recipe(AIRBENCH94)
    assert scaled.changes() == {
        "widths": (16, 64, 64), "batch_size": 512, "epochs": 4.95, "lr": pytest.approx(1.15), "whiten_bias_epochs": 1.5
    }  # fmt: skip
    assert scale.recipe(BASELINE).whiten_bias_epochs is None


def test_widths_and_batches_are_rounded_to_the_nearest_and_are_never_nothing():
    recipe = replace(AIRBENCH94, widths=(65, 67, 1), batch_size=1023)
    scaled = replace(SCALES["full"], width=0.25, batch_size=0.5).recipe(recipe)
    assert (scaled.widths, scaled.batch_size) == ((16, 17, 1), 512)


def test_rates_follow_the_way_in_which_an_optimizer_states_them():
    scale = replace(SCALES["full"], batch_size=0.5, lr=3)
    assert scale.recipe(AIRBENCH94).lr == pytest.approx(3 * 11.5)  # per 1,024 examples, whatever the batch
    assert scale.recipe(RESNET18).lr == pytest.approx(3 * 0.1 / 2)  # the loss is a mean over half the images
    muon = scale.recipe(AIRBENCH94_MUON)
    assert (muon.lr, muon.bias_lr, muon.head_lr) == (0.24, pytest.approx(3 * 0.053), pytest.approx(3 * 0.67))


def test_a_proxy_is_scaled_with_its_network():
    scaled = replace(SCALES["full"], width=0.25, batch_size=0.5).recipe(AIRBENCH96_FASTER)
    assert (scaled.proxy_widths, scaled.proxy_keep) == ((8, 16, 16), 256)
    assert scaled.widths == (32, 96, 128)


def test_switching_a_trick_and_scaling_commute():
    for scale in SCALES.values():
        switched = scale.recipe(replace(AIRBENCH94, whiten=False))
        assert switched == replace(scale.recipe(AIRBENCH94), whiten=False)


def test_data_is_cut_to_the_first_images(noise):
    some = replace(SCALES["full"], train_images=10, test_images=7).data(noise)
    assert (len(some.train_images), len(some.test_images)) == (10, 7)
    assert some.train_labels.tolist() == noise.train_labels[:10].tolist()


def test_a_value_that_only_the_scale_makes_illegal_names_the_scale():
    with pytest.raises(UsageError, match=r"^at scale smoke lr=4e\+09|^at scale smoke lr=4000000000"):
        SCALES["smoke"].recipe(replace(AIRBENCH94, lr=1e9))


def test_unknown_scale():
    with pytest.raises(UsageError, match="scale=tiny is not legal: full, quarter, laptop, smoke"):
        scale_named("tiny")
