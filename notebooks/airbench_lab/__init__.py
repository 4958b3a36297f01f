"""What the lessons import. It stands on `airbench_core`, which knows nothing of it."""

import sys
from contextlib import suppress
from typing import TextIO

from airbench_core.errors import printable


def tell(line: str, file: TextIO | None = None) -> None:
    """Print a line for people at once, on stderr or on `file`; nothing where that is full, closed, or read by nobody.

    What is being made shall not be lost because nobody sees it.
    """
    with suppress(OSError):
        print(printable(line), file=file or sys.stderr, flush=True)
