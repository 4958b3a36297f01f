import pytest
import torch

from airbench_core.fast.kernels import kernels


@pytest.fixture
def compiler(unavailable) -> None:
    """For tests of what is written in C."""
    if kernels(torch.float32) is None:
        unavailable("compiler", "there is no C compiler here")


@pytest.fixture(params=[1, 3])
def threads(request):
    before = torch.get_num_threads()
    torch.set_num_threads(request.param)
    yield request.param
    torch.set_num_threads(before)
