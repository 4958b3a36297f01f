import pytest
import torch
import torch.nn.functional as F

from airbench_core.fast import cpu, winograd

pytestmark = pytest.mark.usefixtures("compiler")


def channels_last(*shape, generator):
    return torch.randn(shape, generator=generator).contiguous(memory_format=torch.channels_last)


def far(ours: torch.Tensor, exact: torch.Tensor) -> float:
    return ((ours - exact).norm() / exact.norm()).item()


# Channels that fill one, two and three vectors, and several of these; sides with whole tiles and without.
@pytest.mark.parametrize(("channels", "filters"), [(24, 16), (8, 64), (40, 8), (56, 80)])
@pytest.mark.parametrize(("height", "width"), [(31, 31), (8, 5), (3, 7), (1, 2)])
@pytest.mark.parametrize("n", [1, 7])
def test_result_and_gradients_are_those_of_float64(n, channels, filters, height, width, generator):
    x = channels_last(n, channels, height, width, generator=generator).requires_grad_()
    weight = torch.randn(filters, channels, 3, 3, generator=generator).requires_grad_()
    of_out = torch.randn(n, filters, height, width, generator=generator)
    exact = [tensor.detach().double().requires_grad_() for tensor in (x, weight)]
    assert winograd.applies(x, weight)
    out, expected = winograd.conv2d(x, weight), F.conv2d(*exact, padding=1)
    assert out.is_contiguous(memory_format=torch.channels_last)
    out.backward(of_out), expected.backward(of_out.double())
    pairs = [(out, expected), (x.grad, exact[0].grad), (weight.grad, exact[1].grad)]
    assert max(far(*pair) for pair in pairs) < 1e-5


def test_one_image_does_not_reach_into_another(generator):
    x, weight = channels_last(3, 8, 6, 6, generator=generator), torch.randn(8, 8, 3, 3, generator=generator)
    x[1] = float("nan")
    out = winograd.conv2d(x, weight)
    assert not out[0].isnan().any()
    assert out[1].isnan().all()
    assert not out[2].isnan().any()


def test_only_what_asks_for_a_gradient_gets_one(generator):
    for of_x, of_weight in (True, False), (False, True):
        x = channels_last(2, 8, 5, 5, generator=generator).requires_grad_(of_x)
        weight = torch.randn(8, 8, 3, 3, generator=generator).requires_grad_(of_weight)
        winograd.conv2d(x, weight).sum().backward()
        assert (x.grad is not None, weight.grad is not None) == (of_x, of_weight)


def test_other_convolutions_are_left_to_torch(generator):
    x, weight = channels_last(2, 8, 7, 7, generator=generator), torch.randn(16, 8, 3, 3, generator=generator)
    others = [
        (x.contiguous(memory_format=torch.contiguous_format), weight),
        (x.bfloat16(), weight.bfloat16()),
        (x.double(), weight.double()),
        (x[:, :4].contiguous(memory_format=torch.channels_last), weight[:, :4]),
        (x, weight[:5]),
        (x, weight[:, :, :1, :1]),
    ]
    assert winograd.applies(x, weight)
    assert not any(winograd.applies(*other) for other in others)
    bias = torch.randn(16, generator=generator)
    for arguments in {"bias": bias, "padding": (1, 1)}, {"bias": None, "padding": (0, 0)}:
        assert torch.equal(cpu.conv2d(x, weight, **arguments), F.conv2d(x, weight, **arguments))


@pytest.mark.parametrize("count", [1, 2])
def test_the_network_uses_it_in_float32_on_one_thread(count, monkeypatch, generator):
    x, weight = channels_last(2, 8, 7, 7, generator=generator), torch.randn(8, 8, 3, 3, generator=generator)
    monkeypatch.setattr(torch, "get_num_threads", lambda: count)
    used = []
    monkeypatch.setattr(winograd, "conv2d", lambda *arguments: used.append(arguments))
    cpu.conv2d(x, weight, padding=(1, 1))
    assert len(used) == (count == 1)


def test_without_kernels_all_runs_through_torch(monkeypatch, generator):
    x, weight = channels_last(2, 8, 15, 15, generator=generator), torch.randn(8, 8, 3, 3, generator=generator)
    monkeypatch.setattr(winograd, "kernels", lambda dtype: None)
    assert torch.equal(cpu.conv2d(x, weight, padding=(1, 1)), F.conv2d(x, weight, padding=1))
