"""Lesson 08: the seconds of a call, without those of the warm-up."""

import statistics
import time
from collections.abc import Callable
from typing import Any

from airbench_lab.exercises.checking import Case, Exercise, Mistake


class Device:
    """A device that works on by itself, and a clock that only it moves: what a measurement says is the same each time.

    compile_seconds: of the first call. seconds: of each call on the device, one after the other, the last for all that
    follow. launch: seconds after which a call returns, while the device still works.
    """

    def __init__(self, seconds: list[float], compile_seconds: float = 0.0, launch: float = 0.02):
        self.compile_seconds, self.seconds, self.launch = compile_seconds, seconds, launch
        self.now = self.ready = 50.0  # the host's time, and when the device will have done all
        self.calls = self.readings = 0  # of the function, and of the clock

    def call(self) -> None:
        """Give the device a piece of work, and return before it is done."""
        if self.calls == 0:
            self.now += self.compile_seconds
        work = self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1
        self.now += self.launch
        self.ready = max(self.ready, self.now) + work

    def synchronize(self) -> None:
        """Wait until it has done all."""
        self.now = max(self.now, self.ready)

    def clock(self) -> float:
        self.readings += 1
        return self.now


def seconds_per_call(
    function: Callable[[], object],
    warm_up: int,
    repeats: int,
    synchronize: Callable[[], None] = lambda: None,
    now: Callable[[], float] = time.perf_counter,
) -> float:
    """Mean seconds of a call, over `repeats` calls, after `warm_up` calls that do not count."""
    for _ in range(warm_up):
        function()
    synchronize()  # what the warm-up left to do is not counted either
    started = now()
    for _ in range(repeats):
        function()
    synchronize()
    return (now() - started) / repeats


def _variant(**other):
    """`seconds_per_call` with something done otherwise."""

    def wrong(function, warm_up, repeats, synchronize=lambda: None, now=time.perf_counter):
        if other.get("early"):
            started = now()
        for _ in range(0 if other.get("skip") else other.get("warm_ups", warm_up)):
            function()
        if not other.get("no_wait_before"):
            synchronize()
        if not other.get("early"):
            started = now()
        for _ in range(other.get("calls", repeats)):
            function()
            if other.get("wait_each"):
                synchronize()
        if not other.get("no_wait_after"):
            synchronize()
        return (now() - started) / other.get("over", lambda warm_up, repeats: repeats)(warm_up, repeats)

    return wrong


def _unbracketed(function, warm_up, repeats, synchronize=lambda: None, now=time.perf_counter):
    for _ in range(warm_up):
        function()
    synchronize()
    started = now()
    for _ in range(repeats):
        function()
    synchronize()
    return now() - started / repeats


def _per_call(pick: Callable) -> Callable:
    def wrong(function, warm_up, repeats, synchronize=lambda: None, now=time.perf_counter):
        for _ in range(warm_up):
            function()
        synchronize()
        times = []
        for _ in range(repeats):
            started = now()
            function()
            synchronize()
            times.append(now() - started)
        return pick(times)

    return wrong


def _on_a_device(function: Callable, settings: dict) -> dict[str, Any]:
    """What a solution does with a device, and what it says of it."""
    how = dict(settings)
    warm_up, repeats = how.pop("warm_up"), how.pop("repeats")
    device = Device(**how)
    seconds = function(device.call, warm_up, repeats, device.synchronize, device.clock)
    read = "read" if device.readings else "not read"
    return {"the calls that were made": str(device.calls), "the clock `now()`": read, "the seconds of a call": seconds}


FIRST = {"seconds": [9, 9, 9, 0.4, 0.2, 0.3, 1.1], "compile_seconds": 30.0, "warm_up": 3, "repeats": 4}
OTHER = {"seconds": [2, 0.5, 0.6], "compile_seconds": 5.0, "warm_up": 1, "repeats": 2}
WARM = {"seconds": [2, 0.5, 0.8], "warm_up": 0, "repeats": 3}

MEAN = Case("the mean of three calls, without any warm-up", lambda: (WARM,))
TIMED = (  # whatever the warm-up
    Mistake(
        _variant(calls=1, over=lambda warm_up, repeats: 1),
        "only one call was timed. A single one may be slow or quick by chance: time `repeats` of them.",
    ),
    Mistake(
        _variant(calls=1),
        "one call was timed and divided by `repeats`. Call the function `repeats` times.",
    ),
    Mistake(
        _variant(no_wait_after=True),
        "this times how long it takes to give the device its work. Synchronize before the last reading.",
    ),
    Mistake(
        _unbracketed,
        "only `started` is divided here. Put brackets around the difference: `(now() - started) / repeats`.",
    ),
    Mistake(
        _variant(over=lambda warm_up, repeats: 1),
        "these are the seconds of all timed calls together. Divide by `repeats`.",
    ),
    Mistake(_per_call(min), "this is the quickest call. Take the mean, since a run makes slow calls as well."),
    Mistake(
        _per_call(statistics.median),
        "this is the median. Take the mean, which times the number of calls gives a run.",
    ),
    Mistake(
        _variant(wait_each=True),
        "the device is waited for after each call, and idles while the next is launched. Wait once, at the end.",
    ),
)
TIMING = Exercise(
    name="timing",
    reference=seconds_per_call,
    observe=_on_a_device,
    steps=(
        Exercise(
            name="mean",
            reference=seconds_per_call,
            observe=_on_a_device,
            cases=(MEAN,),
            mistakes=TIMED,
        ),
    ),
    cases=(
        MEAN,
        Case("30 s of compiling, then three slow calls, then four of 0.2 to 1.1 s", lambda: (FIRST,)),
        Case("another one, with one call of warm-up and two that are timed", lambda: (OTHER,)),
    ),
    mistakes=(
        Mistake(
            _variant(early=True),
            "the clock starts before the warm-up, so the 30 s of compiling are in it. Start it after the warm-up.",
        ),
        Mistake(
            _variant(early=True, no_wait_before=True, over=lambda warm_up, repeats: warm_up + repeats),
            "the warm-up is timed and counted with the rest. Start the clock after it, and divide by `repeats` alone.",
        ),
        Mistake(
            _variant(skip=True),
            "the warm-up calls are missing. The first call compiles, and that is not what a call takes later.",
        ),
        Mistake(
            _variant(warm_ups=1),
            "there is one warm-up call whatever is asked for. Make `warm_up` of them.",
        ),
        Mistake(
            _variant(no_wait_before=True),
            "work of the warm-up is still going on when the clock starts. Synchronize before the first reading, too.",
        ),
        Mistake(
            _variant(over=lambda warm_up, repeats: warm_up + repeats),
            "the seconds of `repeats` calls were divided by all calls. The warm-up is not among those timed.",
        ),
        *TIMED,
    ),
)
