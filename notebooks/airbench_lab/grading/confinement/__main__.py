"""Starts a module in a process that can do little, and ends all that this process started when it ends.

    python confinement '{"namespaces": true, "read": [...], ...}' MODULE PIPE...

Runs as a script that imports Python's own library alone: no thread exists yet when the limits are set.
"""

import ctypes
import json
import os
import runpy
import signal
import sys
from contextlib import suppress

import landlock
import namespaces

SET_PARENT_DEATH, SET_SUBREAPER, NO_NEW_PRIVILEGES = 1, 36, 38
CAPABILITIES_V3 = 0x20080522


def limit(*, memory: int, file_size: int, cpu_seconds: int, processes: int) -> None:
    """Bytes of memory that are the process's own and of a file, seconds of CPU, processes and threads of the user."""
    import resource

    all_of_them = (resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, file_size), (resource.RLIMIT_CORE, 0)
    for what, most in (*all_of_them, (resource.RLIMIT_NPROC, processes)):
        _, hard = resource.getrlimit(what)
        most = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(what, (most, most))
    resource.setrlimit(resource.RLIMIT_CPU, (cpu_seconds, cpu_seconds + 5))


def become(user: int) -> None:
    """An ordinary user without any right of root's, for good."""
    if os.geteuid() == 0:
        os.setgroups([])
        os.setresgid(user, user, user)
        os.setresuid(user, user, user)
    if sys.platform == "linux":
        header, none = (ctypes.c_uint32 * 2)(CAPABILITIES_V3, 0), (ctypes.c_uint32 * 6)()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.capset(header, none) or libc.prctl(NO_NEW_PRIVILEGES, 1, 0, 0, 0):
            raise OSError(ctypes.get_errno(), "rights could not be given up")


def fork_and_wait(closing: list[int], grader: int | None = None) -> None:
    """Go on in a child. Here: wait until it ends or SIGTERM comes, end all that it left, end as it did.

    grader: the parent, whose end, even by SIGKILL, is as SIGTERM (Linux).
    """
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_SUBREAPER, 1, 0, 0, 0)  # whatever loses its parent below becomes a child of ours
    child = os.fork()
    if child == 0:
        if sys.platform == "linux":
            ctypes.CDLL(None).prctl(SET_PARENT_DEATH, signal.SIGKILL, 0, 0, 0)
        return
    signal.signal(signal.SIGTERM, lambda *_: os.kill(child, signal.SIGKILL))
    if grader and sys.platform == "linux":
        ctypes.CDLL(None).prctl(SET_PARENT_DEATH, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != grader:  # it has ended before
            os.kill(child, signal.SIGKILL)
    for end in closing:  # so that the grader sees when the child closes them
        os.close(end)
    _, status = os.waitpid(child, 0)
    with suppress(ChildProcessError):
        while True:
            for left in children():
                os.kill(left, signal.SIGKILL)
            os.wait()
    code = os.waitstatus_to_exitcode(status)
    os._exit(code if code >= 0 else 128 - code)


def children() -> list[int]:
    me = str(os.getpid())
    found = []
    for name in filter(str.isdigit, os.listdir("/proc") if sys.platform == "linux" else ()):
        with suppress(OSError, IndexError), open(f"/proc/{name}/stat") as file:
            if file.read().rpartition(")")[2].split()[1] == me:
                found.append(int(name))
    return found


def main() -> None:
    asked = json.loads(sys.argv[1])
    fds = list(map(int, sys.argv[3:]))
    user, apart = asked["user"], asked["namespaces"]
    if apart:
        namespaces.leave(user=os.geteuid() != 0)
    fork_and_wait(fds, asked["grader"])
    if apart:
        files = {name: asked[name] for name in ("read", "devices", "folder", "disk")}
        namespaces.enter(**files, owner=user)
        # The first process of a namespace: nothing in it can end it, and its end is all its end.
        fork_and_wait(fds)
    limit(**asked["limits"])
    become(user)
    landlock.confine(write=[asked["folder"], "/dev/null", *asked["devices"]], read=asked["read"], lists=asked["lists"])
    os.chdir(asked["folder"])


if __name__ == "__main__":
    del sys.path[0]  # this folder
    main()
    sys.argv = sys.argv[2:]
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
