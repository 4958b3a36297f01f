import platform

import pytest
import torch

from airbench_core import allocator
from airbench_core.allocator import freed_memory_kept

resource = pytest.importorskip("resource")
pytestmark = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc is told to keep freed memory")

PAGES = 64 * 2**20 // resource.getpagesize()


def pages_cleared() -> int:
    """Pages that the system clears for 64 MiB that are written and freed."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(16 * 2**20)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.fixture(autouse=True)
def no_options_of_the_user(monkeypatch):
    for name in ("GLIBC_TUNABLES", "MALLOC_ARENA_MAX", "MALLOC_TRIM_THRESHOLD_"):
        monkeypatch.delenv(name, raising=False)


def test_freed_memory_is_used_again_within_the_block_and_given_back_after_it():
    with freed_memory_kept():
        cleared = [pages_cleared() for _ in range(30)]
    assert sum(cleared) < 15 * PAGES  # not all: the heap finds its shape in the first few
    assert pages_cleared() > PAGES / 600  # small pages, or huge ones of 2 MiB


def test_the_last_block_that_is_left_puts_the_options_back(monkeypatch):
    calls = []

    class Libc:
        def mallopt(self, option, value):
            calls.append((option, value))

        def malloc_trim(self, _):
            calls.append("trim")

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: Libc())
    with freed_memory_kept():
        entered = list(calls)
        with freed_memory_kept():
            pass
        assert calls == entered
    assert calls[len(entered) :] == [(-4, 65_536), (-1, 128 * 1024), (-8, 0), "trim"]


def test_options_that_the_user_has_set_are_left_alone(monkeypatch):
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")
    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _: pytest.fail("malloc was touched"))
    with freed_memory_kept():
        pass
