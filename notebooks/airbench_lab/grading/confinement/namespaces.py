"""A view of the system for one process and all that it starts (Linux): the folders it may read, one that it may write.

Nothing else exists there: no network, no other process, no socket of the system's. Needs no root where unprivileged
user namespaces are allowed. Python's own library alone: no thread may exist when these are called.
"""

import ctypes
import os
import stat

NEW_MOUNTS, NEW_IPC, NEW_USER, NEW_PIDS, NEW_NETWORK = 0x20000, 0x8000000, 0x10000000, 0x20000000, 0x40000000
NOSUID, NODEV, NOEXEC, BIND, RECURSIVE, PRIVATE = 2, 4, 8, 0x1000, 0x4000, 0x40000
DETACH = 2
MOUNT_SETATTR, AT_FDCWD, AT_RECURSIVE = 442, -100, 0x8000  # the system call has the same number on every processor
DEVICES = ("null", "zero", "full", "random", "urandom")


class Attributes(ctypes.Structure):
    _fields_ = [(name, ctypes.c_uint64) for name in ("set", "clear", "propagation", "userns")]


def leave(*, user: bool) -> None:
    """Into new namespaces; of processes, what is started from now on. user: as an ordinary user. Raises OSError."""
    uid, gid = os.geteuid(), os.getegid()
    _call("unshare", NEW_PIDS | NEW_NETWORK | NEW_IPC | (NEW_USER if user else 0))
    if user:
        for name, text in ("setgroups", "deny"), ("uid_map", f"{uid} {uid} 1"), ("gid_map", f"{gid} {gid} 1"):
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)


def enter(*, read: list[str], devices: list[str], folder: str, owner: int, disk: int) -> None:
    """Make the view and go into it. folder: empty, in memory, of `disk` bytes, `owner`'s. Raises OSError.

    To be called by the first process of a new namespace of processes.
    """
    _call("unshare", NEW_MOUNTS)
    _mount("none", "/", "", RECURSIVE | PRIVATE)
    _mount("tmpfs", folder, "tmpfs", NOSUID | NODEV, "mode=755,size=1m")
    for path in [*_outermost(read), *(f"/dev/{name}" for name in DEVICES), *devices]:
        _show(path, folder)
    for path in ("/proc", folder):
        os.makedirs(folder + path, exist_ok=True)
    attributes = Attributes(set=1 | NOSUID)  # read only
    size = ctypes.c_size_t(ctypes.sizeof(attributes))
    result = ctypes.CDLL(None, use_errno=True).syscall(
        MOUNT_SETATTR, AT_FDCWD, folder.encode(), AT_RECURSIVE, ctypes.byref(attributes), size
    )
    if result:
        raise OSError(ctypes.get_errno(), "mount_setattr")
    _mount("proc", folder + "/proc", "proc", NOSUID | NODEV | NOEXEC)
    options = f"mode=700,uid={owner},gid={owner},size={disk},nr_inodes=50000"
    _mount("tmpfs", folder + folder, "tmpfs", NOSUID | NODEV, options)
    os.chdir(folder)
    _call("pivot_root", b".", b".")
    _call("umount2", b".", DETACH)
    os.chdir(folder)


def _outermost(paths: list[str]) -> list[str]:
    """Without those that are below another, but for links, which have to be made where they are."""
    kept: list[str] = []
    for path in sorted(paths, key=len):
        if path not in ("/dev", "/proc") and not any(path == one or path.startswith(one + "/") for one in kept):
            kept.append(path)
    return kept


def _show(path: str, root: str) -> None:
    """`path` in the new root, with all below; a link as a link."""
    there = root + path
    try:
        kind = os.lstat(path).st_mode
    except OSError:  # not on this system, or not for this user
        return
    os.makedirs(os.path.dirname(there), exist_ok=True)
    if stat.S_ISLNK(kind):
        os.symlink(os.readlink(path), there)
        return
    if stat.S_ISDIR(kind):
        os.makedirs(there, exist_ok=True)
    else:
        os.close(os.open(there, os.O_CREAT))
    _mount(path, there, "", BIND | RECURSIVE)


def _mount(source: str, target: str, kind: str, flags: int, options: str = "") -> None:
    _call("mount", source.encode(), target.encode(), kind.encode() or None, ctypes.c_ulong(flags), options.encode())


def _call(name: str, *arguments: object) -> None:
    if getattr(ctypes.CDLL(None, use_errno=True), name)(*arguments):
        raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
