import math
import shutil
import threading
from contextlib import contextmanager
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from airbench_lab.data import load_dataset
from torch import nn

from airbench_core import (
    AIRBENCH94,
    AIRBENCH94_MUON,
    AIRBENCH96_FASTER,
    BASELINE,
    RECIPES,
    AirbenchWarning,
    DataError,
    Diverged,
    Parts,
    Runtime,
    Stopped,
    Trainer,
    UsageError,
    devices,
    train,
)
from airbench_core.augmentation import Augmentation
from airbench_core.devices import Clock
from airbench_core.evaluation import accuracy, view_logits
from airbench_core.learner import make_network
from airbench_core.network import OwnNetwork
from airbench_core.tricks.bias_scale import parameter_groups
from airbench_core.tricks.flip import flip_mask
from airbench_core.tricks.identity_init import identity_init_
from airbench_core.tricks.lookahead import lookahead_update_
from airbench_core.tricks.muon import newton_schulz
from airbench_core.tricks.schedule import lr_factors
from airbench_core.tricks.tta import combine, tta_views
from airbench_core.tricks.whitening import whitening_filters

SHORT = replace(AIRBENCH94, epochs=2.5, whiten_bias_epochs=1)  # 8 steps of 64 on `noise` at the tiny scale


def weights(result):
    return result.network.state_dict()


def same(a, b):
    ours, theirs = weights(a), weights(b)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


@pytest.fixture(scope="module")
def unchanged(noise, tiny):
    return train(SHORT, noise, scale=tiny, runtime=Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1))


CHANGES = [
    {"widths": (32, 64, 96)}, {"depth": 3}, {"whiten": False}, {"whiten": False, "first_norm": True},
    {"whiten_eps": 0.1},
    {"whiten_bias_epochs": None}, {"whiten_bias_epochs": 0}, {"identity_init": False}, {"batchnorm_momentum": 0.9},
    {"flip": "none"}, {"flip": "random"}, {"translate": 0}, {"translate": 4}, {"cutout": 12}, {"cutout": 31},
    {"reshuffle": False}, {"batch_size": 512}, {"lr": 1}, {"momentum": 0.5}, {"weight_decay": 0}, {"bias_scale": 1},
    {"label_smoothing": 0}, {"lr_start": 0}, {"lr_peak_at": 0}, {"lr_peak_at": 1}, {"lr_end": 0}, {"lookahead": False},
    {"tta": "none"}, {"tta": "mirror"}, {"residual": True}, {"whiten_bias_zero": False}, {"unit_head": True},
    {"proxy_keep": 512}, {"batch_size": 400, "cross_epochs": True},
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=str)
def test_every_single_field_change_trains_and_has_an_effect(change, unchanged, noise, tiny, float32):
    result = train(replace(SHORT, **change), noise, scale=tiny, runtime=float32)
    assert all(0 < epoch.train_loss < 20 for epoch in result.epochs)
    if "tta" in change:
        assert set(result.accuracies) == {"none", change["tta"]}
        assert same(result, unchanged)
    else:
        assert not same(result, unchanged)


SHORT_MUON = replace(AIRBENCH94_MUON, epochs=2.5, whiten_bias_epochs=1, batch_size=1024)
SHORT_PROXY = replace(AIRBENCH96_FASTER, epochs=2.5, widths=(64, 128, 128))
MORE = [
    (SHORT_MUON, {"bias_lr": 0.2}), (SHORT_MUON, {"head_lr": 0.2}), (SHORT_MUON, {"muon_momentum": 0}),
    (SHORT_MUON, {"newton_schulz_steps": 5}), (SHORT_MUON, {"lr": 0.1}), (SHORT_MUON, {"momentum": 0.5}),
    (SHORT_MUON, {"weight_decay": 1e-4}), (SHORT_PROXY, {"proxy_every": 1}), (SHORT_PROXY, {"proxy_keep": 256}),
    (SHORT_PROXY, {"proxy_widths": (64, 64, 64)}), (SHORT_PROXY, {"proxy_keep": None}),
    (replace(BASELINE, epochs=2.5, lr=0.1, weight_decay=5e-4), {"optimizer": "torch-sgd"}),
]  # fmt: skip


@pytest.mark.parametrize(("base", "change"), MORE, ids=str)
def test_every_change_of_what_belongs_to_a_trick_has_an_effect(base, change, noise, tiny, float32):
    before, after = (train(recipe, noise, scale=tiny, runtime=float32) for recipe in (base, replace(base, **change)))
    assert all(0 < epoch.train_loss < 20 for epoch in after.epochs)
    assert not same(before, after)


def test_every_field_is_among_the_changes():
    # How long a run is (epochs) and the network (ResNet-18) are varied by tests of their own.
    changed = {name for change in CHANGES + [change for _, change in MORE] for name in change}
    assert changed == set(vars(AIRBENCH94)) - {"epochs", "network"}


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_trains_three_steps_and_leaves_nothing_to_the_next_run(name, noise, tiny, float32):
    scale = replace(tiny, batch_size=64 / RECIPES[name].batch_size, epochs=1 / RECIPES[name].epochs)
    trainer = Trainer(RECIPES[name], noise, scale=scale, runtime=float32)
    assert trainer.steps == 3
    first, other, again = (trainer.run(seed) for seed in (0, 1, 0))
    assert all(math.isfinite(record.train_loss) for record in first.epochs)
    assert same(first, again)
    assert not same(first, other)
    assert same(first, train(RECIPES[name], noise, scale=scale, runtime=float32))


@pytest.mark.parametrize("recipe", [AIRBENCH94, BASELINE], ids=["airbench94", "baseline"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_same_seed_same_result_bit_for_bit(recipe, dtype, noise, tiny):
    runtime = Runtime(device=torch.device("cpu"), dtype=dtype, threads=1)
    recipe = replace(recipe, epochs=2)
    trainer = Trainer(recipe, noise, scale=tiny, runtime=runtime)
    first = trainer.run(0)
    other = trainer.run(1)
    torch.manual_seed(99)  # nothing may depend on the process's own random state
    again = trainer.run(0)
    fresh = train(recipe, noise, seed=0, scale=tiny, runtime=runtime)
    assert same(first, again)
    assert same(first, fresh)
    assert not same(first, other)
    assert [e.train_loss for e in first.epochs] == [e.train_loss for e in fresh.epochs]


def test_watching_changes_nothing(noise, tiny, float32):
    seen = []
    watched = train(SHORT, noise, scale=tiny, runtime=float32, observer=seen.append)
    alone = train(SHORT, noise, scale=tiny, runtime=float32)
    assert same(watched, alone)
    assert tuple(seen) == watched.epochs
    assert [record.epochs for record in seen] == [1, 2, 8 / 3]
    assert all(record.accuracy is not None for record in watched.epochs)
    assert all(record.accuracy is None for record in alone.epochs)


def test_the_process_is_left_as_it_was(noise, tiny, float32):
    torch.manual_seed(5)
    state, threads = torch.random.get_rng_state(), torch.get_num_threads()
    train(SHORT, noise, scale=tiny, runtime=replace(float32, threads=threads + 1))
    assert torch.equal(state, torch.random.get_rng_state())
    assert torch.get_num_threads() == threads


def test_what_others_draw_meanwhile_is_theirs_and_a_recipe_s_run_is_its_own(noise, tiny, float32):
    """As a notebook's cells do while a panel trains beside them."""
    drawn = []

    def draws(recipe):
        torch.manual_seed(5)
        drawn.clear()
        return train(recipe, noise, scale=tiny, runtime=float32, observer=lambda _: drawn.append(torch.rand(1).item()))

    for recipe in SHORT, replace(RECIPES["resnet18"], epochs=2, batch_size=1024):
        alone = train(recipe, noise, scale=tiny, runtime=float32)
        assert same(draws(recipe), alone)
        drawn.append(torch.rand(1).item())  # after the run: the next number, none of them again
        torch.manual_seed(5)
        assert drawn == [torch.rand(1).item() for _ in drawn]


@contextmanager
def set_and_back(set_, value, get):
    before = get()
    set_(value)
    try:
        yield
        assert get() == value
    finally:
        set_(before)


GLOBAL_SETTINGS = {
    "float64": lambda: set_and_back(torch.set_default_dtype, torch.float64, torch.get_default_dtype),
    "default device": lambda: torch.device("meta"),
    "no_grad": torch.no_grad,
    "inference_mode": torch.inference_mode,
    "autocast": lambda: torch.autocast("cpu", torch.bfloat16),
    "deterministic": lambda: set_and_back(torch.set_deterministic_debug_mode, 2, torch.get_deterministic_debug_mode),
    "generator": lambda: set_and_back(torch.manual_seed, 1, torch.initial_seed),
}


@pytest.mark.parametrize("setting", GLOBAL_SETTINGS)
@pytest.mark.parametrize("name", ["airbench94", "airbench94_muon", "airbench96_faster", "resnet18"])
def test_nothing_depends_on_pytorch_s_global_settings_and_none_is_changed(setting, name, noise, tiny, float32):
    recipe = replace(RECIPES[name], epochs=0.7)
    expected = train(recipe, noise, scale=tiny, runtime=float32)
    with GLOBAL_SETTINGS[setting]():
        drawn = torch.get_rng_state()
        result = train(recipe, replace(noise), scale=tiny, runtime=float32, observer=lambda record: None)
        assert torch.equal(torch.get_rng_state(), drawn)
        grad, inference = torch.is_grad_enabled(), torch.is_inference_mode_enabled()
        stop = threading.Event()
        stop.set()
        with pytest.raises(Stopped):
            train(recipe, noise, scale=tiny, runtime=float32, stop=stop)
        assert (torch.is_grad_enabled(), torch.is_inference_mode_enabled()) == (grad, inference)
    assert same(result, expected)


def test_an_observer_that_has_seen_enough_ends_the_run(noise, tiny, float32):
    """By StopIteration, as an iterator would; inside a generator Python makes a RuntimeError of it."""

    def two(record):
        if record.epoch == 2:
            next(iter(()))

    with pytest.raises(Stopped) as caught:
        train(SHORT, noise, scale=tiny, runtime=float32, observer=two)
    assert [one.epoch for one in caught.value.epochs] == [1, 2]
    logits = combine(*view_logits(caught.value.model.network, noise, "none", float32))
    assert accuracy(logits, noise.test_labels) == caught.value.epochs[-1].accuracy


def test_result_is_what_the_network_predicts(noise, tiny, float32):
    result = train(SHORT, noise, scale=tiny, runtime=float32)
    assert set(result.accuracies) == {"none", "mirror", "mirror+translate"}
    for tta, value in result.accuracies.items():
        assert accuracy(combine(*view_logits(result.network, noise, tta, float32)), noise.test_labels) == value
    assert result.accuracy == result.accuracies["mirror+translate"]
    assert result.recipe.widths == (4, 16, 16)


class FakeTime:
    def __init__(self):
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_clock_leaves_evaluation_out(noise, tiny, float32):
    """1 s a training step, 10 s the whitening, 100 s an evaluation between epochs, 1,000 s the last one."""
    time = FakeTime()

    def slow_whiten(*args):
        time.now += 10
        return whitening_filters(*args)

    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(whiten=slow_whiten))
    trainer.clock, trainer.warm = lambda: Clock(time), False
    loss, infer = trainer.learner.loss, trainer.infer

    def slow_loss(*args):
        time.now += 1
        return loss(*args)

    def slow_infer(tta):
        time.now += 100 if tta == "none" else 1000
        return infer(tta)

    trainer.learner.loss, trainer.infer = slow_loss, slow_infer
    result = trainer.run(0, observer=lambda _: None)
    assert [record.seconds for record in result.epochs] == [13, 16, 18]
    assert result.seconds == 1018
    assert time.now == 1318 + 1016  # the warm-up's whitening, six steps and inference


def first_step(trainer, noise):
    """A training before its first step, and the images and labels of that."""
    training = trainer.step_through(seed=0)
    next(training)
    augmentation, batches = trainer.batches(seed=0)
    rows = next(batches)
    return training, augmentation.batch(rows), noise.train_labels[rows[:, 0]]


def test_the_loss_is_the_summed_cross_entropy_with_label_smoothing(noise, tiny, float32):
    trainer = Trainer(replace(SHORT, epochs=1 / 3), noise, scale=tiny, runtime=float32)
    _, images, labels = first_step(trainer, noise)
    log_probabilities = trainer.network(images).log_softmax(1)
    targets = 0.8 * torch.nn.functional.one_hot(labels, 10) + 0.02
    expected = -(targets * log_probabilities).sum() / 64
    assert trainer.run(0).epochs[0].train_loss == pytest.approx(expected.item())


def test_a_step_moves_each_group_at_its_own_rate(noise, tiny, float32):
    """The first Nesterov step of a weight without decay is lr x factor x (1 + momentum) x gradient."""
    trainer = Trainer(replace(SHORT, weight_decay=0), noise, scale=tiny, runtime=float32)
    training, images, labels = first_step(trainer, noise)
    trainer.learner.loss(images, labels).backward()
    k = 1024 * (1 + 1 / 0.15)
    moved = {}
    for name, rate in [("head.weight", 11.5 / k), ("groups.0.norms.0.bias", 64 * 11.5 / k)]:
        parameter = trainer.network.get_parameter(name)
        moved[name] = parameter.detach() - rate * 0.2 * 1.85 * parameter.grad
    trainer.network.zero_grad()
    next(training)
    for name, expected in moved.items():
        torch.testing.assert_close(trainer.network.get_parameter(name).detach(), expected, atol=1e-6, rtol=1e-4)


def test_an_interrupted_step_leaves_nothing_to_the_next_run(noise, tiny, float32):
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    reference = trainer.run(0)
    trainer.learner.loss(noise.train_images[:64].float(), noise.train_labels[:64]).backward()
    for value in trainer.network.state_dict().values():
        value.fill_(3)
    assert same(trainer.run(0), reference)


def test_a_student_s_parts_train_the_network(noise, tiny, float32):
    called = []

    def recorded(function):
        def part(*args):
            called.append(function.__name__)
            return function(*args)

        return part

    stock = [whitening_filters, identity_init_, flip_mask, lr_factors, lookahead_update_, tta_views]
    names = ["whiten", "identity_init", "flip", "lr_factors", "lookahead", "tta_views"]
    names += ["newton_schulz", "parameter_groups"]
    every = [*stock, newton_schulz, parameter_groups]
    mine = Parts(**{name: recorded(function) for name, function in zip(names, every, strict=True)})
    assert mine.replaced == tuple(sorted(names))
    for recipe, own in (replace(SHORT_MUON, lookahead=True), newton_schulz), (SHORT, parameter_groups):
        called.clear()
        result = train(recipe, noise, scale=tiny, runtime=float32, parts=mine)
        assert set(called) == {function.__name__ for function in [*stock, own]}
        assert result.parts == tuple(sorted(names))
        assert same(result, train(recipe, noise, scale=tiny, runtime=float32))


def drawn(recipe, classes):
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2), nn.BatchNorm2d(8), nn.ReLU(), nn.Flatten(), nn.Linear(1800, classes)
    )


PLAIN = {"whiten": False, "identity_init": False}


class Odd(nn.Module):
    """Has chance of its own, filters of one dimension and some that nobody uses, and keeps what it saw."""

    def __init__(self, classes):
        super().__init__()
        self.first, self.norm = nn.Conv1d(3, 8, 16, stride=16), nn.BatchNorm2d(3, affine=False)
        self.used, self.unused = nn.Conv2d(3, 3, 3, padding=1), nn.Conv2d(3, 3, 3)
        self.dropout, self.head = nn.Dropout(0.5), nn.Linear(512, classes)

    def forward(self, x):
        self.kept = self.dropout(self.first(self.norm(self.used(x)).flatten(2)).flatten(1))
        return self.head(self.kept)


def test_one_s_own_optimizer_is_made_anew_for_each_run_and_follows_the_schedule(noise, tiny, float32):
    made = []

    def adamw(network, recipe):
        made.append(torch.optim.AdamW([p for p in network.parameters() if p.requires_grad], lr=1e-3))
        return made[-1]  # with the whitening bias, which the run before has frozen

    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(optimizer=adamw))
    first, again = trainer.run(3), trainer.run(3)
    assert same(first, again)  # though Adam's moments are not those of PyTorch's SGD, which are zeroed
    assert not same(first, train(SHORT, noise, seed=3, scale=tiny, runtime=float32))
    assert len({id(one) for one in made}) == 3  # one more to set up
    last = lr_factors(trainer.recipe, trainer.steps)[-1]
    assert made[-1].param_groups[0]["lr"] == pytest.approx(1e-3 * last)
    both = Parts(optimizer=lambda network, recipe: [torch.optim.SGD([p]) for p in network.parameters()])
    assert train(SHORT, noise, scale=tiny, runtime=float32, parts=both).parts == ("optimizer",)


@pytest.mark.parametrize("base", [SHORT, replace(SHORT_MUON, head_lr=0.01)], ids=["sgd", "muon"])
def test_one_s_own_network_may_be_odd_and_its_chance_is_the_seed_s(base, noise, tiny, float32):
    own, recipe = Parts(network=lambda recipe, classes: Odd(classes)), replace(base, **PLAIN)
    trainer = Trainer(recipe, noise, scale=tiny, runtime=float32, parts=own)
    torch.manual_seed(1)
    first = trainer.run(3)
    next_of_all = torch.rand(1)
    torch.manual_seed(1)
    assert torch.equal(torch.rand(1), next_of_all)  # no number was taken from PyTorch's own generator
    torch.manual_seed(2)
    again = trainer.run(3)
    assert same(first, again)
    drawn = Odd(len(noise.classes)).state_dict().keys()
    assert {name.removeprefix("network.") for name in weights(first)} == drawn
    before = OwnNetwork(lambda: Odd(len(noise.classes)))
    before.reset(torch.Generator().manual_seed(3))
    moved = {name for name, value in before.state_dict().items() if not torch.equal(value, weights(first)[name])}
    assert {f"network.{name}.weight" for name in ("first", "used", "head")} <= moved


class Projecting(nn.Module):
    """What is drawn in it is in no state_dict; its weights begin at zero."""

    def __init__(self, classes):
        super().__init__()
        self.register_buffer("projection", torch.randn(3072, 64) / 55, persistent=False)
        self.head, self.dropout = nn.Linear(64, classes), nn.Dropout()
        nn.init.zeros_(self.head.weight), nn.init.zeros_(self.head.bias)

    def forward(self, images):
        return self.head(self.dropout(images.flatten(1).float() @ self.projection))


def test_what_one_s_own_network_holds_beside_its_weights_is_the_seed_s_and_is_kept(noise, tiny, float32):
    recipe, own = replace(SHORT, **PLAIN), Parts(network=lambda recipe, classes: Projecting(classes))
    first, again = (train(recipe, noise, scale=tiny, runtime=float32, parts=own) for _ in range(2))
    assert same(first, again)
    assert first.model.shares(noise.test_images, float32).argmax(1).equal(first.predictions[recipe.tta])


def test_a_seed_of_the_weights_leaves_dropout_as_it_was(noise, tiny, float32):
    class Dropping(Projecting):
        def __init__(self, classes):
            super().__init__(classes)
            self.projection.fill_(1 / 55)

    recipe, own = replace(SHORT, **PLAIN), Parts(network=lambda recipe, classes: Dropping(classes))
    of_seed, other, of_weights = (
        train(recipe, noise, scale=tiny, runtime=float32, parts=own, seed=seed, seeds=seeds)
        for seed, seeds in ((0, {}), (1, {"order": 0, "augment": 0}), (0, {"init": 1}))
    )
    assert same(of_seed, of_weights)
    assert not same(of_seed, other)


def test_the_project_s_network_as_one_s_own_is_drawn_as_ever(noise, tiny, float32):
    recipe, own = replace(SHORT, **PLAIN), Parts(network=lambda recipe, classes: make_network(recipe, classes))
    theirs = train(recipe, noise, scale=tiny, runtime=float32)
    assert train(recipe, noise, scale=tiny, runtime=float32, parts=own).epochs[0].train_loss == pytest.approx(
        theirs.epochs[0].train_loss, rel=1e-3
    )


def test_one_s_own_network_is_made_anew_and_one_without_convolutions_is_not_for_muon(noise, tiny, float32):
    one = drawn(SHORT, len(noise.classes))
    with pytest.raises(UsageError, match=r"the same object each time.*make a new one"):
        train(replace(SHORT, **PLAIN), noise, scale=tiny, runtime=float32, parts=Parts(network=lambda *_: one))
    linear = Parts(network=lambda recipe, classes: nn.Sequential(nn.Flatten(), nn.Linear(3072, classes)))
    with pytest.raises(UsageError, match=r"muon is for convolutions.*choose sgd"):
        train(replace(SHORT_MUON, **PLAIN), noise, scale=tiny, runtime=float32, parts=linear)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16], ids=str)
def test_one_s_own_network_is_drawn_by_the_seed(dtype, noise, tiny, float32, tmp_path):
    recipe, runtime = replace(SHORT, **PLAIN), replace(float32, dtype=dtype)
    before = torch.get_rng_state()
    trainer = Trainer(recipe, noise, scale=tiny, runtime=runtime, parts=Parts(network=drawn))
    first, other, again = trainer.run(0), trainer.run(1), trainer.run(0)
    assert torch.equal(torch.get_rng_state(), before)
    assert same(first, again)
    assert not same(first, other)
    assert (
        combine(*view_logits(first.network, noise, recipe.tta, runtime)).argmax(1).equal(first.predictions[recipe.tta])
    )
    with pytest.raises(UsageError, match=r"network of your own cannot be saved so: keep .*state_dict\(\)"):
        first.save(tmp_path / "model.pt")
    with pytest.raises(UsageError, match="set both to False"):
        train(SHORT, noise, scale=tiny, runtime=runtime, parts=Parts(network=drawn))


def test_one_s_own_loss_trains_the_network_and_its_proxy(noise, tiny, float32):
    smoothing = replace(SHORT, label_smoothing=0.0)

    def cross_entropy(logits, labels):
        return F.cross_entropy(logits, labels, reduction="none")

    for recipe in smoothing, replace(smoothing, proxy_keep=400):
        own = train(recipe, noise, scale=tiny, runtime=float32, parts=Parts(loss=cross_entropy))
        theirs = train(recipe, noise, scale=tiny, runtime=float32)
        assert own.epochs[0].train_loss == pytest.approx(theirs.epochs[0].train_loss, rel=1e-3)
        twice = train(recipe, noise, scale=tiny, runtime=float32, parts=Parts(loss=lambda *a: 2 * cross_entropy(*a)))
        assert twice.epochs[0].train_loss > 1.5 * own.epochs[0].train_loss


def test_one_s_own_augmentation_is_drawn_by_the_seed(noise, tiny, float32):
    def noisy(images, generator):
        return images + torch.randn(images.shape, generator=generator).to(images)

    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(augment=noisy))
    first = trainer.run(0)
    assert same(first, trainer.run(0))
    assert not same(first, train(SHORT, noise, scale=tiny, runtime=float32))
    none = Parts(augment=lambda images, generator: images)
    assert same(
        train(SHORT, noise, scale=tiny, runtime=float32, parts=none), train(SHORT, noise, scale=tiny, runtime=float32)
    )


@pytest.mark.parametrize("part", ["init", "order", "augment"])
def test_a_part_of_the_randomness_can_have_a_seed_of_its_own(part, noise, tiny, float32):
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    seen = []
    draw, reset = Augmentation.draw, trainer.network.reset

    def watch(augmentation, epoch):
        rows = draw(augmentation, epoch)
        by_image = rows[rows[:, 0].argsort()]
        seen.append({"order": rows[:, 0].tolist(), "augment": by_image[:, 1:].tolist()})
        return rows

    def run(**seeds):
        seen.clear()
        result = trainer.run(5, seeds=seeds)
        return result, [*seen]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Augmentation, "draw", watch)
        patch.setattr(trainer.network, "reset", lambda g: (seen.append({"init": g.initial_seed()}), reset(g)))
        plain = run()
        one, other = run(**{part: 7}), run(**{part: 8})
    assert one[0].seeds == {part: 7}
    assert not same(one[0], other[0])
    for name in {"init", "order", "augment"}:
        ones, others = [[of[name] for of in seen if name in of] for seen in (one[1], other[1])]
        assert (ones == others) is (name != part)
    assert same(plain[0], train(SHORT, noise, seed=5, scale=tiny, runtime=float32))


@pytest.mark.parametrize("seed", [True, 3.0, None, 2**64, 2**31, -1, "1"])
def test_what_is_no_seed_is_refused(seed, noise, tiny, float32):
    with pytest.raises(UsageError, match=rf"seed={seed!r} is not legal: a whole number, 0 to 2,147,483,647"):
        train(SHORT, noise, seed=seed, scale=tiny, runtime=float32)
    with pytest.raises(UsageError, match=rf"seeds\['order'\]={seed!r} is not legal"):
        train(SHORT, noise, seeds={"order": seed}, scale=tiny, runtime=float32)


def test_a_seed_from_numpy_is_a_seed(noise, tiny, float32):
    result = train(SHORT, noise, seed=np.int64(3), scale=tiny, runtime=float32)
    assert type(result.seed) is int
    assert same(result, train(SHORT, noise, seed=3, scale=tiny, runtime=float32))
    with pytest.raises(UsageError, match="'weights' is none of init, order, augment"):
        train(SHORT, noise, seeds={"weights": 1}, scale=tiny, runtime=float32)


@pytest.mark.parametrize(
    "parts",
    [
        Parts(whiten=lambda images, eps: torch.ones(24, 3, 2, 2)),
        Parts(identity_init=lambda weight: weight.zero_()),
        Parts(flip=lambda flip, epoch, first, generator: torch.ones_like(first)),
        Parts(lr_factors=lambda recipe, steps: [1.0] * steps),
        Parts(lookahead=lambda slow, fast, decay: None),
        Parts(parameter_groups=lambda network, recipe: parameter_groups(network, replace(recipe, bias_scale=1))),
    ],
)
def test_a_different_part_gives_a_different_network(parts, noise, tiny, float32):
    assert not same(
        train(SHORT, noise, scale=tiny, runtime=float32, parts=parts), train(SHORT, noise, scale=tiny, runtime=float32)
    )


def test_own_views_decide_the_accuracy(noise, tiny, float32, tmp_path):
    upside_down = Parts(tta_views=lambda images, tta: ([images.flip(2)], (1.0,)))
    result = train(SHORT, noise, scale=tiny, runtime=float32, parts=upside_down)
    flipped = replace(noise, test_images=noise.test_images.flip(2))
    assert result.accuracy == accuracy(
        combine(*view_logits(result.network, flipped, "none", float32)), noise.test_labels
    )
    assert set(result.accuracies) == {"mirror+translate"}
    assert result.parts == ("tta_views",)
    assert result.model.shares(noise.test_images, float32).argmax(1).equal(result.predictions["mirror+translate"])
    with pytest.raises(UsageError, match=r"your own tta_views cannot be saved: .*views=tta_views"):
        result.save(tmp_path / "model.pt")
    replace(result.model, views=tta_views).save(tmp_path / "model.pt")
    assert train(SHORT, noise, scale=tiny, runtime=float32).parts == ()


def test_stop_ends_at_the_next_step_with_the_complete_epochs(noise, tiny, float32):
    stop = threading.Event()
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    loss = trainer.learner.loss

    def stop_in_step_4(*args):
        if trainer.steps_done == 3:
            stop.set()
        return loss(*args)

    trainer.learner.loss = stop_in_step_4
    with pytest.raises(Stopped) as stopped:
        trainer.run(0, stop=stop)
    assert trainer.steps_done == 4
    assert [record.epoch for record in stopped.value.epochs] == [1]


class SetAfter:
    """An event that is set once it was found unset `checks` times."""

    def __init__(self, checks: int):
        self.left = checks

    def is_set(self) -> bool:
        self.left -= 1
        return self.left < 0


@pytest.mark.parametrize(
    ("watched", "race", "complete"),
    [
        (True, False, [0] * 6 + [1] * 6 + [2] * 5 + [3] * 3),  # steps and batches: 3 and 3, 3 and 3, 2 and 3, then TTA
        (False, False, [0] * 3 + [1] * 3 + [2] * 2 + [3] * 3),
        (False, True, [0] * 3 + [1] * 3 + [2] * 2 + [3] * 3),
    ],
    ids=["watched", "alone", "race"],
)
def test_stop_ends_between_any_two_steps_or_batches_of_inference(
    watched, race, complete, noise, tiny, float32, monkeypatch
):
    monkeypatch.setattr(Runtime, "inference_batch", 16)  # three batches
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    trainer.race = race
    seen, observer = [], None
    if watched:
        observer = seen.append
    expected = trainer.run(0, observer=observer)
    for checks, epochs in enumerate(complete):
        seen.clear()
        with pytest.raises(Stopped, match=rf"after {epochs} complete") as stopped:
            trainer.run(0, observer=observer, stop=SetAfter(checks))
        found = stopped.value.epochs
        assert [replace(e, seconds=0) for e in found] == [replace(e, seconds=0) for e in expected.epochs[:epochs]]
        assert tuple(seen) == found * watched
    assert same(trainer.run(0, observer=observer, stop=SetAfter(len(complete))), expected)  # all is done by then


def test_stop_is_heard_while_the_final_views_are_inferred(noise, tiny, float32, monkeypatch):
    monkeypatch.setattr(Runtime, "inference_batch", 16)
    stop, seen = threading.Event(), []
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    forward = trainer.learner.forward
    trainer.learner.forward = lambda images: (seen.append(len(images)), stop.set(), forward(images))[2]
    with pytest.raises(Stopped):
        trainer.run(0, stop=stop)
    assert seen == [16] * 6  # six views of the first batch, and no other


def test_a_race_reads_the_epochs_when_all_is_done(noise, tiny, float32):
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    assert not trainer.race  # on a CPU there is nothing to wait for
    expected = trainer.run(0)
    trainer.race = True
    order, record, loss = [], trainer._record, trainer.learner.loss
    trainer._record = lambda *args, **options: (order.append("record"), record(*args, **options))[1]
    trainer.learner.loss = lambda *args: (order.append("step"), loss(*args))[1]
    result = trainer.run(0)
    assert order == ["step"] * trainer.steps + ["record"] * len(expected.epochs)
    assert [replace(e, seconds=0) for e in result.epochs] == [replace(e, seconds=0) for e in expected.epochs]
    assert 0 < result.epochs[0].seconds < result.epochs[-1].seconds < result.seconds

    order.clear()
    trainer.run(0, observer=lambda _: None)  # who watches sees each epoch when it ends
    assert order.index("record") == trainer.steps_per_epoch

    stop = threading.Event()
    trainer.learner.loss = lambda *args: (trainer.steps_done == 6 and stop.set(), loss(*args))[1]
    with pytest.raises(Stopped) as stopped:
        trainer.run(0, stop=stop)
    assert [e.train_loss for e in stopped.value.epochs] == [e.train_loss for e in expected.epochs[:2]]


def test_a_diverged_run_says_so(noise, tiny, float32):
    wild = replace(SHORT, weight_decay=1000, lookahead=False, epochs=100)
    with pytest.raises(Diverged, match=r"loss is (nan|inf) after epoch \d+.*lower lr=11.5 or bias_scale=64"):
        train(wild, noise, scale=replace(tiny, lr=3), runtime=float32)  # the rate as it was asked for


def test_a_network_whose_outputs_are_no_numbers_is_no_result(noise, tiny, float32):
    """Even where each epoch's loss is one: the last step may be what breaks it."""
    late = replace(SHORT, epochs=1 / 3, lr=1e9, lr_start=1, lr_peak_at=0, lr_end=1, lookahead=False)
    with pytest.raises(
        Diverged, match=r"outputs are not all finite: the run diverged; lower lr=1e\+09 or bias_scale=64"
    ):
        train(late, noise, scale=tiny, runtime=float32)


def write_nan(slow, fast, decay):
    for tensor in fast:
        tensor.fill_(math.nan)


def nan_views(images, tta):
    return [images * math.nan], (1.0,)


@pytest.mark.parametrize(
    "own",
    [{"lookahead": write_nan}, {"tta_views": nan_views}, {"whiten": lambda *_: torch.full((24, 3, 2, 2), math.nan)}],
)
@pytest.mark.parametrize("observer", [None, lambda record: None], ids=["alone", "watched"])
def test_one_s_own_part_is_named_before_the_learning_rate(own, observer, noise, tiny, float32):
    with pytest.raises(Diverged, match=f"look at your own {next(iter(own))} first, then lower lr=11.5"):
        train(replace(SHORT, epochs=1), noise, scale=tiny, runtime=float32, parts=Parts(**own), observer=observer)


def test_images_without_a_picture_are_not_called_diverged(noise, tiny, float32):
    grey = replace(noise, train_images=torch.full_like(noise.train_images, 100))
    with pytest.raises(DataError, match="the training images of noise are all the same"):
        train(SHORT, grey, scale=tiny, runtime=float32)


def first_filters(images, eps):
    return whitening_filters(images, eps)[:12]


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ({"whiten": first_filters}, r"whiten must give a tensor \(24, 3, 2, 2\), not a .*32 tensor \(12, 3, 2, 2\)"),
        ({"whiten": lambda images, eps: 3.5}, r"not 3.5"),
        ({"whiten": lambda images, eps: whitening_filters(images, eps) + 0j}, "not a torch.complex64 tensor"),
        ({"flip": lambda flip, epoch, first, _: first[:-1]}, r"bool tensor \(192,\), not a .*bool tensor \(191,\)"),
        ({"flip": lambda flip, epoch, first, _: first.float()}, r"flip must give .*, not a torch.float32 tensor"),
        ({"flip": lambda *_: None}, "not None"),
        ({"lr_factors": lambda recipe, steps: [1.0] * 7}, r"one a step, not a list of 7 \(1.0, 1.0, 1.0, ...\)"),
        ({"lr_factors": lambda recipe, steps: 1.0}, "lr_factors must give a list of 8 numbers, one a step, not 1.0"),
        ({"lr_factors": lambda recipe, steps: (1.0 for _ in range(steps))}, "not a generator"),
        ({"parameter_groups": lambda network, _: [*network.parameters()]}, "dicts, each with .* not a list"),
        ({"parameter_groups": lambda *_: None}, 'dicts, each with "params" and "lr", .*, not None'),
        ({"tta_views": lambda images, tta: images}, r"views, each a tensor \(48, 3, 32, 32\), and as many weights"),
        ({"tta_views": lambda images, tta: ([images], (0.5, 0.5))}, "tta_views must give views"),
        ({"tta_views": lambda images, tta: ([images[:3]], (1.0,))}, r"a tuple of 2 \(a list of 1 \(.*\(3, 3, 32, 32\)"),
        ({"tta_views": lambda images, tta: ([], ())}, "tta_views must give views"),
        ({"tta_views": lambda images, tta: ([images.int()], (1.0,))}, "tta_views must give views"),
        ({"tta_views": lambda images, tta: ([images], "1")}, "tta_views must give views"),
        ({"parameter_groups": lambda n, _: [{"params": [n.head.weight], "lr": 1}] * 2}, "and no parameter twice"),
        ({"parameter_groups": lambda n, _: [{"params": ["head"], "lr": 1}]}, "and no parameter twice"),
        ({"newton_schulz": lambda matrices, steps: matrices[0]}, "newton_schulz must give a tensor"),
        ({"whiten": torch.ones(24, 3, 2, 2)}, "your own whiten must be a function"),
    ],
)  # fmt: skip
def test_a_part_that_gives_something_else_is_named_with_what_was_wanted_and_what_came(own, line, noise, tiny, float32):
    recipe = SHORT_MUON if "newton_schulz" in own else SHORT
    with pytest.raises(UsageError, match=line) as caught:
        train(recipe, noise, scale=tiny, runtime=float32, parts=Parts(**own))
    assert "\n" not in str(caught.value)


def test_names_stand_for_recipes(noise, float32):
    result = train("airbench95", noise, scale="smoke", runtime=float32)
    assert result.asked == RECIPES["airbench95"]
    for wrong, line in [({"recipe": "airbench93"}, "unknown recipe 'airbench93'"), ({"recipe": None}, "recipe None"),
                        ({"data": "cifar10"}, r"a str is not legal: airbench_lab\.data\.load_dataset"),
                        ({"scale": ["smoke"]}, "is not legal: full, "),
                        ({"parts": {"whiten": 1}}, "a dict is not legal")]:  # fmt: skip
        with pytest.raises(UsageError, match=line):
            train(**{"recipe": "airbench94", "data": noise, "scale": "smoke"} | wrong)


def test_too_few_images_for_a_batch(noise):
    with pytest.raises(UsageError, match="batch_size=1024 is more than the 192 training images there are; set a"):
        train(AIRBENCH94, noise)
    with pytest.raises(UsageError, match="scale=huge is not legal: full, quarter, laptop, smoke"):
        train(AIRBENCH94, noise, scale="huge")


def test_mirrors_of_what_must_not_be_mirrored_are_warned_of(noise, tiny, float32):
    digits = replace(noise, mirror_changes_class=True)
    with pytest.warns(AirbenchWarning, match="flip=random on noise, where a mirrored picture may show something else"):
        Trainer(replace(SHORT, flip="random", tta="none"), digits, scale=tiny, runtime=float32)
    with pytest.warns(AirbenchWarning, match=r"^tta=mirror on noise"):
        Trainer(replace(SHORT, flip="none", tta="mirror"), digits, scale=tiny, runtime=float32)
    Trainer(replace(SHORT, flip="none", tta="none"), digits, scale=tiny, runtime=float32)


def test_pictures_of_another_size(noise, tiny, float32):
    def cut(size):
        tiled = (images.repeat(1, 1, 2, 2)[..., :size, :size] for images in (noise.train_images, noise.test_images))
        return replace(noise, **dict(zip(("train_images", "test_images"), tiled, strict=True)))

    assert train(SHORT, cut(40), scale=tiny, runtime=float32).epochs[-1].train_loss < 20
    small = cut(16)
    with pytest.raises(UsageError, match="images of 16 x 16 pixels do not fit"):
        Trainer(SHORT, small, scale=tiny, runtime=float32)


def test_a_warm_up_learns_from_random_labels_and_leaves_no_trace(noise, tiny, float32, monkeypatch):
    trainer = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    trainer.warm, seen, step_through = False, [], trainer.step_through

    def watched(*arguments, **options):
        seen.append(trainer.data.train_labels.clone())
        return step_through(*arguments, **options)

    monkeypatch.setattr(trainer, "step_through", watched)
    true = noise.train_labels.clone()
    assert same(trainer.run(0), train(SHORT, noise, scale=tiny, runtime=float32))
    random, own = seen
    assert (random == true).float().mean() < 0.3  # one of ten is right by chance
    assert own.equal(true)
    assert noise.train_labels.equal(true)
    compiled = Trainer(SHORT, noise, scale=tiny, runtime=replace(float32, compile=True))
    assert compiled.data.train_labels.data_ptr() != noise.train_labels.data_ptr()  # somebody else may read those


@pytest.mark.parametrize("name", ["airbench94", "airbench94_muon", "airbench96_faster", "resnet18"])
def test_contiguous_memory_trains_the_same_network(name, noise, tiny, float32, monkeypatch):
    """As on an Apple GPU: what is computed is the same but for rounding."""
    recipe = replace(RECIPES[name], epochs=0.7)
    expected = train(recipe, noise, scale=tiny, runtime=float32)
    monkeypatch.setitem(devices.LAYOUTS, "cpu", torch.contiguous_format)
    trainer = Trainer(recipe, noise, scale=tiny, runtime=float32)
    assert all(p.is_contiguous() for p in trainer.network.parameters())
    augmentation, _ = trainer.batches(0)
    assert augmentation.padded.is_contiguous()
    result = trainer.run(0)
    assert [e.train_loss for e in result.epochs] == pytest.approx([e.train_loss for e in expected.epochs], rel=1e-2)
    assert result.model.shares(noise.test_images[:2]).sum(1).tolist() == pytest.approx([1, 1])


@pytest.mark.slow
@pytest.mark.skipif(not any(map(shutil.which, ("g++", "clang++", "cl"))), reason="torch.compile needs a C++ compiler")
def test_compiled_and_eager_agree(noise, tiny, float32):
    recipe = replace(SHORT, epochs=2, tta="none")  # the bias freezes after the first epoch
    eager = train(recipe, noise, scale=tiny, runtime=float32)
    compiled = train(recipe, noise, scale=tiny, runtime=replace(float32, compile=True))
    for a, b in zip(eager.epochs, compiled.epochs, strict=True):
        assert b.train_loss == pytest.approx(a.train_loss, rel=1e-3)


@pytest.mark.parametrize("name", ["airbench94_muon", "airbench96", "airbench96_faster", "resnet18"])
def test_every_network_and_step_can_be_traced_whole(name, noise, tiny, float32, monkeypatch):
    """Without a graph break and with the eager loss, by a backend that generates no code, so is quick."""
    monkeypatch.setattr(torch, "compile", partial(torch.compile, backend="aot_eager"))
    scale = replace(tiny, batch_size=64 / RECIPES[name].batch_size, epochs=1 / RECIPES[name].epochs)
    eager, traced = (
        train(RECIPES[name], noise, scale=scale, runtime=replace(float32, compile=on)).epochs for on in (False, True)
    )
    assert traced[0].train_loss == pytest.approx(eager[0].train_loss, rel=1e-3)


@pytest.mark.parametrize("own", [False, True])
def test_muons_update_is_compiled_but_not_a_newton_schulz_of_ones_own(own, noise, tiny, float32, monkeypatch):
    """Which may look at values, and could then not be compiled whole."""
    whole = []
    monkeypatch.setattr(torch, "compile", lambda function, **options: whole.append(function.__name__) or function)

    def looking(matrices, steps):
        return newton_schulz(matrices, steps if matrices.norm().item() >= 0 else 0)

    parts, runtime = Parts(newton_schulz=looking) if own else None, replace(float32, compile=True)
    train(SHORT_MUON, noise, scale=tiny, runtime=runtime, parts=parts)
    assert ("muon_update" in whole) is not own


@pytest.mark.parametrize("name", RECIPES)
def test_every_recipe_takes_steps_in_float16(name, noise, tiny):
    """As on a GPU, where the weights are float16 too: no dtype is left behind."""
    runtime = Runtime(device=torch.device("cpu"), dtype=torch.float16, threads=1)
    scale = replace(tiny, width=1 / 32, batch_size=16 / RECIPES[name].batch_size, epochs=0.1 / RECIPES[name].epochs)
    result = train(replace(RECIPES[name], tta="none"), noise.head(32, 8), scale=scale, runtime=runtime)
    assert math.isfinite(result.epochs[0].train_loss)
    assert all(value.isfinite().all() for value in result.network.state_dict().values())


@pytest.mark.parametrize("name", ["builtin", "cifar10"])
def test_smoke_scale_learns(name, request):
    data = load_dataset("builtin") if name == "builtin" else request.getfixturevalue("cifar10")
    losses = [record.train_loss for record in train(AIRBENCH94, data, scale="smoke").epochs]
    assert losses[-1] < losses[0] - 0.03
