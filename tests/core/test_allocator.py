import platform
import resource

import pytest
import torch

from airbench_core.allocator import freed_memory_kept

PAGES = 64 * 2**20 // resource.getpagesize()


def pages_cleared() -> int:
    """Pages that the system clears for 64 MiB that are written and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")
def test_freed_memory_is_used_again_within_the_block_and_given_back_after_it():
    with freed_memory_kept():
        cleared = [pages_cleared() for _ in range(30)]
    assert sum(cleared) < 15 * PAGES  # not all: the heap finds its shape in the first few
    assert pages_cleared() > PAGES / 600  # small pages, or huge ones of 2 MiB
