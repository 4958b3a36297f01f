"""Limits that the process of a student's code puts upon itself, for good, before any of that code runs.

Memory, the size of a file and seconds of CPU everywhere but on Windows. On Linux with Landlock (5.13 or newer, no
rights needed) also: it writes nowhere but into its own folder, reads the programs and the data but neither tests nor
other submissions, and reaches no network and no other process. Nothing here imports more than Python's own library: it
runs as a script, so that no thread exists yet when the limits are set.

    python limits.py '{"write": ["/tmp/one"], "read": [...], ...}' MODULE ARGUMENT...
"""

import ctypes
import json
import os
import runpy
import sys

# The numbers are the kernel's (include/uapi/linux/landlock.h); the system calls have the same on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
IOCTL_DEV = 1 << 15
ALL_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NETWORK, SCOPES = 0b11, 0b11  # bind and connect by TCP; abstract sockets and signals
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | IOCTL_DEV
NO_NEW_PRIVILEGES = 38


class Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def landlock_version() -> int:
    """Of Landlock in this system's kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def confine(*, write: list[str], read: list[str], lists: list[str]) -> None:
    """Let this thread and all that it starts write into `write`, read `read`, see the names in `lists`, no more.

    Folders with all that is in them, or files; what does not exist is left out. Raises OSError.
    """
    version = landlock_version()
    if not version:
        return
    handled = ALL_OF_VERSION[max(known for known in ALL_OF_VERSION if known <= version)]
    rules = Ruleset(handled, NETWORK if version >= 4 else 0, SCOPES if version >= 6 else 0)
    size = 8 if version < 4 else 16 if version < 6 else 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    for paths, allowed in ((write, handled), (read, EXECUTE | READ_FILE | READ_DIR), (lists, READ_DIR)):
        for path in paths:
            if os.path.exists(path):
                _allow(ruleset, path, allowed & handled)
    if ctypes.CDLL(None, use_errno=True).prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "no new privileges")
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


def limit(*, memory: int, file_size: int, cpu_seconds: int) -> None:
    """Bytes of memory that are the process's own, bytes of a file, seconds of CPU. Windows has no such limits."""
    if sys.platform == "win32":
        return
    import resource

    for what, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, file_size), (resource.RLIMIT_CORE, 0)):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))


def _allow(ruleset: int, path: str, allowed: int) -> None:
    opened = os.open(path, os.O_PATH | os.O_CLOEXEC)
    try:
        rule = Beneath(allowed if os.path.isdir(path) else allowed & OF_A_FILE, opened)
        _call(ADD_RULE, ruleset, 1, ctypes.byref(rule), 0)
    finally:
        os.close(opened)


def _call(number: int, *arguments: object) -> int:
    result = ctypes.CDLL(None, use_errno=True).syscall(number, *arguments)
    if result < 0:
        raise OSError(ctypes.get_errno(), f"Landlock: {os.strerror(ctypes.get_errno())}")
    return result


if __name__ == "__main__":
    asked = json.loads(sys.argv[1])
    limit(**asked["limits"])
    confine(**asked["files"])
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
