"""What submitted code may do on this machine: how its process is started, and which of its limits hold here."""

import itertools
import json
import os
import site
import subprocess
import sys
import sysconfig
import tempfile
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import airbench_core
import airbench_lab
from airbench_core import UsageError
from airbench_core.cache import cache_folder
from airbench_lab.grading.confinement import landlock

SCRIPT = Path(__file__).with_name("confinement")
SYSTEM = ("/usr", "/bin", "/lib", "/lib64", "/etc", "/proc", "/sys", "/dev", "/nix", "/opt/nvidia", "/opt/rocm")
GPUS = ("/dev/kfd", "/dev/dri", *map(str, Path("/dev").glob("nvidia*")))  # their drivers are spoken to by files
GIGABYTE = 1 << 30
_NUMBER = itertools.count(os.getpid())


def command(
    folder: Path, module: str, pipes: Sequence[int] = (), *, memory: float, disk: float, cpu_seconds: float
) -> list[str]:
    """What starts a module, given the numbers of its pipes, in the empty `folder`, with all limits that hold here.

    memory, disk: in GB.
    """
    return _command(folder, module, pipes, memory, disk, cpu_seconds, apart=namespaces() == "")


def _command(
    folder: Path, module: str, pipes: Sequence[int], memory: float, disk: float, cpu_seconds: float, *, apart: bool
) -> list[str]:
    root = os.geteuid() == 0
    user = 61_184 + next(_NUMBER) % 4_000 if root else os.geteuid()  # of the numbers that nobody's account has
    if root and not apart:
        os.chown(folder, user, user)
    limits = {
        "memory": int(memory * GIGABYTE),
        "file_size": int(disk * GIGABYTE),
        "cpu_seconds": int(cpu_seconds),
        "processes": _tasks_of(user)
        + 256
        + 8 * (os.cpu_count() or 1),  # threads, too: PyTorch starts one for each core
    }
    asked = {"namespaces": apart, "user": user, "limits": limits, "folder": str(folder), "devices": GPUS}
    asked |= {"grader": os.getpid(), "disk": int(disk * GIGABYTE), "read": readable(), "lists": listed()}
    return [sys.executable, "-s", str(SCRIPT), json.dumps(asked), module, *map(str, pipes)]


@cache
def namespaces() -> str:
    """Nothing where submissions are kept in namespaces of their own, else why they are not."""
    if sys.platform != "linux":
        return "Linux alone has them"
    return _tried("keyword", apart=True)


def _tried(module: str, *, apart: bool) -> str:
    """Nothing if a module can be run so, else the last line of what it says."""
    with tempfile.TemporaryDirectory(prefix="airbench-submission-") as folder:
        tried = _command(Path(folder), module, (), 8, 1, 60, apart=apart)
        done = subprocess.run(tried, capture_output=True, text=True, check=False, env=os.environ | {"HOME": folder})
    return "" if done.returncode == 0 else (done.stderr.strip().splitlines() or ["no reason was given"])[-1]


def holds() -> dict[str, bool]:
    """Each limit, in words, and whether it holds here. Raises UsageError where none may run, or only as root."""
    if os.name != "posix":
        raise UsageError("submissions are graded on Linux and macOS, not on this system: use WSL, or another machine")
    apart, version, linux = namespaces() == "", landlock.version(), sys.platform == "linux"
    if os.geteuid() == 0 and not apart and (why := _tried("torch.version", apart=False)):
        raise UsageError(
            f"submitted code never runs as root, and no other account can run this Python ({why}): grade from an "
            "ordinary account, or with a Python and a project that all may read"
        )
    return {
        "it is not root": True,
        "seconds, memory and the size of a file have an end": True,
        "it reads programs and data, neither tests nor other work": apart or version > 0,
        "it writes into its own folder alone": apart or version > 0,
        "it changes no rights and dates elsewhere": apart,
        "it reaches nobody by TCP": apart or version >= 4,
        "it reaches nobody by UDP, Unix sockets or raw ones": apart,
        "it sees no other process": apart,
        "it signals no other process": apart or version >= 6,
        "all that it starts ends with it": linux,
        "its processes have an end": linux,
        "what it writes has an end in all": apart,
    }


def readable() -> list[str]:
    """What submissions may read: programs, libraries, the data and this project's code, not its notebooks and tests."""
    python = [sys.prefix, sys.base_prefix, sys.exec_prefix, *sysconfig.get_paths().values(), *site.getsitepackages()]
    python += [site.getusersitepackages(), str(Path(sys.executable).resolve().parent)]
    code = [str(Path(module.__file__).parent) for module in (airbench_core, airbench_lab)]
    data = [str(cache_folder()), *filter(None, [os.environ.get("AIRBENCH_DATA")])]
    return list(dict.fromkeys([*SYSTEM, *python, *code, *(str(Path(path).resolve()) for path in data)]))


def listed() -> list[str]:
    """Where Python looks for this project: names alone."""
    return list(dict.fromkeys(str(Path(module.__file__).parents[1]) for module in (airbench_core, airbench_lab)))


def _tasks_of(user: int) -> int:
    """Threads that a user has already, which count for the limit, too."""
    found = 0
    for about in Path("/proc").glob("[0-9]*"):
        try:
            found += len(os.listdir(about / "task")) if about.stat().st_uid == user else 0
        except OSError:  # it has ended
            continue
    return found
