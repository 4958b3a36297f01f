"""Seconds: when a device waits for its host, and when what was paid once has paid."""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import pandas as pd

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, STYLES, Drawing, house_style
from airbench_lab.study.statistics import Mean, mean_interval


class Runs(NamedTuple):
    """After how many runs a price has paid, with the 95 % interval of that; infinite where it may never pay."""

    runs: float
    low: float
    high: float

    def __str__(self) -> str:
        if self.runs == self.low == math.inf:
            return "never"
        after = f"after {_whole(self.runs)} runs" if self.runs < math.inf else "perhaps never"
        ends = f"{_whole(self.low)} to {_whole(self.high)}" if self.high < math.inf else f"{_whole(self.low)} or more"
        return f"{after} (95 % interval {ends})"


def pays_after(plain: Sequence[float], once: float, quicker: Sequence[float]) -> Runs:
    """The price over what a run saves.

    plain, quicker: seconds of a run each way, measured in turns, so that they belong together round by round; two
    rounds and more. once: seconds paid before the first quicker run, taken as exact. The interval is Student's of what
    is saved. Raises UsageError for seconds that are not positive; `once` may be 0.
    """
    if not (len(plain) == len(quicker) > 1 and all(0 < one < math.inf for one in (*plain, *quicker))):
        raise UsageError("seconds of two rounds and more are needed, as many of each way, above 0 and finite")
    if not 0 <= once < math.inf:
        raise UsageError(f"a price of {once:g} seconds is not legal: 0 or more, and finite")
    saved = _saved(plain, quicker)
    runs, high, low = (once / some if some > 0 else math.inf for some in (saved.mean, saved.low, saved.high))
    return Runs(runs, low, high)


def break_even(
    plain: Sequence[float], once: float, quicker: Sequence[float], what: tuple[str, str] = ("eager", "compiled")
) -> Drawing:
    """Seconds in all against the number of runs: as they are, and with what is paid once to make each one quicker.

    The band is the interval of what is saved. For the arguments and errors see `pays_after`. what: the two ways.
    """
    pays, n = pays_after(plain, once, quicker), len(plain)
    slow = sum(plain) / n
    last = max(2.2 * pays.runs, 5.0) if pays.runs < math.inf else 10.0
    counts = np.linspace(0, last, 9)
    saved = _saved(plain, quicker)
    ways = {what[0]: slow * counts, what[1]: once + (slow - saved.mean) * counts}
    table = pd.DataFrame({"runs": counts, **{f"{name}, seconds in all": of for name, of in ways.items()}})
    end = f"{what[1]} has paid for itself: {pays}; {n} rounds"
    alt = f"Seconds in all against runs: {what[0]} {slow:.3g} a run; {what[1]} {once:.3g} once and "
    with house_style():
        drawing = Drawing(table, f"{alt}{slow - saved.mean:.3g} a run; {end}.", height=3.4)
        axes = drawing.subplots()
        for (name, of), style in zip(ways.items(), STYLES, strict=False):
            axes.plot(counts, of, **style.line, label=name, clip_on=False)
        band = (once + (slow - some) * counts for some in (saved.low, saved.high))
        axes.fill_between(counts, *band, color=STYLES[1].colour, alpha=0.15, linewidth=0)
        axes.set(xlabel="runs", ylabel="seconds in all", xlim=(0, last), ylim=(0, None), title=end)
        axes.grid(alpha=0.3)
        drawing.legend(loc="outside upper right", ncols=2)
    return drawing


def _saved(plain: Sequence[float], quicker: Sequence[float]) -> Mean:
    """Seconds that a run saves, taken round by round."""
    return mean_interval([slow - quick for slow, quick in zip(plain, quicker, strict=True)])


def _whole(runs: float) -> str:
    return f"{math.ceil(runs):,}" if runs < math.inf else "never"


def launches(launch: float, works: Sequence[float]) -> Drawing:
    """A host that gives work to a device, piece by piece or all by a single launch, and the device that does it.

    launch: microseconds of the host for each launch. works: microseconds of the device for each piece, 1 to 40 of them.
    A piece starts when it was launched and the one before is done. Raises UsageError for what is not positive.
    """
    if not (1 <= len(works) <= 40 and 0 < launch < math.inf and all(0 < work < math.inf for work in works)):
        raise UsageError("1 to 40 pieces of work are needed, and microseconds above 0")
    ways = {}
    for name, ready in (
        ("piece by piece", [launch * (i + 1) for i in range(len(works))]),
        ("one launch for all", [launch] * len(works)),
    ):
        done, bars = 0.0, []
        for at, work in zip(ready, works, strict=True):
            start = max(at, done)
            done = start + work
            bars.append((start, work))
        ways[name] = (sorted(set(ready)), bars, done)
    rows = [
        {"way": name, "launches": len(host), "device works": float(sum(works)), "all is done after": float(done)}
        | {"device waits": float(done - sum(works))}
        for name, (host, _, done) in ways.items()
    ]
    said = "; ".join(f"{row['way']} {row['all is done after']:.3g}, waiting {row['device waits']:.3g}" for row in rows)
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), f"Microseconds until all pieces are done: {said}.", height=2.9)
        axes = drawing.subplots()
        labels = []
        for way, (name, (host, bars, done)) in enumerate(ways.items()):
            how = {"edgecolor": "white", "linewidth": 1}
            given = [(end - launch, launch) for end in host]
            axes.broken_barh(given, (2.4 * way - 0.4, 0.8), color=STYLES[2].colour, **how, label=("launch", None)[way])
            axes.broken_barh(bars, (2.4 * way + 0.6, 0.8), color=STYLES[1].colour, **how, label=("work", None)[way])
            axes.axvline(done, color=GREY, linewidth=1, linestyle=(":", "--")[way])
            labels += [f"{name}: host", f"device, {done:.3g} µs"]
        axes.set_yticks([0, 1, 2.4, 3.4], labels)
        axes.set(ylim=(4, -0.6), xlim=(0, 1.02 * max(done for *_, done in ways.values())), xlabel="microseconds")
        drawing.legend(loc="outside upper right", ncols=2)
    return drawing
