"""kernels.c, compiled by this machine's C compiler when it is first needed, and kept in the user's cache folder.

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
from functools import cache
from pathlib import Path

import torch

from airbench_core.data.downloads import cache_folder
from airbench_core.devices import cpu_name

SOURCE = Path(__file__).with_name("kernels.c")
FLAGS = ("-O3", "-fopenmp-simd", "-fno-math-errno", "-fno-trapping-math", "-fPIC", "-shared")
FOR_THIS_CPU = (["-march=native"], ["-mcpu=native"], [])  # the first that the compiler takes
DEFINES = {torch.bfloat16: ["-DBFLOAT16"], torch.float32: []}


@cache
def kernels(dtype: torch.dtype) -> ctypes.CDLL | None:
    """The functions of kernels.c for tensors of `dtype`; None for other dtypes and where they cannot be compiled."""
    if dtype not in DEFINES or (compiler := _compiler()) is None:
        return None
    try:
        library = _library(compiler, DEFINES[dtype])
        if library.stat().st_uid != os.getuid():
            return None  # what others can write into a shared folder is not run
        return ctypes.CDLL(str(library))
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
    """The compiled library; its name says what it was made of and for, since a home folder may serve many machines."""
    made_of = [SOURCE.read_text(), *compiler, *FLAGS, *defines, _processor()]
    digest = hashlib.sha256("\n".join(made_of).encode()).hexdigest()[:16]
    library = cache_folder() / f"kernels-{digest}.so"
    if not library.exists():
        library.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=library.parent) as folder:
            made = Path(folder) / library.name
            for cpu in FOR_THIS_CPU:
                command = [*compiler, *FLAGS, *cpu, *defines, str(SOURCE), "-o", str(made), "-lm"]
                done = subprocess.run(command, capture_output=True, timeout=60)
                if done.returncode == 0:
                    break
            os.replace(made, library)  # at once: another process may be looking for it
    return library


def _processor() -> str:
    """What this processor is and can do: names alone, such as a virtual machine's, may stand for several."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        lines = []
    able = next((line for line in lines if line.startswith(("flags", "Features"))), "")
    return f"{platform.machine()} {cpu_name()} {able}"


def call(function: Callable, *arguments: torch.Tensor | int | float | None) -> None:
    """Call a kernel with tensors (None: a null pointer), of which it gets the memory, and numbers."""
    function(*map(_argument, arguments))


def _argument(value: torch.Tensor | int | float | None) -> object:
    if isinstance(value, torch.Tensor):
        return ctypes.c_void_p(value.data_ptr())
    return value if value is None else ctypes.c_double(value) if isinstance(value, float) else ctypes.c_long(value)
