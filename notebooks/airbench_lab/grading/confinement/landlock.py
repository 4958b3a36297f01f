"""Linux's Landlock (5.13 or newer, no rights needed): a process writes, reads and lists no more than it is told.

From 6.7 on it reaches nobody by TCP, from 6.12 on it signals no process outside. Python's own library alone.
"""

import ctypes
import os
import sys

# The numbers are the kernel's (include/uapi/linux/landlock.h); the system calls have the same on every processor.
CREATE_RULESET, ADD_RULE, RESTRICT_SELF = 444, 445, 446
EXECUTE, WRITE_FILE, READ_FILE, READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
IOCTL_DEV = 1 << 15
ALL_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 5: (1 << 16) - 1}
NETWORK, SCOPES = 0b11, 0b11  # bind and connect by TCP; abstract sockets and signals
OF_A_FILE = EXECUTE | WRITE_FILE | READ_FILE | 1 << 14 | IOCTL_DEV


class Ruleset(ctypes.Structure):
    _fields_ = [("files", ctypes.c_uint64), ("network", ctypes.c_uint64), ("scoped", ctypes.c_uint64)]


class Beneath(ctypes.Structure):
    _pack_ = 1
    _layout_ = "ms"
    _fields_ = [("allowed", ctypes.c_uint64), ("folder", ctypes.c_int32)]


def version() -> int:
    """Of Landlock in this system's kernel; 0 where there is none."""
    if sys.platform != "linux":
        return 0
    return max(0, ctypes.CDLL(None).syscall(CREATE_RULESET, None, ctypes.c_size_t(0), 1))


def confine(*, write: list[str], read: list[str], lists: list[str]) -> None:
    """Let this thread and all that it starts write into `write`, read `read`, see the names in `lists`, no more.

    Folders with all that is in them, or files; what does not exist is left out. The thread has to have given up new
    privileges. Raises OSError.
    """
    known = version()
    if not known:
        return
    handled = ALL_OF_VERSION[max(one for one in ALL_OF_VERSION if one <= known)]
    rules = Ruleset(handled, NETWORK if known >= 4 else 0, SCOPES if known >= 6 else 0)
    size = 8 if known < 4 else 16 if known < 6 else 24
    ruleset = _call(CREATE_RULESET, ctypes.byref(rules), ctypes.c_size_t(size), 0)
    for paths, allowed in ((write, handled), (read, EXECUTE | READ_FILE | READ_DIR), (lists, READ_DIR)):
        for path in paths:
            if os.path.exists(path):
                _allow(ruleset, path, allowed & handled)
    _call(RESTRICT_SELF, ruleset, 0)
    os.close(ruleset)


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
