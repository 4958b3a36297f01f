import pytest
import torch

from airbench_core.tricks.muon import Muon, newton_schulz


@pytest.mark.parametrize("shape", [(16, 16), (8, 40), (40, 8)])
def test_three_steps_are_those_of_torch_optim_muon(shape, generator):
    """torch's version averages its momentum, ours sums it: the same direction, which is all that Newton-Schulz sees."""
    ours, theirs = (torch.nn.Parameter(torch.randn(shape, generator=generator.manual_seed(3))) for _ in range(2))
    start = ours.detach().clone()
    stretch = max(1, shape[0] / shape[1]) ** 0.5  # torch takes larger steps on tall matrices
    mine = Muon([ours], lr=0.1, momentum=0.6, steps=5, rescale=False)
    torchs = torch.optim.Muon([theirs], lr=0.1 / stretch, weight_decay=0, momentum=0.6, nesterov=True, ns_steps=5)
    for _ in range(3):
        gradient = torch.randn(shape, generator=generator)
        for parameter, optimizer in ((ours, mine), (theirs, torchs)):
            parameter.grad = gradient.clone()
            optimizer.step()
    moved, expected = (ours.detach() - start).flatten(), (theirs.detach() - start).flatten()
    assert torch.cosine_similarity(moved, expected, dim=0) > 0.999  # both compute in bfloat16
    assert moved.norm().item() == pytest.approx(expected.norm().item(), rel=0.01)


def test_filters_of_one_shape_are_orthogonalized_each_for_itself(generator):
    def banks():
        return [torch.nn.Parameter(torch.randn(8, 4, 3, 3, generator=generator.manual_seed(i))) for i in range(3)]

    def steps(parameters, optimizers):
        for step in range(3):
            for i, parameter in enumerate(parameters):
                parameter.grad = torch.randn(8, 4, 3, 3, generator=generator.manual_seed(10 * step + i)) * 10.0**i
            for optimizer in optimizers:
                optimizer.step()

    together, apart = banks(), banks()
    steps(together, [Muon(together, lr=0.2, momentum=0.6)])
    steps(apart, [Muon([parameter], lr=0.2, momentum=0.6) for parameter in apart])
    for a, b in zip(together, apart, strict=True):
        torch.testing.assert_close(a, b, atol=2e-2, rtol=0)


def test_a_filter_bank_is_treated_as_the_matrix_of_its_flattened_filters(generator):
    bank = torch.nn.Parameter(torch.randn(8, 4, 3, 3, generator=generator).to(memory_format=torch.channels_last))
    matrix = torch.nn.Parameter(bank.detach().flatten(1).clone())
    bank.grad = torch.randn(8, 4, 3, 3, generator=generator).to(memory_format=torch.channels_last)
    matrix.grad = bank.grad.flatten(1).clone()
    for parameter in (bank, matrix):
        Muon([parameter], lr=0.2, momentum=0.6).step()
    torch.testing.assert_close(bank.flatten(1), matrix)


def test_each_bank_has_norm_sqrt_out_before_its_step(generator):
    bank = torch.nn.Parameter(7 * torch.randn(16, 4, 3, 3, generator=generator))
    bank.grad = torch.randn(bank.shape, generator=generator)
    direction = bank.detach() / bank.detach().norm()
    Muon([bank], lr=1e-9, momentum=0.6).step()
    torch.testing.assert_close(bank.detach(), 4 * direction)


@pytest.mark.parametrize(("steps", "low", "high"), [(3, 0.25, 1.25), (5, 0.6, 1.25)])
@pytest.mark.parametrize("shape", [(64, 64), (64, 576), (576, 64)])
def test_singular_values_come_into_a_band_around_1(shape, steps, low, high, generator):
    matrices = torch.randn(4, *shape, generator=generator)
    if shape[0] == shape[1]:
        # The smallest values of a square one are too small to be reached: cut them off first.
        u, s, v = torch.linalg.svd(matrices)
        matrices = u @ torch.diag_embed(s.clamp(min=0.1 * s.max())) @ v
    values = torch.linalg.svdvals(newton_schulz(matrices, steps).float())
    assert low < values.min()
    assert values.max() < high


def test_singular_vectors_stay(generator):
    matrix = torch.randn(1, 16, 40, generator=generator)
    result = newton_schulz(matrix, 5).float()
    u, _, v = torch.linalg.svd(matrix, full_matrices=False)
    inner = u.mT @ result @ v.mT
    off = inner - torch.diag_embed(torch.diagonal(inner, dim1=1, dim2=2))
    assert off.abs().max() < 0.05


def test_newton_schulz_of_the_transpose_and_of_any_multiple(generator):
    matrices = torch.randn(2, 8, 40, generator=generator)
    result = newton_schulz(matrices, 3)
    assert result.dtype == torch.bfloat16
    assert torch.equal(newton_schulz(matrices.mT, 3), result.mT)
    torch.testing.assert_close(newton_schulz(1e4 * matrices, 3), result, atol=0.02, rtol=0)
    assert newton_schulz(torch.zeros(1, 4, 4), 3).isfinite().all()
