"""`airbench` and `python -m airbench_core`."""

import os
import sys


def main() -> int:
    open_closed_streams()
    from airbench_core.cli import main  # here: with the streams that it prints to

    return main()


def open_closed_streams() -> None:
    """A standard stream that was closed takes nothing; else the next file, a log say, would be in its place."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            setattr(sys, name, os.fdopen(os.open(os.devnull, os.O_RDWR), "w" if number else "r"))


if __name__ == "__main__":
    sys.exit(main())
