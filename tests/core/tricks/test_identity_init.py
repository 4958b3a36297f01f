import pytest
import torch
import torch.nn.functional as F

from airbench_core.tricks.identity_init import identity_init_


@pytest.mark.parametrize("shape", [(16, 24, 3, 3), (24, 24, 3, 3), (64, 16, 3, 3)])
def test_identity_layer_passes_its_input(shape, generator):
    weight = torch.randn(shape, generator=generator)
    before = weight.clone()
    identity_init_(weight)
    n = min(shape[:2])
    x = torch.randn(2, shape[1], 7, 7, generator=generator)
    torch.testing.assert_close(F.conv2d(x, weight, padding=1)[:, :n], x[:, :n])
    assert torch.equal(weight[n:], before[n:])
