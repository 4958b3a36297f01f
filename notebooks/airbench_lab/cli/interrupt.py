"""Ctrl-C: what it ends, and when."""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress


def end_at_once(*_: object) -> None:
    """A handler of Ctrl-C for times at which nothing can be lost, and the code that is interrupted may not stop."""
    _say(b"airbench: stopped\n")
    os._exit(130)


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that work ends at its next step; a second Ctrl-C ends the program at once.

    Then also after the block: where processes do not answer, it takes minutes to put all away.
    """
    stop = threading.Event()
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # on purpose, as of a job in the background of a script
        yield stop
        return

    def asked(*_: object) -> None:
        stop.set()
        _say(b"airbench: ending at the next step; Ctrl-C again ends at once\n")
        signal.signal(signal.SIGINT, end_at_once)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    finally:
        if not stop.is_set():
            signal.signal(signal.SIGINT, before)


def _say(line: bytes) -> None:
    with suppress(OSError):  # past Python's buffers, which the interrupted code may be at
        os.write(2, line)
