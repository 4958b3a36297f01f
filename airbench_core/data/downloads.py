"""Download one file from any of several mirrors, so that a broken, slow or lying server costs only time.

- Mirrors are byte-identical, so the `.part` file is carried from one to the next and resumed (HTTP Range).
- Nothing counts as done before its md5 is right; only then is it renamed into place.
- A lock file beside it lets processes that start together share one download.
"""

import hashlib
import os
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from typing import BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from airbench_core.errors import DataError

TIMEOUT = 20.0  # seconds without a byte before a mirror is left
SLOWEST = 200e3  # bytes/s: below that after PATIENCE seconds a mirror is left, until each has been asked once
PATIENCE = 15.0


def cache_folder() -> Path:
    """The user's cache folder for this project, by the custom of the operating system; it need not exist yet.

    Of a user without a home, as in some containers, it is one in the folder for temporary files.
    """
    home = os.path.expanduser("~")
    if home == "~":
        home = os.path.join(tempfile.gettempdir(), f"airbench-{os.getuid() if hasattr(os, 'getuid') else 'cache'}")
    if sys.platform == "win32":
        base = os.environ.get("LOCALAPPDATA") or Path(home, "AppData", "Local")
    elif sys.platform == "darwin":
        base = Path(home, "Library", "Caches")
    else:
        base = os.environ.get("XDG_CACHE_HOME") or Path(home, ".cache")
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
        reason = error.strerror or error
        raise DataError(
            f"cannot write to {folder} ({reason}): free some space or name another folder in AIRBENCH_DATA"
        ) from error


def download(urls: Sequence[str], path: Path, md5: str) -> None:
    """Downloads the file `path` from the first of `urls` that serves it whole, with a progress bar on stderr.

    They are tried in order, again and again for as long as a round adds bytes. A mirror is left when it fails, stalls
    (TIMEOUT) or, in the first round, is hopelessly slow (SLOWEST). A file that is already there is kept if its md5 is
    right, else replaced. A download that was interrupted goes on where it stopped.

    Raises DataError, one line, when no mirror served the right bytes (what each one said, and how to place the
    file by hand), when the disk is full, and when the folder cannot be written.
    """
    from filelock import FileLock

    part = path.with_name(path.name + ".part")
    with disk_errors(path.parent):
        path.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(path.with_name(path.name + ".lock")):
            if path.is_file() and md5_of(path) == md5:
                return
            with open(part, "a+b") as file:  # every write appends
                if not _is_right(file, md5):
                    _fill(file, urls, path, md5)
                os.fsync(file.fileno())
            os.replace(part, path)


def _fill(file: BinaryIO, urls: Sequence[str], path: Path, md5: str) -> None:
    """Fills the part file with bytes of the right md5, or raises DataError."""
    waiting, idle, asked, said = deque(urls), 0, 0, {}
    while idle < len(waiting):  # until each in turn has added nothing
        start, url = file.seek(0, os.SEEK_END), waiting[0]
        host = urlsplit(url).netloc
        try:
            _fetch(url, file, path, slowest=SLOWEST if asked < len(urls) - 1 else 0)
            whole, said[host] = True, "wrong bytes (md5)"
        except (OSError, HTTPException, ValueError) as error:
            whole = isinstance(error, HTTPError) and error.code == 416  # the part is as long as the file or longer
            said[host] = " ".join(str(error).split()) or type(error).__name__
            if isinstance(error, HTTPError):
                error.close()
        if _is_right(file, md5):
            return
        asked += 1
        print(f"{path.name}: {host}: {said[host]}", file=sys.stderr, flush=True)
        if not whole:
            waiting.rotate(-1)
            idle = 0 if file.tell() > start else idle + 1
        else:
            file.truncate(0)
            if not start:  # else the fault may lie in what another mirror began, and this one is asked for all of it
                waiting.popleft()
    reasons = "; ".join(f"{host}: {reason}" for host, reason in said.items())
    remedy = "run this again later"
    if "CERTIFICATE_VERIFY_FAILED" in reasons:  # will not pass by waiting
        remedy = (
            "this Python does not trust what certifies the servers: see that the clock is right, on macOS run `Install "
            "Certificates.command` in Applications/Python, or name your network's certificates (PEM) in SSL_CERT_FILE"
        )
    raise DataError(
        f"could not download {path.name} ({reasons}): {remedy}, or get the file elsewhere "
        f"(md5 {md5}) and put it into {path.parent}"
    )


def _is_right(file: BinaryIO, md5: str) -> bool:
    file.flush()
    return file.seek(0, os.SEEK_END) > 0 and md5_of(Path(file.name)) == md5


def _fetch(url: str, file: BinaryIO, path: Path, slowest: float) -> None:
    """Appends to the part file all that it lacks; raises an error of the network where that is not what came."""
    from tqdm import tqdm

    start = file.seek(0, os.SEEK_END)
    headers = {"User-Agent": "airbench"} | ({"Range": f"bytes={start}-"} if start else {})
    with urlopen(Request(url, headers=headers), timeout=TIMEOUT) as response:
        if start and response.status != 206:
            start = file.truncate(0)  # the server ignores Range: this is the file from its first byte
        elif start and not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
            raise ValueError("resumed at the wrong place")
        total = None if response.length is None else start + response.length
        label, often = f"{path.name} from {urlsplit(url).netloc}", 0.1 if sys.stderr.isatty() else 10
        with tqdm(desc=label, initial=start, total=total, unit="B", unit_scale=True, mininterval=often) as bar:
            began = time.monotonic()
            while chunk := response.read1(1 << 16):  # what has arrived: a full read would hide a slow server
                with disk_errors(path.parent):
                    file.write(chunk)
                bar.update(len(chunk))
                seconds = time.monotonic() - began
                if seconds > PATIENCE and bar.n - start < slowest * seconds:
                    raise ValueError(f"too slow ({(bar.n - start) / seconds / 1e3:.0f} kB/s)")
    got = file.seek(0, os.SEEK_END)
    if total is not None and got < total:
        raise ValueError(f"connection closed after {got:,} of {total:,} bytes")
