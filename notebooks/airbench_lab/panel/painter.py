"""When a panel is painted: soon after something changed, and while a run is on, four times a second at most."""

import threading
import time
from collections.abc import Callable

PAUSE = 0.25  # seconds from one painting to the next


class Painter:
    """Calls `paint` in a thread of its own, so that neither a training nor the notebook waits for it.

    paint: says whether it is to be called again without being asked, since something goes on.
    """

    def __init__(self, paint: Callable[[], bool]):
        self._paint = paint
        self._requested, self._closed = threading.Event(), False
        self._thread = threading.Thread(target=self._work, name="airbench painter", daemon=True)
        self._thread.start()

    def request(self) -> None:
        """Something changed."""
        self._requested.set()

    def poll(self) -> None:
        """Something may have changed: nothing to do, since the thread looks by itself."""

    def close(self) -> None:
        self._closed = True
        self._requested.set()

    def _work(self) -> None:
        again = False
        while True:
            if not again:
                self._requested.wait()
            if self._closed:
                return
            self._requested.clear()
            again = self._paint()
            time.sleep(PAUSE)


class DirectPainter:
    """Calls `paint` where it is asked to, in the same thread, unless it just did."""

    def __init__(self, paint: Callable[[], bool]):
        self._paint = paint
        self._last = 0.0

    def request(self) -> None:
        self._paint()
        self._last = time.monotonic()

    def poll(self) -> None:
        if time.monotonic() - self._last >= PAUSE:
            self.request()

    def close(self) -> None:
        self._paint = lambda: False
