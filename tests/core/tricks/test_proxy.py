from dataclasses import replace
from itertools import islice

import pytest
import torch

from airbench_core import AIRBENCH94, AIRBENCH96_FASTER, Parts, Trainer
from airbench_core.tricks.schedule import lr_factors

SHORT = replace(AIRBENCH96_FASTER, widths=(64, 64, 64), epochs=2)


@pytest.fixture
def make(noise, tiny, float32):
    def trainer(**changes) -> Trainer:
        return Trainer(replace(SHORT, **changes), noise, scale=tiny, runtime=float32)

    return trainer


def start(trainer: Trainer):
    """Networks ready to learn; the augmentation; the rows of whole batches, and of those that are kept."""
    next(trainer.step_through(seed=0))
    augmentation, batches = trainer.batches(seed=0)
    return augmentation, trainer.batches(seed=0)[1], trainer.proxy.hardest(batches, augmentation)


def weights(network) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def same(before, after) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_hardest_images_of_each_batch_are_kept(make, noise):
    t = make()
    augmentation, whole, kept = start(t)
    for _ in range(6):
        some, batch = next(kept), next(whole)
        assert some.shape == (32, 6)
        assert batch.shape == (64, 6)
        assert {tuple(row) for row in some.tolist()} < {tuple(row) for row in batch.tolist()}
    images, labels = augmentation.batch(batch), noise.train_labels[batch[:, 0]]
    before = {k: v.clone() for k, v in t.proxy.learner.network.state_dict().items()}
    chosen = t.proxy.choose(images, labels, learns=False)
    t.proxy.learner.network.load_state_dict(before)
    assert set(chosen.tolist()) == set(t.proxy.losses(images, labels).argsort()[-32:].tolist())


def test_the_proxy_learns_from_every_fourth_batch_and_only_from_what_it_keeps(make, noise):
    t = make()
    augmentation, whole, kept = start(t)
    network, learnt = t.proxy.learner.network, []
    for _ in range(6):
        before, seen = weights(network), network.groups[0].norms[0].running_mean.clone()
        next(kept)
        learnt.append(not same(before, weights(network)))
        assert not torch.equal(seen, network.groups[0].norms[0].running_mean)  # each is seen in training mode
    assert learnt == [True, False, False, False, True, False]

    # The first step is that of the kept images' summed loss, with BatchNorm over the whole batch.
    _, _, kept = start(t)
    rows = next(whole)
    t.proxy.losses(augmentation.batch(rows), noise.train_labels[rows[:, 0]]).topk(32).values.sum().backward()
    head, (group, rates) = network.head.weight, t.proxy.learner.learning_rates[1]
    expected = head.detach() - rates[0] * 1.85 * (head.grad + group["weight_decay"] * head.detach())
    network.zero_grad()
    next(kept)
    torch.testing.assert_close(head.detach(), expected)


def test_the_proxy_is_small_and_its_whitening_bias_never_trains(make):
    t = make()
    _, _, kept = start(t)
    network = t.proxy.learner.network
    assert t.proxy.learner.recipe.widths == (2, 4, 4)
    assert len(network.convolutions()) == 6
    list(islice(kept, 6))
    assert not network.first.bias.any()
    assert network.first.weight.std() > 0.1


def test_a_proxy_beside_the_main_network_chooses_what_one_trained_first_would(make, noise, monkeypatch):
    t = make()
    first = [noise.train_labels[rows[:, 0]] for rows in islice(start(t)[2], t.steps)]
    beside, loss = [], t.learner.loss
    monkeypatch.setattr(t.learner, "loss", lambda images, labels: (beside.append(labels), loss(images, labels))[1])
    t.run(0)
    assert len(beside) == t.steps == 6
    assert all(torch.equal(a, b) for a, b in zip(first, beside, strict=True))


def test_the_loss_of_an_epoch_is_a_mean_over_the_images_trained_on(make, monkeypatch):
    t = make(epochs=2.5)
    loss = t.learner.loss
    monkeypatch.setattr(t.learner, "loss", lambda images, labels: 0 * loss(images, labels) + 2.0 * len(images))
    assert [record.train_loss for record in t.run(0).epochs] == [2, 2, 2]


def test_the_proxy_draws_weights_of_its_own(make):
    t = make(identity_init=False)
    start(t)
    own = t.proxy.learner.network.convolutions()[0].weight
    assert not torch.equal(own, t.network.convolutions()[0].weight[: len(own)])


def test_the_proxy_has_the_main_training_s_schedule_and_rates_of_the_whole_batch(make):
    t = make(epochs=4)
    list(islice(start(t)[2], 5))
    k = 1024 * (1 + 1 / 0.15)
    for learner in t.learners:
        (_, norm_rates), (others, rates) = learner.learning_rates
        assert norm_rates == pytest.approx([64 * rate for rate in rates])
        assert others["weight_decay"] * 9 / k == pytest.approx(0.012 * 64 / k)  # of 64 images, though 32 are kept
    # Its second step was on the fifth batch, at the fifth rate.
    rate = t.proxy.learner.optimizers[0].param_groups[1]["lr"]
    assert rate == pytest.approx(9 / k * lr_factors(t.recipe, 12)[4])


@pytest.mark.parametrize("epochs", [1, 2])
def test_warm_up_and_a_measurement_may_ask_for_more_batches_than_a_training_has(epochs, make):
    t = make(epochs=epochs)
    reference = weights(t.run(0).network)
    t.warm = False
    assert same(reference, weights(t.run(0).network))
    assert all(len(rows) == 32 for rows in islice(start(t)[2], 3 * t.steps))


def test_only_a_recipe_that_keeps_fewer_has_a_proxy(make, noise, tiny, float32):
    assert make().proxy is not None
    assert Trainer(AIRBENCH94, noise, scale=tiny, runtime=float32).proxy is None


def test_a_schedule_of_one_s_own_sets_the_rates_of_main_network_and_proxy(noise, tiny, float32):
    def falling(recipe, steps):
        return [1 - step / steps for step in range(steps)]

    t = Trainer(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(lr_factors=falling))
    used = [
        [learner.optimizers[0].param_groups[1]["lr"] for learner in t.learners] for step in t.step_through() if step
    ]  # before each step but the first: what the one before it used
    peak = 9 / (1024 * (1 + 1 / 0.15))
    assert t.run(0).parts == ("lr_factors",)
    for step, rates in enumerate(used):
        assert rates == pytest.approx([peak * (1 - step / t.steps)] * 2)
