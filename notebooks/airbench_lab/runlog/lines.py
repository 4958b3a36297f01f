"""A log: a file of JSON objects, one a line, to which any number of processes append and which survives a kill.

- One process appends at a time: it holds a lock on the log itself (flock; on Windows on a byte far behind the log's
  end, since there a locked byte cannot be read). So no other file is left lying about, two names of one log share
  its lock, and the system lets go of it when its process dies. Reading needs no lock.
- `append` returns when the line is on the disk (fsync).
- A process that is killed while it writes leaves a part of a line at the end. Reading leaves that out; the next
  `append` moves it to LOG.torn, so that the log is again whole lines, which any other tool reads too.
- All that writes comes through `_opened`, which refuses what is no file, and a file that does not begin as a log.
- Who plans by what is in a log, and would do the same as another one, does so inside `claimed`.
"""

import errno
import json
import os
import re
import sys
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from airbench_core.errors import AirbenchError
from airbench_lab import tell

LONGEST = 2**26  # bytes of a line
HALF = re.compile(rb'\{("(\w*("(:( [^\n]*)?)?)?)?)?')  # of an object as json writes it

if sys.platform == "win32":
    import msvcrt

    FAR = 2**31 - 2

    def _lock(log: FileIO, *, on: bool) -> None:
        while True:
            log.seek(FAR)
            try:
                return msvcrt.locking(log.fileno(), msvcrt.LK_LOCK if on else msvcrt.LK_UNLCK, 1)
            except OSError as error:
                if error.errno != errno.EDEADLOCK:  # it gives up after 10 seconds
                    raise

else:
    import fcntl

    def _lock(log: FileIO, *, on: bool) -> None:
        fcntl.flock(log, fcntl.LOCK_EX if on else fcntl.LOCK_UN)


@contextmanager
def _locked(log: FileIO) -> Iterator[None]:
    """Waits until no other process, and no other thread, is in such a block for the same log."""
    _lock(log, on=True)
    try:
        yield
    finally:
        _lock(log, on=False)


@contextmanager
def _opened(path: Path) -> Iterator[FileIO]:
    """The log at `path`, for this process alone. Raises OSError, which says why nothing can be appended there."""
    if path.exists() and not path.is_file():  # a pipe, for one, keeps nothing, and would be waited for
        raise OSError(errno.EINVAL, "it is no file")
    with path.open("a+b", buffering=0) as log, _locked(log):
        for printed in (1, 2):
            with suppress(OSError):  # closed
                if os.path.samestat(os.fstat(printed), os.fstat(log.fileno())):
                    raise AirbenchError(f"what is printed goes to {path}: name another file for the log")
        if not _may_begin(_first_line(path)):
            raise OSError(errno.EINVAL, "it is not a log, since its first line is no record")
        yield log


def first(path: Path) -> dict[str, Any] | None:
    """The first object in the log at `path`; None where there is none, or not wholly written."""
    return _parsed(_first_line(path))


def _first_line(path: Path) -> bytes:
    with path.open("rb") as log:
        return log.readline(LONGEST)


def _may_begin(first: bytes) -> bool:
    """Whether a log may have this first line: none, an object, or what a process killed in the first one left."""
    if not first or _parsed(first) is not None:
        return True
    if len(first) >= LONGEST or not HALF.fullmatch(first):
        return False
    bare = re.sub(rb'"(\\.|[^"\\])*"?', b"", first)  # without texts, which may hold braces
    return bare.count(b"{") > bare.count(b"}")


def check_writable(path: Path) -> None:
    """Raise AirbenchError if nothing can be appended at `path`: better before a run than after it."""
    try:
        with _opened(path) as log:
            if (last := _unended(log, path)) and _parsed(last) is None:
                _set_aside(last, log, path)  # now, since it may fail
    except OSError as error:
        raise _cannot_write(path, error) from error


def _cannot_write(path: Path, error: OSError) -> AirbenchError:
    return AirbenchError(f"cannot write the run log {path}: {error.strerror}; name another file or folder")


@contextmanager
def claimed(path: Path) -> Iterator[None]:
    """For a process that plans by what is in the log at `path`, and then appends what was missing: only one at a time.

    By a lock on LOG.lock, which any user may take and which the system frees if its holder is killed; the log itself
    stays free for others that only append. Raises AirbenchError if another process holds it, or nobody can.
    """
    from filelock import FileLock, Timeout  # here: slow to import

    path = path.resolve()
    lock = FileLock(path.with_name(f"{path.name}.lock"), mode=0o666)
    try:
        if not path.parent.is_dir():  # it would be made
            raise OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        lock.acquire(timeout=0)
    except Timeout:
        raise AirbenchError(f"another process is at work on {path}: wait for it, or name another file") from None
    except OSError as error:
        raise _cannot_write(path, error) from error
    try:
        yield
    finally:
        lock.release()


def append(path: Path, values: Mapping[str, Any], what: str) -> None:
    """Append `values` as one line of JSON, on the disk when this returns.

    Raises AirbenchError, which says `what` is lost, if it cannot be written; the log is then what it was before.
    """
    line = json.dumps(values).encode() + b"\n"
    try:
        with _opened(path) as log:
            if last := _unended(log, path):
                if _parsed(last) is not None:  # only the end of the line is missing
                    line = b"\n" + line
                else:
                    _set_aside(last, log, path)
            size = os.fstat(log.fileno()).st_size
            try:
                while line:  # a disk that is filling up may take a part
                    line = line[log.write(line) :]
                os.fsync(log.fileno())
            except OSError:
                with suppress(OSError):
                    log.truncate(size)
                raise
    except OSError as error:
        raise AirbenchError(
            f"{what} but could not be logged in {path}: {error.strerror}; make room and run it again"
        ) from error


def load(path: Path, fields: Collection[str] = ()) -> list[dict[str, Any]]:
    """The objects in the log at `path`, in the order in which they were written. fields: what each of them has to have.

    Lines that are none, such as one that is not yet or never was wholly written, are left out and reported in one line
    on stderr. Raises AirbenchError if the file cannot be read, if nothing in it is an object, and for a missing field.
    """
    found = numbered(path)
    for number, values in found:
        if missing := [name for name in fields if name not in values]:
            lacking = f"line {number} has no {missing[0]}"
            raise AirbenchError(f"{path} is another kind of log ({lacking}): name another file (commands: with --out)")
    return [values for _, values in found]


def numbered(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """As `load`, each object with the number of its line, counted from 1."""
    try:
        if path.is_char_device() or path.is_block_device():
            raise OSError(errno.EINVAL, "it is a device")
        content = path.read_bytes()
    except OSError as error:
        raise AirbenchError(f"cannot read the run log {path}: {error.strerror}") from error
    lines = content.removesuffix(b"\n").split(b"\n") if content else []
    numbers = {number: values for number, line in enumerate(lines, 1) if (values := _parsed(line)) is not None}
    if lost := len(lines) - len(numbers):
        if not numbers and not _may_begin(content):
            raise AirbenchError(f"{path} is not a log: none of its {lost:,} line(s) is a record")
        first = next(number for number in range(1, len(lines) + 1) if number not in numbers)
        more = f" and {lost - 1:,} more" * (lost > 1)
        tell(f"{path}, line {first}{more}: not a whole record, left out")
    return list(numbers.items())


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except (ValueError, RecursionError):  # of bytes that are no text, and of brackets without an end too
        return None
    return values if isinstance(values, dict) else None


def _unended(log: FileIO, path: Path) -> bytes:
    """What follows the log's last end of a line: nothing, unless a process was killed while it wrote."""
    size = os.fstat(log.fileno()).st_size
    if size == 0:
        return b""
    log.seek(size - 1)
    if log.read(1) == b"\n":
        return b""
    return path.read_bytes().rpartition(b"\n")[2]


def _set_aside(last: bytes, log: FileIO, path: Path) -> None:
    """Move the log's last bytes to LOG.torn: there first, so that a kill in between loses nothing."""
    torn = path.with_name(path.name + ".torn")
    with torn.open("ab") as aside:
        aside.write(last + b"\n")
        aside.flush()
        os.fsync(aside.fileno())
    log.truncate(os.fstat(log.fileno()).st_size - len(last))
    tell(f"{path}: its last line was cut off while it was written; moved to {torn}")
