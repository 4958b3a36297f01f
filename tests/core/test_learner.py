from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, AIRBENCH96_FASTER, RESNET18, Parts, Trainer
from airbench_core.augmentation import normalize
from airbench_core.optimizers import lr_factors

SHORT = replace(AIRBENCH96_FASTER, widths=(64, 64, 64), epochs=2)


def trainer(noise, tiny, float32, **changes) -> Trainer:
    trainer = Trainer(replace(SHORT, **changes), noise, scale=tiny, runtime=float32)
    trainer.reset(0)
    trainer.begin()
    return trainer


def weights(network) -> list[torch.Tensor]:
    return [p.detach().clone() for p in network.parameters()]


def same(before, after) -> bool:
    return all(torch.equal(a, b) for a, b in zip(before, after, strict=True))


def test_the_hardest_images_of_each_batch_are_kept(noise, tiny, float32):
    t = trainer(noise, tiny, float32)
    augmentation, kept = t.batches(seed=0)
    whole = Trainer(replace(SHORT, proxy_keep=None), noise, scale=tiny, runtime=float32).batches(seed=0)[1]
    for _ in range(6):
        some, batch = next(kept), next(whole)
        assert some.shape == (32, 6)
        assert batch.shape == (64, 6)
        assert {tuple(row) for row in some.tolist()} < {tuple(row) for row in batch.tolist()}
    rows = batch
    before = {k: v.clone() for k, v in t.proxy.network.state_dict().items()}
    chosen = t.proxy.step(augmentation.batch(rows), noise.train_labels[rows[:, 0]], step=1)
    t.proxy.network.load_state_dict(before)
    losses = t.proxy._losses(augmentation.batch(rows), noise.train_labels[rows[:, 0]])
    assert set(chosen.tolist()) == set(losses.argsort()[-32:].tolist())


def test_the_proxy_learns_from_every_fourth_batch_and_only_from_what_it_keeps(noise, tiny, float32):
    t = trainer(noise, tiny, float32)
    augmentation, kept = t.batches(seed=0)
    learnt = []
    for _ in range(6):
        before, seen = weights(t.proxy.network), t.proxy.network.groups[0].norms[0].running_mean.clone()
        next(kept)
        learnt.append(not same(before, weights(t.proxy.network)))
        assert not torch.equal(seen, t.proxy.network.groups[0].norms[0].running_mean)  # each is seen in training mode
    assert learnt == [True, False, False, False, True, False]

    # The first step is that of the kept images' summed loss, with BatchNorm over the whole batch.
    t.reset(0)
    t.begin()
    rows = next(Trainer(replace(SHORT, proxy_keep=None), noise, scale=tiny, runtime=float32).batches(seed=0)[1])
    images, labels = augmentation.batch(rows), noise.train_labels[rows[:, 0]]
    losses = t.proxy._losses(images, labels)
    losses.topk(32).values.sum().backward()
    head = t.proxy.network.head.weight
    group, rates = t.proxy.learning_rates[1]
    expected = head.detach() - rates[0] * 1.85 * (head.grad + group["weight_decay"] * head.detach())
    t.reset(0)
    t.begin()
    t.proxy.step(images, labels, step=0)
    torch.testing.assert_close(head.detach(), expected)


def test_the_proxy_is_small_and_its_whitening_bias_never_trains(noise, tiny, float32):
    t = trainer(noise, tiny, float32)
    assert t.proxy.recipe.widths == (2, 4, 4)
    assert len(t.proxy.network.convolutions()) == 6
    assert t.proxy.lookahead is None
    for _ in zip(range(6), t.batches(seed=0)[1], strict=False):
        pass
    assert not t.proxy.network.first.bias.any()
    assert t.proxy.network.first.weight.std() > 0.1


def test_a_proxy_beside_the_main_network_chooses_what_one_trained_first_would(noise, tiny, float32):
    t = trainer(noise, tiny, float32)
    first = [rows for _, rows in zip(range(t.steps), t.batches(seed=0)[1], strict=False)]
    t.reset(0)
    t.begin()
    beside, step = [], t.main.step

    def recorded(images, labels, number):
        beside.append(labels)
        return step(images, labels, number)

    t.main.step = recorded
    t.run(0)
    assert len(beside) == t.steps == 6
    for rows, labels in zip(first, beside, strict=True):
        assert torch.equal(noise.train_labels[rows[:, 0]], labels)


def test_the_loss_of_an_epoch_is_a_mean_over_the_images_trained_on(noise, tiny, float32):
    t = Trainer(SHORT, noise, scale=tiny, runtime=float32)
    t.main.step = lambda images, labels, step: torch.tensor(2.0 * len(images))
    assert [record.train_loss for record in t.run(0).epochs] == [2, 2]


def test_muon_and_sgd_each_get_their_own_parameters_and_rates(noise, tiny, float32):
    t = Trainer(replace(AIRBENCH94_MUON, epochs=8), noise, scale=replace(tiny, batch_size=0.016), runtime=float32)
    t.reset(0)
    muon, sgd = t.main.optimizers
    assert {p.ndim for p in muon.param_groups[0]["params"]} == {4}
    assert len(muon.param_groups[0]["params"]) == 6
    norms, head, whitening = sgd.param_groups
    assert [len(group["params"]) for group in (norms, head, whitening)] == [6, 1, 1]
    given = [p for optimizer in t.main.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in t.network.parameters() if p.requires_grad}
    peaks = [rates[0] for _, rates in t.main.learning_rates]
    assert peaks == [0.24, 0.053, 0.67, 0.053]  # raw: not divided by anything
    assert sgd.param_groups[1]["weight_decay"] * 0.67 == pytest.approx(2e-6 * 32)
    filters, _, heads, bias = (rates for _, rates in t.main.learning_rates)
    freeze, steps = t.main.freeze_step, t.steps
    assert filters[steps // 2] == pytest.approx(0.12)
    assert heads[-1] == pytest.approx(0.67 / steps)
    assert bias[freeze // 2] == pytest.approx(0.0265)
    assert bias[freeze - 1] > 0
    assert set(bias[freeze:]) == {0}


def test_torch_sgd_is_torch_optim_sgd_on_the_mean_loss(noise, tiny, float32):
    recipe = replace(RESNET18, widths=(64, 64, 64, 64), epochs=1, flip="none", translate=0)
    t = Trainer(recipe, noise, scale=replace(tiny, batch_size=0.5, lr=2), runtime=float32)
    assert t.recipe.lr == pytest.approx(0.1)
    t.reset(0)
    t.begin()
    model = t.main.network
    start = {k: v.clone() for k, v in model.state_dict().items()}
    images = normalize(noise.train_images[:64], noise.mean, noise.std, torch.float32)
    labels = noise.train_labels[:64]
    for step in range(3):
        t.main.step(images, labels, step)
    ours = weights(model)
    model.load_state_dict(start)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    for factor in lr_factors(t.recipe, 3):
        sgd.param_groups[0]["lr"] = 0.1 * factor
        torch.nn.functional.cross_entropy(model(images), labels).backward()
        sgd.step()
        sgd.zero_grad()
    for mine, theirs in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), atol=1e-5, rtol=1e-4)


def test_the_proxy_draws_weights_of_its_own(noise, tiny, float32):
    t = trainer(noise, tiny, float32, identity_init=False)
    n = len(t.proxy.network.convolutions()[0].weight)
    assert not torch.equal(t.proxy.network.convolutions()[0].weight, t.network.convolutions()[0].weight[:n])


def test_the_proxy_has_the_main_training_s_schedule_and_rates_of_the_whole_batch(noise, tiny, float32):
    t = trainer(noise, tiny, float32, epochs=4)
    batches = t.batches(seed=0)[1]
    for _ in range(5):
        next(batches)
    k = 1024 * (1 + 1 / 0.15)
    for learner in (t.main, t.proxy):
        (_, norm_rates), (others, rates) = learner.learning_rates
        assert norm_rates == pytest.approx([64 * rate for rate in rates])
        assert others["weight_decay"] * 9 / k == pytest.approx(0.012 * 64 / k)  # of 64 images, though 32 are kept
    # Its second step was on the fifth batch, at the fifth rate.
    assert t.proxy.optimizers[0].param_groups[1]["lr"] == pytest.approx(9 / k * lr_factors(t.recipe, 12)[4])


@pytest.mark.parametrize("epochs", [1, 2])
def test_warm_up_and_a_measurement_may_ask_for_more_batches_than_a_training_has(epochs, noise, tiny, float32):
    t = Trainer(replace(SHORT, epochs=epochs), noise, scale=tiny, runtime=float32)
    reference = weights(t.run(0).network)
    t.warm = False
    assert same(reference, weights(t.run(0).network))
    batches = t.batches(seed=0)[1]
    assert all(len(next(batches)) == 32 for _ in range(3 * t.steps))


def test_only_a_recipe_that_keeps_fewer_has_a_proxy(noise, tiny, float32):
    assert trainer(noise, tiny, float32).proxy is not None
    assert Trainer(AIRBENCH94, noise, scale=tiny, runtime=float32).proxy is None


def rates_used(learner) -> list[float]:
    """A list that fills with the learning rate of the learner's convolutions at each step."""
    used, compute = [], learner.compute

    def recorded(*arguments):
        used.append(learner.optimizers[0].param_groups[1]["lr"])
        return compute(*arguments)

    learner.compute = recorded
    return used


def test_a_schedule_of_one_s_own_sets_the_rates_of_main_network_and_proxy(noise, tiny, float32):
    def falling(recipe, steps):
        return [1 - step / steps for step in range(steps)]

    t = Trainer(SHORT, noise, scale=tiny, runtime=float32, parts=Parts(lr_factors=falling))
    both = [rates_used(learner) for learner in (t.main, t.proxy)]
    assert t.run(0).parts == ("lr_factors",)
    peak = 9 / (1024 * (1 + 1 / 0.15))
    for used in both:
        assert used == pytest.approx([peak * (1 - step / t.steps) for step in range(t.steps)])


def test_parts_know_which_of_them_were_replaced():
    assert Parts().replaced == Parts(whiten=Parts().whiten).replaced == ()
    assert Parts(whiten=abs, flip=abs).replaced == ("flip", "whiten")
    assert Parts(**dict.fromkeys(vars(Parts()), abs)).replaced == tuple(sorted(vars(Parts())))
