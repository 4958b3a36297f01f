"""Download one file from any of several mirrors, so that a broken, slow or lying server costs only time.

- Mirrors are byte-identical, so the `.part` file is carried from one to the next and resumed (HTTP Range).
- Nothing counts as done before its md5 is right; only then is it renamed into place.
- A lock file beside it lets processes that start together share one download.
"""

import errno
import hashlib
import os
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException, HTTPResponse
from pathlib import Path
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from airbench_core.errors import DataError

TIMEOUT = 20.0  # seconds without a byte before a mirror is left
SLOWEST = 200e3  # bytes/s: below that over PATIENCE seconds a mirror is left, while others remain
PATIENCE = 15.0


class _MirrorFailed(Exception):
    """What one mirror did wrong, in a few words; the part file may be resumed from another one."""


def cache_folder() -> Path:
    """The user's cache folder for this project, by the custom of the operating system; it need not exist yet."""
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        base = Path.home() / "Library" / "Caches"
    else:
        base = os.environ.get("XDG_CACHE_HOME", "")
        if not os.path.isabs(base):  # the XDG specification: a relative path is to be ignored
            base = Path.home() / ".cache"
    return Path(base) / "airbench"


def md5_of(path: Path) -> str:
    """The md5 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@contextmanager
def disk_errors(folder: Path) -> Iterator[None]:
    """Turns an OSError of the disk into a DataError with a remedy."""
    try:
        yield
    except OSError as error:
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            raise DataError(f"the disk is full: free some space for {folder} and run this again") from error
        reason = error.strerror or error
        raise DataError(f"cannot write to {folder} ({reason}): name another folder in AIRBENCH_DATA") from error


def download(urls: Sequence[str], path: str | Path, md5: str, *, progress: bool | None = None) -> Path:
    """Downloads one file from the first of `urls` that serves it whole, and returns its path.

    All urls hold the same bytes. They are tried in order, and again for as long as a pass through them adds bytes.
    A mirror is left when it fails, stalls (TIMEOUT) or, while others remain, is hopelessly slow (SLOWEST). A file
    that is already there is kept if its md5 is right, else replaced. A download that was interrupted goes on where
    it stopped.

    progress: None shows a bar on a terminal and plain lines elsewhere, True always a bar, False nothing.

    Raises DataError, one line, when no mirror served the right bytes (what each one said, and how to place the
    file by hand), when the disk is full, and when the folder cannot be written.
    """
    from filelock import FileLock, Timeout

    path = Path(path)
    part = path.with_name(path.name + ".part")
    lock = FileLock(path.with_name(path.name + ".lock"))
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            lock.acquire(timeout=0)
        except Timeout:
            _say(f"{path.name}: waiting for another process that is downloading it", progress)
            lock.acquire()
    try:
        if not (path.is_file() and md5_of(path) == md5):
            _from_mirrors(list(urls), part, path, md5, progress)
            with disk_errors(path.parent):
                with open(part, "rb+") as file:
                    os.fsync(file.fileno())
                os.replace(part, path)
    finally:
        lock.release()
    return path


def _from_mirrors(urls: list[str], part: Path, path: Path, md5: str, progress: bool | None) -> None:
    """Fills `part` with bytes of the right md5, or raises DataError."""
    if _size(part) and md5_of(part) == md5:  # stopped between the last byte and the renaming
        return
    said = {}
    while urls:
        before = _size(part)
        for url in list(urls):
            host = urlsplit(url).netloc
            resumed = _size(part) > 0
            try:
                slowest = SLOWEST if url != urls[-1] else 0.0
                whole = _fetch(url, part, path.name, slowest, progress)
                if whole and resumed and md5_of(part) != md5:
                    # The fault may lie in what another mirror began, so this one is judged by a whole file.
                    part.unlink()
                    whole = _fetch(url, part, path.name, slowest, progress)
            except _MirrorFailed as failure:
                whole, said[host] = False, str(failure)
            if _size(part) and md5_of(part) == md5:
                return
            if whole:
                part.unlink()
                urls.remove(url)
                said[host] = "wrong bytes (md5)"
            _say(f"{path.name}: {host}: {said[host]}", progress)
        if _size(part) <= before:
            break
    reasons = "; ".join(f"{host}: {reason}" for host, reason in said.items())
    raise DataError(
        f"could not download {path.name} ({reasons}): run this again later, or get the file elsewhere "
        f"(md5 {md5}) and put it into {path.parent}"
    )


def _fetch(url: str, part: Path, name: str, slowest: float, progress: bool | None) -> bool:
    """Appends to `part` what it lacks. True: the server says that this is all; _MirrorFailed: it is not."""
    start = _size(part)
    headers = {"User-Agent": "airbench", "Accept-Encoding": "identity"}
    if start:
        headers["Range"] = f"bytes={start}-"
    try:
        with _network_errors():
            response = urlopen(Request(url, headers=headers), timeout=TIMEOUT)
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:  # the part is as long as the file or longer
            return True
        raise _MirrorFailed(f"HTTP {error.code}") from error
    with response:
        if response.status != 206:
            start = 0  # the server ignores Range: this is the file from its first byte
        elif not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            raise _MirrorFailed("resumed at the wrong place")
        length = response.headers["Content-Length"] or ""
        total = start + int(length) if length.isdigit() else None
        label = f"{name} from {urlsplit(url).netloc}"
        with (
            disk_errors(part.parent),
            open(part, "ab" if start else "wb") as file,
            _meter(label, start, total, progress) as advance,
        ):
            for chunk in _chunks(response, slowest):
                file.write(chunk)
                advance(len(chunk))
    if total is not None and _size(part) < total:
        raise _MirrorFailed(f"connection closed after {_size(part):,} of {total:,} bytes")
    return True


def _chunks(response: HTTPResponse, slowest: float) -> Iterator[bytes]:
    since, received = time.monotonic(), 0
    while True:
        with _network_errors():
            chunk = response.read1(1 << 16)  # what has arrived: a full read would hide a slow server
        if not chunk:
            return
        yield chunk
        received += len(chunk)
        seconds = time.monotonic() - since
        if seconds > PATIENCE:
            if received < slowest * seconds:
                raise _MirrorFailed(f"too slow ({received / seconds / 1e3:.0f} kB/s)")
            since, received = time.monotonic(), 0


@contextmanager
def _network_errors() -> Iterator[None]:
    try:
        yield
    except HTTPError:  # an answer, and a URLError too
        raise
    except (OSError, HTTPException, ValueError) as error:
        reason = getattr(error, "reason", error)  # URLError wraps the real one
        if isinstance(reason, TimeoutError):
            raise _MirrorFailed(f"nothing for {TIMEOUT:g} s") from error
        words = getattr(reason, "strerror", None) or str(reason) or type(reason).__name__
        raise _MirrorFailed(" ".join(words.split())) from error


@contextmanager
def _meter(label: str, start: int, total: int | None, progress: bool | None) -> Iterator[Callable[[int], object]]:
    """Yields a function that is told the number of new bytes and shows them on stderr."""
    if progress is False:
        yield lambda n: None
    elif progress or sys.stderr.isatty():
        from tqdm import tqdm

        with tqdm(desc=label, initial=start, total=total, unit="B", unit_scale=True) as bar:
            yield bar.update
    else:
        yield _lines(label, start, total)


def _lines(label: str, got: int, total: int | None) -> Callable[[int], None]:
    """One line at the start and one for each quarter of the file."""
    size = f"{total / 1e6:.1f} MB" if total else "unknown size"
    _say(f"{label}: {size}" + (f", resumed at {got / 1e6:.1f} MB" if got else ""), None)

    def advance(n: int) -> None:
        nonlocal got
        before, got = got, got + n
        if total and 4 * got // total > 4 * before // total:
            _say(f"{label}: {4 * got // total * 25} %", None)

    return advance


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _say(line: str, progress: bool | None) -> None:
    if progress is not False:
        print(line, file=sys.stderr, flush=True)
