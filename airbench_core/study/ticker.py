"""A word now and then about work that goes on: asked for by a thread, so that the work never waits."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager


@contextmanager
def every(seconds: float, do: Callable[[], object]) -> Iterator[None]:
    """Calls `do` each so many seconds, in a thread, until the block ends; not any more after that."""
    done = threading.Event()

    def tick() -> None:
        while not done.wait(seconds):
            do()

    thread = threading.Thread(target=tick, daemon=True)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
