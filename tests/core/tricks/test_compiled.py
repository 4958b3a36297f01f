import functools

import torch

from airbench_core.tricks.compiled import compiled


def test_each_object_is_compiled_apart_and_none_is_given_up(monkeypatch):
    """Dynamo runs a code object eagerly, in silence, once it has compiled it for eight objects."""
    from torch._dynamo.testing import CompileCounter

    class Scaler:
        def __init__(self, n):
            self.n = n

        def scale(self, x):
            return x * self.n

    counter = CompileCounter()
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend=counter))
    for n in range(1, 21):
        scale = compiled(Scaler(n).scale, torch.device("cpu"))
        assert scale(torch.ones(n)).sum() == n * n
        scale(torch.ones(n))
    assert counter.frame_count == 20
