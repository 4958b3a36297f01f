from dataclasses import replace

import pytest
import torch
import torchvision
from airbench_lab.flops import parameters

from airbench_core import RESNET18
from airbench_core.errors import UsageError
from airbench_core.learner import make_network
from airbench_core.resnet import ShortCut


def test_it_is_torchvisions_network_with_a_3x3_stem_and_no_max_pool(generator):
    theirs = torchvision.models.resnet18(num_classes=10)
    theirs.conv1 = torch.nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.maxpool = torch.nn.Identity()
    ours = make_network(RESNET18)
    ours.reset(generator)
    values = ours.state_dict().values()
    theirs.load_state_dict(dict(zip(theirs.state_dict(), values, strict=True)))
    images = torch.randn(4, 3, 32, 32, generator=generator)
    for training in (True, False):
        torch.testing.assert_close(ours.train(training)(images), theirs.train(training)(images))
    torch.testing.assert_close(ours.stages[3][1].bn2.running_var, theirs.layer4[1].bn2.running_var)


def test_reset_draws_as_torchvision_does_from_its_generator_alone(generator):
    state = torch.random.get_rng_state()
    ours = make_network(RESNET18)
    torch.random.set_rng_state(state)  # a network is built with PyTorch's own draws
    for value in ours.state_dict().values():
        value.fill_(3)
    ours.reset(generator)
    assert torch.equal(state, torch.random.get_rng_state())
    theirs = torchvision.models.resnet18(num_classes=10).state_dict()
    torch.random.set_rng_state(state)
    for mine, (name, value) in zip(ours.state_dict().values(), theirs.items(), strict=True):
        if name == "conv1.weight":  # the stem is ours
            continue
        if value.ndim > 1:
            assert mine.std().item() == pytest.approx(value.std().item(), rel=0.1), name
        elif value.is_floating_point() and name != "fc.bias":
            assert torch.equal(mine, value), name


def test_widths_classes_and_parameters():
    assert parameters(RESNET18) == 11_173_962
    small = make_network(replace(RESNET18, widths=(4, 8, 16, 32)), classes=7, size=20)
    assert small(torch.randn(2, 3, 20, 20)).shape == (2, 7)
    norms = [m for m in small.modules() if isinstance(m, torch.nn.BatchNorm2d)]
    assert len(norms) == 20
    assert all(m.momentum == pytest.approx(0.1) for m in norms)


def test_low_precision_activations_on_float32_weights(generator):
    network = make_network(replace(RESNET18, widths=(8, 16, 16, 32)))
    network.reset(generator)
    images = torch.randn(8, 3, 32, 32, generator=generator)
    exact, rounded = network(images), network(images.bfloat16())
    assert rounded.dtype == torch.float32
    assert not torch.equal(exact, rounded)
    torch.testing.assert_close(rounded, exact, atol=0.05, rtol=0.05)
    rounded.sum().backward()
    assert network.head.weight.grad.dtype == torch.float32


@pytest.mark.parametrize("width", [1, 15, 16, 64])
def test_a_short_cut_is_the_plain_convolution_without_its_stride(width, generator):
    layer = ShortCut(width, 5, 2)
    images = torch.randn(3, width, 7, 7, generator=generator)
    expected = torch.nn.functional.conv2d(images, layer.weight, stride=2)
    torch.testing.assert_close(layer(images), expected)
    assert layer(images[..., :4]).shape == (3, 5, 4, 2)


def test_images_whose_last_strided_convolution_would_see_one_pixel_are_refused():
    with pytest.raises(UsageError, match="images of 4 x 4 pixels do not fit resnet18: scale them to 5 or more"):
        make_network(RESNET18, size=4)
    seen = []
    network = make_network(replace(RESNET18, widths=(1, 1, 1, 1)), size=5)
    for module in network.modules():
        if getattr(module, "stride", None) == (2, 2):
            module.register_forward_hook(lambda _, given, __: seen.append(given[0].shape[-1]))
    network(torch.randn(2, 3, 5, 5))
    assert seen == [5, 3, 2]


def test_no_1x1_convolution_has_a_stride():
    network = make_network(replace(RESNET18, widths=(4, 16, 15, 32)))
    strides = [m.stride for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.kernel_size == (1, 1)]
    assert strides == [(1, 1)] * 3
