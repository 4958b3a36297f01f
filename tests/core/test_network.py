from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from airbench_lab.flops import parameters

from airbench_core import AIRBENCH94, BASELINE, UsageError
from airbench_core.learner import make_network
from airbench_core.network import Conv, ConvGroup, Linear, Network


def test_airbench94_has_1_97_million_parameters():
    assert parameters(AIRBENCH94) == 1_971_640
    assert sum(p.numel() for p in Network(AIRBENCH94).parameters()) == 1_971_640 + 2 * (64 + 256 + 256)


def test_maps_and_layers():
    network = Network(AIRBENCH94)
    assert [tuple(c.weight.shape[:2]) for c in network.convolutions()] == [
        (64, 24), (64, 64), (256, 64), (256, 256), (256, 256), (256, 256)
    ]  # fmt: skip
    sizes = []
    for layer in [network.first, *network.groups]:
        layer.register_forward_hook(lambda _, __, output: sizes.append(output.shape[-1]))
    network.reset(torch.Generator().manual_seed(0))
    assert network(torch.randn(2, 3, 32, 32)).shape == (2, 10)
    assert sizes == [31, 15, 7, 3]
    assert len(Network(replace(AIRBENCH94, depth=3)).convolutions()) == 9


def test_first_layer_of_each_baseline():
    whitened, plain = Network(AIRBENCH94), Network(BASELINE)
    normed = Network(replace(BASELINE, first_norm=True))
    assert not whitened.first.weight.requires_grad
    assert whitened.first.bias.requires_grad
    assert plain.first.weight.requires_grad
    assert plain.first.bias is not None
    assert isinstance(plain.first_norm, torch.nn.Identity)
    assert normed.first.bias is None
    assert normed.first_norm.num_features == 24
    for network in (whitened, plain):
        network.reset(torch.Generator().manual_seed(0))
    assert not whitened.first.bias.any()
    assert plain.first.bias.all()


def test_the_residual_joins_a_groups_first_activation_to_its_last(generator):
    recipe = replace(AIRBENCH94, depth=3, residual=True)
    group = ConvGroup(8, 8, recipe)
    for convolution in group.convolutions:
        torch.nn.init.normal_(convolution.weight, generator=generator)
    x = torch.randn(4, 8, 6, 6, generator=generator)
    first = F.gelu(group.norms[0](F.max_pool2d(F.conv2d(x, group.convolutions[0].weight, padding=1), 2)))
    second = F.gelu(group.norms[1](F.conv2d(first, group.convolutions[1].weight, padding=1)))
    third = group.norms[2](F.conv2d(second, group.convolutions[2].weight, padding=1))
    torch.testing.assert_close(group(x), F.gelu(third + first))
    group.residual = False
    torch.testing.assert_close(group(x), F.gelu(third))


def test_a_unit_head_has_unit_deviation_and_divides_by_its_width(generator):
    images = torch.randn(4, 3, 32, 32, generator=generator)
    plain, unit = Network(AIRBENCH94).eval(), Network(replace(AIRBENCH94, unit_head=True)).eval()
    for network in (plain, unit):
        network.reset(torch.Generator().manual_seed(0))
    assert unit.head.weight.std().item() == pytest.approx(1, rel=1e-5)
    factor = 9 / 256 / plain.head.weight.std()
    torch.testing.assert_close(unit(images), plain(images) * factor)


def test_the_last_pooling_is_a_maximum_and_the_logits_are_divided_by_nine(generator):
    network = Network(AIRBENCH94)
    network.reset(generator)
    images = torch.randn(4, 3, 32, 32, generator=generator)
    x = network.groups(F.gelu(network.first(images)))
    torch.testing.assert_close(network(images), x.amax((2, 3)) @ network.head.weight.T / 9)


@pytest.mark.parametrize("size", [24, 49, 8])
def test_images_that_do_not_fit_are_refused(size):
    with pytest.raises(UsageError, match=f"images of {size} x {size} pixels do not fit .* 25 to 48 pixels, best to 32"):
        make_network(AIRBENCH94, size=size)


@pytest.mark.parametrize("size", [25, 48])
def test_images_that_just_fit(size):
    network = make_network(AIRBENCH94, classes=3, size=size)
    network.reset(torch.Generator().manual_seed(0))
    assert network(torch.randn(2, 3, size, size)).shape == (2, 3)


def test_batchnorm_follows_the_recipe():
    for norm in [m for m in Network(AIRBENCH94).modules() if isinstance(m, torch.nn.BatchNorm2d)]:
        assert norm.momentum == pytest.approx(0.4)
        assert norm.eps == 1e-12
        assert not norm.weight.requires_grad
        assert norm.bias.requires_grad


def test_reset_draws_from_its_generator_alone_and_as_pytorch_does():
    network = Network(BASELINE)
    state = torch.random.get_rng_state()
    network.reset(torch.Generator().manual_seed(3))
    first = {name: value.clone() for name, value in network.state_dict().items()}
    for value in network.state_dict().values():
        value.fill_(7)
    network.reset(torch.Generator().manual_seed(3))
    assert torch.equal(state, torch.random.get_rng_state())
    again = network.state_dict()
    assert all(torch.equal(again[name], first[name]) for name in first)
    for ours, theirs in [
        (network.groups[1].convolutions[0], torch.nn.Conv2d(64, 256, 3, bias=False)),
        (network.head, torch.nn.Linear(256, 10, bias=False)),
    ]:
        assert isinstance(ours, Conv | Linear)
        assert ours.weight.std().item() == pytest.approx(theirs.weight.std().item(), rel=0.1)
        assert ours.weight.abs().max().item() == pytest.approx(theirs.weight.abs().max().item(), rel=0.1)


def test_half_precision_activations_with_float32_weights(generator):
    network = Network(AIRBENCH94)
    network.reset(generator)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    exact, rounded = network(images), network(images.bfloat16())
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, exact, atol=0.02, rtol=0.05)
    rounded.sum().backward()
    assert network.groups[0].convolutions[0].weight.grad.dtype == torch.float32
