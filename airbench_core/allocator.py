"""Keep freed memory in the process while a CPU trains.

By default glibc hands large blocks back to the system when they are freed, and the system clears fresh pages for the
next: a quarter of a step's time (benchmarks/README.md). Other C libraries are left alone, and so is a process whose
user has set malloc's options.
"""

import ctypes
import os
import platform
import threading
from collections.abc import Iterator
from contextlib import contextmanager

# From glibc's malloc.h: (option, value while training, glibc's default).
_OPTIONS = (
    (-4, 0, 65_536),  # M_MMAP_MAX: no block gets a mapping of its own, which would be undone when it is freed
    (-1, 2**31 - 1, 128 * 1024),  # M_TRIM_THRESHOLD: the heap does not shrink
    (-8, 1, 0),  # M_ARENA_MAX: new threads share the one heap that can grow to any size
)

_lock = threading.Lock()
_inside = 0  # blocks entered and not left, in all threads: malloc's options are the process's


@contextmanager
def freed_memory_kept() -> Iterator[None]:
    """Within this block freed memory stays with the process; at its end what is free goes back to the system.

    The options are set with the first block that is entered, and glibc's defaults with the last that is left.
    """
    global _inside
    own = any(name.startswith("MALLOC_") or name == "GLIBC_TUNABLES" for name in os.environ)
    if own or platform.libc_ver()[0] != "glibc":
        yield
        return
    libc = ctypes.CDLL(None)
    with _lock:
        _inside += 1
        if _inside == 1:
            for option, training, _ in _OPTIONS:
                libc.mallopt(option, training)
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if _inside == 0:
                for option, _, default in _OPTIONS:
                    libc.mallopt(option, default)
                libc.malloc_trim(0)
