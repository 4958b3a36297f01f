"""`airbench` and `python -m airbench_lab.cli`."""

import os
import signal
import sys

from airbench_lab.cli.interrupt import end_at_once


def main() -> int:
    """`cli.main`. Until a command runs, Ctrl-C ends it at once: in the middle of an import Python would say much."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else Ctrl-C is ignored on purpose
        signal.signal(signal.SIGINT, end_at_once)
    open_closed_streams()
    from airbench_lab import cli  # here: with the streams that it prints to

    return cli.main()


def open_closed_streams() -> None:
    """A standard stream that was closed takes nothing; else the next file, a log say, would be in its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))


if __name__ == "__main__":
    sys.exit(main())
