import copy
import platform
from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, network
from airbench_core.fast import kernels as kernels_module
from airbench_core.fast import norm_gelu as fast

PRECISION = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of a tensor's norm
TWINS = [(network.norm_gelu, fast.norm_gelu), (network.pool_norm_gelu, fast.pool_norm_gelu)]


@pytest.fixture(autouse=True)
def compiler(unavailable):
    if fast.kernels(torch.float32) is None:
        unavailable("compiler", "there is no C compiler here")


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)


def norm(channels: int, generator) -> torch.nn.BatchNorm2d:
    made = network.batch_norm(channels, AIRBENCH94)
    made.bias.data = torch.randn(channels, generator=generator)
    made.running_mean = torch.randn(channels, generator=generator)
    made.running_var = torch.rand(channels, generator=generator) + 0.5
    return made


def far(ours: torch.Tensor, plain: torch.Tensor) -> float:
    return ((ours.double() - plain.double()).norm() / plain.double().norm()).item()


@pytest.mark.parametrize("dtype", PRECISION)
@pytest.mark.parametrize(("n", "channels", "height", "width"), [(10, 16, 31, 31), (2, 5, 7, 4), (8, 24, 2, 9)])
@pytest.mark.parametrize(("plain", "quick"), TWINS)
def test_result_gradients_and_running_statistics_are_the_plain_ones(
    plain, quick, n, channels, height, width, dtype, threads, generator
):
    x = (torch.randn(n, channels, height, width, generator=generator) * 2 + 1).to(dtype)
    x = x.contiguous(memory_format=torch.channels_last)
    a = norm(channels, generator)
    b = copy.deepcopy(a)
    # The plain one gets the same numbers in float32, or the comparison would be with its rounding.
    inputs = x.clone().float().requires_grad_(), x.clone().requires_grad_()
    expected, result = plain(inputs[0], a), quick(inputs[1], b)
    assert result.grad_fn.name() == "_NormGeluBackward"
    assert result.dtype == dtype
    assert result.is_contiguous(memory_format=torch.channels_last)
    gradient = torch.randn(expected.shape, generator=generator).to(dtype)
    expected.backward(gradient.float())
    result.backward(gradient)
    pairs = [
        (result, expected),
        (inputs[1].grad, inputs[0].grad),
        (b.bias.grad, a.bias.grad),
        (b.running_mean, a.running_mean),
        (b.running_var, a.running_var),
    ]
    assert max(far(ours, reference) for ours, reference in pairs) < PRECISION[dtype]
    assert b.num_batches_tracked == 1

    a.eval(), b.eval()
    with torch.no_grad():
        assert far(quick(x, b), plain(x.float(), a)) < PRECISION[dtype]
    assert b.num_batches_tracked == 1


@pytest.mark.parametrize("dtype", PRECISION)
def test_gelu_is_exact_over_its_whole_range(dtype):
    z = torch.cat([torch.linspace(-8, 8, 4096), torch.tensor([-1e4, -100, 100, 1e4])])
    x = z.to(dtype)[:, None, None, None].contiguous(memory_format=torch.channels_last)
    made = network.batch_norm(1, replace(AIRBENCH94)).eval()
    made.eps = 0.0
    with torch.no_grad():
        ours, reference = fast.norm_gelu(x, made).double(), torch.nn.functional.gelu(x.double())
    rounding = 2**-8 * reference.abs() if dtype is torch.bfloat16 else 0
    assert ((ours - reference).abs() - rounding).max() < (7e-5 if dtype is torch.bfloat16 else 3e-6)


def test_a_nan_or_an_infinity_is_not_lost(generator):
    for place in range(4):
        for bad in float("nan"), float("inf"), -float("inf"):
            x = torch.randn(4, 3, 2, 2, generator=generator).contiguous(memory_format=torch.channels_last)
            x[1, 2, place // 2, place % 2] = bad
            for plain, quick in TWINS:
                a, b = norm(3, generator), norm(3, generator)
                ours, expected = quick(x, b), plain(x, a)
                assert torch.equal(ours.isnan().flatten(2).any(2), expected.isnan().flatten(2).any(2))


def test_ties_give_the_gradient_to_the_first_as_in_torch():
    x = torch.tensor([[1.0, 2.0], [2.0, 2.0]])[None, None].repeat(3, 1, 1, 1)
    x[1, 0] = torch.tensor([[0.0, 0.0], [0.0, -1.0]])
    x[2, 0] = torch.tensor([[0.0, 0.5], [1.0, 1.0]])
    gradients = []
    for function in network.pool_norm_gelu, fast.pool_norm_gelu:
        some = x.clone().requires_grad_()
        function(some, network.batch_norm(1, AIRBENCH94)).square().sum().backward()
        gradients.append(some.grad)
    torch.testing.assert_close(*gradients)


def test_where_the_kernels_do_not_apply_the_plain_functions_do(generator):
    x = torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last)
    made = norm(3, generator)
    trained = norm(3, generator)
    trained.weight.requires_grad_(True)
    for quick in fast.norm_gelu, fast.pool_norm_gelu:
        assert quick(x, made).grad_fn.name() == "_NormGeluBackward"
        assert quick(x.contiguous(memory_format=torch.contiguous_format), made).grad_fn.name() == "GeluBackward0"
        assert quick(x.double(), norm(3, generator).double()).grad_fn.name() == "GeluBackward0"
        assert quick(x, trained).grad_fn.name() == "GeluBackward0"
        assert quick(x, copy.deepcopy(made).eval()).grad_fn.name() == "GeluBackward0"  # its gradient is another


def test_without_a_compiler_all_runs_through_torch(monkeypatch, tmp_path, generator):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path)
    for compiler in "no-such-compiler", "false":
        monkeypatch.setenv("CC", compiler)
        kernels_module.kernels.cache_clear()
        assert kernels_module.kernels(torch.float32) is None
        x = torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last)
        assert fast.norm_gelu(x, norm(3, generator)).grad_fn.name() == "GeluBackward0"
    assert list(tmp_path.iterdir()) == []
    monkeypatch.undo()
    kernels_module.kernels.cache_clear()


def test_a_library_is_compiled_once_for_each_processor(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path / "new")
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    (made,) = (tmp_path / "new").iterdir()
    written = made.stat().st_mtime_ns
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    assert made.stat().st_mtime_ns == written
    monkeypatch.setattr(kernels_module, "cpu_name", lambda: platform.machine() + " of another kind")
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    assert len(list((tmp_path / "new").iterdir())) == 2
    kernels_module.kernels.cache_clear()
