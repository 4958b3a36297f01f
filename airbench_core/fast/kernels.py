"""kernels.c and winograd.c, compiled by this machine's C compiler when needed, and kept in the user's cache folder.

Where there is no compiler, `kernels` gives None and everything runs through PyTorch's own functions.
"""

import ctypes
import hashlib
import os
import platform
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path

import torch
from torch import Tensor

from airbench_core.cache import cache_folder
from airbench_core.devices import cpu_name

SOURCES = [Path(__file__).with_name(name) for name in ("kernels.c", "winograd.c")]
FLAGS = ("-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
FOR_THIS_CPU = (["-march=native"], ["-mcpu=native"], [])  # the first that the compiler takes
DEFINES = {torch.bfloat16: ["-DBFLOAT16"], torch.float32: []}


@cache
def kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of kernels.c for tensors of `dtype`; None for other dtypes and where they cannot be compiled."""
    if dtype not in DEFINES or (compiler := _compiler()) is None:
        return None
    try:
        return ctypes.CDLL(str(_library(compiler, DEFINES[dtype])))
    except (OSError, RuntimeError, subprocess.SubprocessError):  # RuntimeError: there is no home folder
        return None


def _compiler() -> list[str] | None:
    if sys.platform == "win32":
        return None
    if own := os.environ.get("CC"):
        return own.split()
    if sys.platform == "darwin" and subprocess.run(["xcode-select", "-p"], capture_output=True).returncode:
        return None  # its cc would only ask whether to install one
    return next(([name] for name in ("cc", "gcc", "clang") if shutil.which(name)), None)


def _library(compiler: list[str], defines: list[str]) -> Path:
    """The compiled library; its name says what it was made of and for, since a home folder may serve many machines.

    What was cut, changed or made by somebody else is compiled anew. Raises OSError where the folder is somebody else's.
    """
    made_of = [*(source.read_text() for source in SOURCES), *compiler, *FLAGS, *defines, _processor()]
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
    folder = cache_folder() / "kernels"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not _is_mine(folder):
        raise PermissionError(f"{folder} can be written by others")
    for library in folder.glob(f"{digest}-*.so"):
        if _is_mine(library) and library.name == _name(digest, library):
            return library
    with tempfile.TemporaryDirectory(dir=folder) as part:
        made = Path(part) / "kernels.so"
        for cpu in FOR_THIS_CPU:
            command = [*compiler, *FLAGS, *cpu, *defines, *map(str, SOURCES), "-o", str(made), "-lm"]
            done = subprocess.run(command, capture_output=True, timeout=60)
            if done.returncode == 0:
                break
        with open(made, "rb") as file:
            os.fsync(file.fileno())
            os.fchmod(file.fileno(), 0o700)
        library = folder / _name(digest, made)
        os.replace(made, library)  # at once: another process may be looking for it
    return library


def _is_mine(path: Path) -> bool:
    about = path.lstat()
    return about.st_uid == os.getuid() and not about.st_mode & 0o022


def _name(digest: str, library: Path) -> str:
    return f"{digest}-{hashlib.sha256(library.read_bytes()).hexdigest()[:16]}.so"


def _processor() -> str:
    """What this processor is and can do: names alone, such as a virtual machine's, may stand for several."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if os.path.exists("/proc/cpuinfo") else []
    able = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {cpu_name()} {able}"


def call(function: Callable, *arguments: Tensor | int | float | None) -> None:
    """Call a kernel with tensors (None: a null pointer), of which it gets the memory, and numbers."""
    function(*map(_argument, arguments))


def _argument(value: Tensor | int | float | None) -> object:
    if isinstance(value, Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return value if value is None else ctypes.c_double(value) if isinstance(value, float) else ctypes.c_long(value)


def run(
    function: Callable, threads: int, images: list[Tensor], shared: list[Tensor], work: Tensor | None, *sizes: int
) -> None:
    """function(*images, *shared, work, n, *sizes) on all n images or, in each of some threads, on a part of them."""
    n = len(images[0])

    def part(k: int) -> None:
        # Even a slice that is the whole costs time.
        some = images if threads == 1 else [tensor[n * k // threads : n * (k + 1) // threads] for tensor in images]
        sums = [] if work is None else [work[k]]
        call(function, *some, *shared, *sums, len(some[0]), *sizes)

    if threads == 1:
        part(0)
    else:
        list(_pool(threads).map(part, range(threads)))


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, thread_name_prefix="airbench-kernels")


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_pool.cache_clear)  # a forked process has none of the threads
