"""torch.compile: the same computation, as fewer and larger kernels; on a GPU see also fast/whole_step.py."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FunctionType, MethodType

import torch

from airbench_core.errors import AirbenchError

# For a GPU, where most layers wait for memory: what a few operations give is computed again by each that reads it,
# rather than stored and read; three tenths of a step's bytes (benchmarks/README.md). Inductor's own: 4, 30, 8.
OPTIONS = {"realize_reads_threshold": 16, "realize_opcount_threshold": 80, "realize_acc_reads_threshold": 16}


def compiled(function: Callable, device: torch.device) -> Callable:
    """torch.compile for a function, or one object's method, apart from all others.

    Dynamo counts what it compiled per code object and gives up after a few with only a warning.
    So each call of this makes a code object of its own, and giving up is an error.
    """
    of, function = getattr(function, "__self__", None), getattr(function, "__func__", function)
    code, name = function.__code__.replace(), function.__name__
    own = FunctionType(code, function.__globals__, name, function.__defaults__)
    bound = MethodType(own, of) if of else own
    options = OPTIONS if device.type == "cuda" else None
    with compile_errors():
        return torch.compile(bound, dynamic=False, fullgraph=True, options=options)


@contextmanager
def compile_errors() -> Iterator[None]:
    """Turns a failure of torch.compile (no C++ compiler, a Python that it lacks) into an error with a remedy."""
    try:
        yield
    except RuntimeError as error:
        if not type(error).__module__.startswith("torch._") and "compile" not in str(error):
            raise
        reason = str(error).strip().splitlines()[0]
        raise AirbenchError(f"torch.compile does not work here ({reason}): run without compile") from error
