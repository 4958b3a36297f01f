import torch
import torch.nn.functional as F

from airbench_core.fast.pooling import max_pool2d


def test_what_is_compiled_is_pytorchs_to_the_bit_with_its_gradient(generator):
    """In float16 many pixels are equal, and of those only the first gets the gradient."""
    traced = []
    pool = torch.compile(lambda x, n: max_pool2d(x, n), backend=lambda g, _: traced.append(g.code) or g, dynamic=False)
    for size, side in (2, 31), (2, 8), (3, 3), (3, 5):
        x = torch.randint(-2, 3, (16, 5, side, side), generator=generator).half() * -1  # -0 among them
        x[0, 0, 1, 1], x[1, 1] = torch.nan, -torch.inf
        x = x.contiguous(memory_format=torch.channels_last)
        inputs = x.clone().requires_grad_(), x.clone().requires_grad_()
        results = F.max_pool2d(inputs[0], size), pool(inputs[1], size)
        assert torch.equal(*(result.view(torch.int16) for result in results))
        gradient = torch.randn(results[0].shape, generator=generator).half()
        for result in results:
            result.backward(gradient)
        assert torch.equal(inputs[0].grad, inputs[1].grad)
    assert len(traced) == 4
    assert not any("max_pool2d" in code for code in traced)


def test_what_is_not_compiled_is_pytorchs_own(generator):
    x = torch.randn(2, 3, 7, 7, generator=generator, requires_grad=True)
    assert max_pool2d(x, 2).grad_fn.name() == F.max_pool2d(x, 2).grad_fn.name()
