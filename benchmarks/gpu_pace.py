"""How long the work of a GPU session takes on the machine that it runs on, and whether it still fits."""

import statistics
import time
from collections.abc import Callable

MARGIN = 1.25  # times what is expected by what was measured
SETUP = {True: 90.0, False: 5.0}  # seconds until the first run starts, compiled or not, before any was measured
TURN = 30.0  # seconds that a process takes to start and to read its data


class Pace:
    """A budget of minutes, and estimates in seconds: what a plan expects, times what was measured over expected."""

    def __init__(self, minutes: float, now: Callable[[], float] = time.monotonic):
        self.now = now
        self.end = now() + 60 * minutes
        self.ratios: list[float] = []  # measured over expected seconds of each run
        self.setups: dict[bool, list[float]] = {True: [], False: []}

    def fits(self, seconds: float) -> bool:
        return seconds <= self.left()

    def left(self) -> float:
        return self.end - self.now()

    def ran(self, expected: float, measured: float) -> None:
        self.ratios.append(measured / expected)

    def set_up(self, compile: bool, measured: float) -> None:
        self.setups[compile].append(measured)

    def run(self, expected: float) -> float:
        """Seconds of one run for which a plan expects so many."""
        return MARGIN * expected * (statistics.median(self.ratios) if self.ratios else 1)

    def setup(self, compile: bool) -> float:
        """Seconds before the first run of a recipe: the slowest of the last three, since recipes differ."""
        measured = self.setups[compile]
        return MARGIN * max(measured[-3:]) if measured else SETUP[compile]

    def turn(self, compile: bool, runs: int, expected: float) -> float:
        """Seconds of a process that makes so many runs; a script may make one more to warm up, or two."""
        return TURN + self.setup(compile) + (runs + 2) * self.run(expected)
