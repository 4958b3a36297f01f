"""A log: a file of JSON objects, one a line, to which any number of processes append and which survives a kill.

- One process appends at a time: it holds a lock on the log itself (flock; on Windows on a byte far behind the log's
  end, since there a locked byte cannot be read). So no other file is left lying about, two names of one log share
  its lock, and the system lets go of it when its process dies. Reading needs no lock.
- `append` returns when the line is on the disk (fsync).
- A process that is killed while it writes leaves a part of a line at the end. Reading leaves that out; the next
  `append` moves it to LOG.torn, so that the log is again whole lines, which any other tool reads too.
"""

import errno
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path
from typing import Any

from airbench_core.errors import AirbenchError

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


def check_writable(path: Path) -> None:
    """Raise AirbenchError if nothing can be appended at `path`: better before a run than after it."""
    try:
        with path.open("a+b", buffering=0) as log, _locked(log):
            pass
    except OSError as error:
        raise AirbenchError(f"cannot write the run log {path}: {error.strerror}; choose another --out") from error


def append(path: Path, values: Mapping[str, Any], what: str) -> None:
    """Append `values` as one line of JSON, on the disk when this returns.

    Raises AirbenchError, which says `what` is lost, if it cannot be written; the log is then what it was before.
    """
    line = json.dumps(values).encode() + b"\n"
    try:
        with path.open("a+b", buffering=0) as log, _locked(log):
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


def load(path: Path) -> list[dict[str, Any]]:
    """The objects in the log at `path`, in the order in which they were written.

    A line that is none, such as one that is not yet or never was wholly written, is left out and reported in one line
    on stderr. Raises AirbenchError if the file cannot be read.
    """
    return [values for _, values in numbered(path)]


def numbered(path: Path) -> list[tuple[int, dict[str, Any]]]:
    """As `load`, each object with the number of its line, counted from 1."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise AirbenchError(f"cannot read the run log {path}: {error.strerror}") from error
    found = []
    for number, line in enumerate(content.removesuffix(b"\n").split(b"\n"), 1):
        values = _parsed(line)
        if values is not None:
            found.append((number, values))
        elif content:
            print(f"{path}, line {number}: not a whole record, left out", file=sys.stderr)
    return found


def _parsed(line: bytes) -> dict[str, Any] | None:
    try:
        values = json.loads(line)
    except ValueError:  # also of bytes that are no text
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
    print(f"{path}: its last line was cut off while it was written; moved to {torn}", file=sys.stderr)
