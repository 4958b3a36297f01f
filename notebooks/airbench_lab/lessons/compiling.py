"""One function compiled by torch.compile, with what that cost; where it cannot be, the function as it is, and why."""

import logging
import math
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch
from torch import Tensor

from airbench_core.errors import AirbenchError
from airbench_core.tricks.compiled import compile_errors

CACHE = "TORCHINDUCTOR_CACHE_DIR"


@dataclass(frozen=True)
class Compiled:
    """function: compiled, or as it was where `why` says why not. seconds: of the first call, which compiles, else NaN.

    kernels: how many loops over memory the compiler wrote. code: what it wrote, C++ for a CPU, Triton for a GPU.
    """

    function: Callable
    seconds: float = math.nan
    kernels: int = 0
    code: str = ""
    why: str = ""

    def __bool__(self) -> bool:
        return not self.why


def compile_first_call(function: Callable, *arguments: Tensor) -> Compiled:
    """`function` compiled whole, for arguments of just these shapes, by a first call without gradients."""
    from torch._inductor import metrics  # here: slow to import, and part of what compiling costs in a process
    from torch._inductor.utils import run_and_get_code

    logging.getLogger("torch.utils.cpp_extension").setLevel(logging.ERROR)  # that a CPU has no CUDA is no news
    before = metrics.generated_kernel_count
    started = time.perf_counter()
    try:
        with compile_errors(), torch.no_grad():
            quick = torch.compile(function, dynamic=False, fullgraph=True)
            _, code = run_and_get_code(quick, *arguments)
    except AirbenchError as error:
        return Compiled(function, why=str(error))
    seconds = time.perf_counter() - started
    return Compiled(quick, seconds, metrics.generated_kernel_count - before, "\n".join(code))


@contextmanager
def nothing_kept() -> Iterator[None]:
    """Within it the compiler finds nothing that it kept on disk from earlier: as on a new machine."""
    before = os.environ.get(CACHE)
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        os.environ[CACHE] = folder
        try:
            yield
        finally:
            if before is None:
                del os.environ[CACHE]
            else:
                os.environ[CACHE] = before
