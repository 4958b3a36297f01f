from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from airbench_core import AIRBENCH94, AIRBENCH96, Trainer
from airbench_core.fast.cpu import conv2d, gelu, plain_, speed_up_, tile
from airbench_core.network import Network


def channels_last(*shape, generator, dtype=torch.float32):
    return torch.randn(shape, generator=generator).to(dtype).contiguous(memory_format=torch.channels_last)


@pytest.mark.parametrize("n", [1, 7, 12, 192])  # 7: no number of images that fits in a row divides it
@pytest.mark.parametrize("size", [3, 6, 7, 8, 15])
def test_convolutions_and_their_gradients_are_the_plain_ones(n, size, generator):
    images, weight = channels_last(n, 5, size, size, generator=generator), torch.randn(8, 5, 3, 3, generator=generator)
    of_out = torch.randn(n, 8, size, size, generator=generator)
    results = []
    for function in conv2d, F.conv2d:
        x, w = images.clone().requires_grad_(), weight.clone().requires_grad_()
        y = function(x, w, padding=(1, 1))
        y.backward(of_out)
        results.append((y, x.grad, w.grad))
    for ours, plain in zip(*results, strict=True):
        assert (ours - plain).norm() < 1e-5 * plain.norm()


def test_tiled_images_stand_side_by_side_with_a_blank_column_after_each(generator):
    images = channels_last(6, 2, 3, 4, generator=generator)
    tiled = tile(images, 3)
    assert tiled.shape == (2, 2, 3, 15)
    assert tiled.is_contiguous(memory_format=torch.channels_last)
    for i in range(6):
        row, start = i // 3, i % 3 * 5
        assert torch.equal(tiled[row, :, :, start : start + 4], images[i])
        assert not tiled[row, :, :, start + 4].any()


def test_other_convolutions_are_left_alone(generator):
    images = channels_last(4, 3, 7, 7, generator=generator)
    for weight, padding in (torch.randn(2, 3, 2, 2), (0, 0)), (torch.randn(2, 3, 3, 3), (0, 0)):
        for bias in None, torch.randn(2):
            trained = weight.clone().requires_grad_()
            expected = F.conv2d(images, weight, bias, padding=padding)
            assert torch.equal(conv2d(images, trained, bias, padding=padding), expected)


def test_a_frozen_input_gets_no_gradient(generator):
    weight = torch.randn(4, 3, 3, 3).requires_grad_()
    conv2d(channels_last(4, 3, 7, 7, generator=generator), weight, padding=(1, 1)).sum().backward()
    assert weight.grad.abs().sum() > 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gelu_and_its_gradient_are_the_plain_ones(dtype, generator):
    x = channels_last(3, 4, 5, 6, generator=generator, dtype=dtype) * 3
    ours, plain = x.clone().requires_grad_(), x.clone().requires_grad_()
    out = gelu(ours)
    assert out.is_contiguous(memory_format=torch.channels_last)
    torch.testing.assert_close(out, F.gelu(plain))
    out.sum().backward()
    F.gelu(plain).sum().backward()
    torch.testing.assert_close(ours.grad, plain.grad)
    assert torch.equal(gelu(x.contiguous()), F.gelu(x.contiguous()))


def losses(trainer: Trainer) -> list[float]:
    return [epoch.train_loss for epoch in trainer.run(0).epochs]


@pytest.mark.parametrize("recipe", [replace(AIRBENCH94, epochs=4), replace(AIRBENCH96, epochs=4, widths=(64, 64, 64))])
def test_fast_and_plain_trainings_have_the_same_losses(recipe, noise, tiny, float32):
    fast = Trainer(recipe, noise, scale=tiny, runtime=float32)
    plain = Trainer(recipe, noise, scale=tiny, runtime=float32)
    plain_(plain.network)
    assert losses(fast) == pytest.approx(losses(plain), rel=1e-5)


def test_plain_undoes_speed_up():
    network = Network(AIRBENCH94)
    before = [dict(module.__dict__) for module in network.modules()]
    speed_up_(network, torch.float32)
    assert network.gelu is gelu
    assert {module.conv2d for module in network.convolutions()} == {conv2d}
    assert plain_(network) is network
    assert [dict(module.__dict__).keys() for module in network.modules()] == [d.keys() for d in before]


def test_compiled_networks_keep_the_plain_functions(noise, tiny, float32):
    trainer = Trainer(AIRBENCH94, noise, scale=tiny, runtime=replace(float32, compile=True))
    assert trainer.network.gelu is F.gelu
