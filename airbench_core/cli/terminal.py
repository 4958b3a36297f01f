"""What several commands need of a terminal: lines beside a progress bar, Ctrl-C."""

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager


def say(line: str) -> None:
    """Print `line` at once, above a progress bar if there may be one."""
    if sys.stderr.isatty():
        from tqdm import tqdm  # here: a machine that only measures may lack it

        tqdm.write(line, file=sys.stdout)
    else:
        print(line)
    sys.stdout.flush()


@contextmanager
def ctrl_c() -> Iterator[threading.Event]:
    """An event that Ctrl-C sets, so that work ends at its next step; a second Ctrl-C ends the program at once."""
    stop = threading.Event()

    def asked(*_: object) -> None:
        stop.set()
        # Written past Python's buffers, which the interrupted code may be at.
        os.write(2, b"airbench: ending at the next step; Ctrl-C again ends at once\n")
        signal.signal(signal.SIGINT, signal.default_int_handler)

    before = signal.signal(signal.SIGINT, asked)
    try:
        yield stop
    finally:
        signal.signal(signal.SIGINT, before)
