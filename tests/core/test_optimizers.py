from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, BASELINE, RESNET18, Trainer
from airbench_core.network import Network
from airbench_core.optimizers import make_optimizers
from airbench_core.tricks.schedule import lr_factors


def test_groups_of_one_s_own_are_sgd_s_alone():
    network, asked = Network(AIRBENCH94), []

    def own(network, recipe):
        asked.append(recipe)
        return [{"params": [network.head.weight], "lr": 0.5, "weight_decay": 0.25}]

    (sgd,) = make_optimizers(network, AIRBENCH94, groups=own)
    (group,) = sgd.param_groups
    assert [group[name] for name in ("lr", "weight_decay", "momentum", "nesterov")] == [0.5, 0.25, 0.85, True]
    assert group["params"][0] is network.head.weight
    make_optimizers(Network(AIRBENCH94_MUON), AIRBENCH94_MUON, groups=own)
    assert asked == [AIRBENCH94]


def test_the_trained_first_layer_is_optimized():
    for recipe in (BASELINE, replace(BASELINE, first_norm=True)):
        network = Network(recipe)
        given = {id(p) for group in make_optimizers(network, recipe)[0].param_groups for p in group["params"]}
        assert id(network.first.weight) in given


def test_muon_and_sgd_each_get_their_own_parameters_and_rates(noise, tiny, float32):
    t = Trainer(replace(AIRBENCH94_MUON, epochs=8), noise, scale=replace(tiny, batch_size=0.016), runtime=float32)
    muon, sgd = t.learner.optimizers
    assert {p.ndim for p in muon.param_groups[0]["params"]} == {4}
    assert len(muon.param_groups[0]["params"]) == 6
    norms, head, whitening = sgd.param_groups
    assert [len(group["params"]) for group in (norms, head, whitening)] == [6, 1, 1]
    given = [p for optimizer in t.learner.optimizers for group in optimizer.param_groups for p in group["params"]]
    assert {id(p) for p in given} == {id(p) for p in t.network.parameters() if p.requires_grad}
    peaks = [rates[0] for _, rates in t.learner.learning_rates]
    assert peaks == [0.24, 0.053, 0.67, 0.053]  # raw: not divided by anything
    assert sgd.param_groups[1]["weight_decay"] * 0.67 == pytest.approx(2e-6 * 32)
    filters, _, heads, bias = (rates for _, rates in t.learner.learning_rates)
    freeze, steps = t.learner.freeze_step, t.steps
    assert filters[steps // 2] == pytest.approx(0.12)
    assert heads[-1] == pytest.approx(0.67 / steps)
    assert bias[freeze // 2] == pytest.approx(0.0265)
    assert bias[freeze - 1] > 0
    assert set(bias[freeze:]) == {0}


def test_torch_sgd_is_torch_optim_sgd_on_the_mean_loss(noise, tiny, float32):
    recipe = replace(RESNET18, widths=(64, 64, 64, 64), epochs=1, flip="none", translate=0)
    t = Trainer(recipe, noise, scale=replace(tiny, batch_size=0.5, lr=2), runtime=float32)
    assert t.recipe.lr == pytest.approx(0.1)
    training, model = t.step_through(seed=0), t.network
    next(training)
    start = {k: v.clone() for k, v in model.state_dict().items()}
    augmentation, batches = t.batches(seed=0)
    for _ in range(3):
        next(training)
    ours = [p.detach().clone() for p in model.parameters()]
    model.load_state_dict(start)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True)
    for factor in lr_factors(t.recipe, 3):
        rows = next(batches)
        sgd.param_groups[0]["lr"] = 0.1 * factor
        logits = model.train()(augmentation.batch(rows))
        torch.nn.functional.cross_entropy(logits, noise.train_labels[rows[:, 0]]).backward()
        sgd.step()
        sgd.zero_grad()
    for mine, theirs in zip(ours, model.parameters(), strict=True):
        torch.testing.assert_close(mine, theirs.detach(), atol=1e-5, rtol=1e-4)
