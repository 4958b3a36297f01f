import copy
import os
import platform
import stat
from dataclasses import replace

import pytest
import torch

from airbench_core import AIRBENCH94, network
from airbench_core.fast import kernels as kernels_module
from airbench_core.fast import norm_gelu as fast

PRECISION = {torch.float32: 1e-5, torch.bfloat16: 1e-2}  # of a tensor's norm
TWINS = [(network.norm_gelu, fast.norm_gelu), (network.pool_norm_gelu, fast.pool_norm_gelu)]


pytestmark = pytest.mark.usefixtures("compiler")


def norm(channels: int, generator) -> torch.nn.BatchNorm2d:
    made = network.batch_norm(channels, AIRBENCH94)
    made.weight.data = torch.rand(channels, generator=generator) + 0.5
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
        assert quick(x[:1].contiguous(memory_format=torch.channels_last), made).grad_fn.name() == "GeluBackward0"
        assert quick(x, copy.deepcopy(made).eval()).grad_fn.name() == "GeluBackward0"  # its gradient is another


@pytest.mark.parametrize("mean", [100, -3000])
def test_a_mean_far_from_zero_does_not_cost_the_digits_of_the_variance(mean, generator):
    x = (torch.randn(20, 3, 8, 8, generator=generator) + mean).contiguous(memory_format=torch.channels_last)
    for plain, quick in TWINS:
        a = norm(3, generator)
        a.running_mean.fill_(mean + 5)  # after some steps: near the mean, not at it
        exact, b = copy.deepcopy(a).double(), copy.deepcopy(a)
        inputs = x.double().requires_grad_(), x.clone().requires_grad_()
        expected, result = plain(inputs[0], exact), quick(inputs[1], b)
        gradient = torch.randn(expected.shape, generator=generator)
        expected.backward(gradient.double())
        result.backward(gradient)
        assert far(result, expected) < 1e-3
        assert far(inputs[1].grad, inputs[0].grad) < 1e-3


def test_a_norm_that_the_kernels_do_not_know_is_left_to_torch(generator):
    x = torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last)

    def changed(**values) -> torch.nn.BatchNorm2d:
        made = norm(3, generator)
        for name, value in values.items():
            setattr(made, name, value)
        return made

    seen = []
    hooked = norm(3, generator)
    hooked.register_forward_hook(lambda *_: seen.append(1))
    tracks_nothing = torch.nn.BatchNorm2d(3, track_running_stats=False).requires_grad_(False)
    others = [changed(momentum=None), hooked, tracks_nothing, torch.nn.Identity(), torch.nn.GroupNorm(3, 3)]
    for other in others:
        for plain, quick in TWINS:
            assert torch.equal(quick(x, copy.deepcopy(other)), plain(x, copy.deepcopy(other)))
    assert seen
    with pytest.raises(RuntimeError):  # as torch says: 4 channels of statistics for images of 3
        fast.norm_gelu(x, norm(4, generator))
    half = norm(3, generator).bfloat16()
    assert half.running_mean.dtype == torch.bfloat16
    y = fast.norm_gelu(x.bfloat16(), half)
    assert y.grad_fn.name() == "GeluBackward0"


def test_another_default_dtype_changes_nothing(generator):
    x = torch.randn(4, 3, 6, 6, generator=generator).contiguous(memory_format=torch.channels_last)
    made = norm(3, generator)
    results = []
    for dtype in torch.float32, torch.bfloat16, torch.float64:
        torch.set_default_dtype(dtype)
        try:
            some = x.clone().requires_grad_()
            fast.pool_norm_gelu(some, copy.deepcopy(made)).float().square().sum().backward()
            results.append(some.grad)
        finally:
            torch.set_default_dtype(torch.float32)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_without_a_compiler_all_runs_through_torch(monkeypatch, tmp_path, generator):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path)
    for compiler in "no-such-compiler", "false":
        monkeypatch.setenv("CC", compiler)
        kernels_module.kernels.cache_clear()
        assert kernels_module.kernels(torch.float32) is None
        x = torch.randn(2, 3, 4, 4, generator=generator).contiguous(memory_format=torch.channels_last)
        assert fast.norm_gelu(x, norm(3, generator)).grad_fn.name() == "GeluBackward0"
    assert list(tmp_path.rglob("*.so")) == []
    monkeypatch.undo()
    kernels_module.kernels.cache_clear()


@pytest.mark.parametrize("error", [RuntimeError("no home"), PermissionError("read-only")])
def test_without_a_place_for_the_library_all_runs_through_torch(error, monkeypatch):
    def folder():
        raise error

    monkeypatch.setattr(kernels_module, "cache_folder", folder)
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is None
    kernels_module.kernels.cache_clear()


def test_a_folder_that_someone_else_made_is_not_used(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path)
    monkeypatch.setattr(kernels_module.os, "getuid", lambda: -1)
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is None
    kernels_module.kernels.cache_clear()


def test_what_others_may_write_what_is_cut_and_what_was_changed_is_compiled_anew(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path)
    compiler, folder, before = kernels_module._compiler(), tmp_path / "kernels", os.umask(0)
    try:
        library = kernels_module._library(compiler, [])
    finally:
        os.umask(before)
    assert [stat.S_IMODE(path.stat().st_mode) for path in (library, folder)] == [0o700, 0o700]
    whole = library.read_bytes()
    for content, mode in (b"", 0o700), (whole[:5000], 0o700), (b"other" + whole[5:], 0o700), (whole, 0o722):
        library.write_bytes(content)
        library.chmod(mode)
        marked = library.stat().st_ino
        assert kernels_module._library(compiler, []) == library
        assert library.stat().st_ino != marked
        assert library.read_bytes() == whole
        assert stat.S_IMODE(library.stat().st_mode) == 0o700
    folder.chmod(0o777)
    with pytest.raises(PermissionError, match="can be written by others"):
        kernels_module._library(compiler, [])


def test_a_library_is_compiled_once_for_each_processor(monkeypatch, tmp_path):
    monkeypatch.setattr(kernels_module, "cache_folder", lambda: tmp_path / "new")
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    (made,) = (tmp_path / "new" / "kernels").iterdir()
    written = made.stat().st_mtime_ns
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    assert made.stat().st_mtime_ns == written
    processor = kernels_module._processor()
    assert platform.machine() in processor
    monkeypatch.setattr(kernels_module, "_processor", lambda: processor + " avx1024")
    kernels_module.kernels.cache_clear()
    assert kernels_module.kernels(torch.float32) is not None
    assert len(list((tmp_path / "new" / "kernels").iterdir())) == 2
    kernels_module.kernels.cache_clear()
