"""`airbench` and `python -m airbench_core`."""

import signal
import sys

from airbench_core.interrupt import end_at_once


def main() -> int:
    """`cli.main`. Until a command runs, Ctrl-C ends it at once: in the middle of an import Python would say much."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # else Ctrl-C is ignored on purpose
        signal.signal(signal.SIGINT, end_at_once)
    from airbench_core import cli

    return cli.main()


if __name__ == "__main__":
    sys.exit(main())
