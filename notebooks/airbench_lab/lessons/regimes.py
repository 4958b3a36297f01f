"""What each trick is worth in its regime, as it was recorded: a lesson's one number, and README's table."""

from typing import NamedTuple

import pandas as pd

from airbench_lab.figures.drawing import Drawing
from airbench_lab.lessons.compare import compare
from airbench_lab.replay import lookup
from airbench_lab.study.statistics import Difference, difference, sign_share
from airbench_lab.study.studies import REGIMES

SCALE, DATA = "laptop", "cifar10"


class Worth(NamedTuple):
    """gain: of accuracy, paired by seed. sign_share: how often the mean of three pairs has its sign. Of all runs."""

    gain: Difference
    sign_share: float
    without: float  # mean accuracies
    with_it: float
    hardware: str


def worth(trick: str) -> Worth | None:
    """What is recorded of a trick, by the name of its file in airbench_core/tricks; None where nothing is."""
    without, with_it = (lookup(one, SCALE, DATA) for one in (REGIMES[trick].without, REGIMES[trick].with_it))
    if not (without and with_it) or without.hardware != with_it.hardware:
        return None
    a, b = without.accuracies, with_it.accuracies
    seeds = sorted(a.keys() & b.keys())
    a, b = ({seed: of[seed] for seed in seeds} for of in (a, b))
    pairs = [b[seed] - a[seed] for seed in seeds]
    means = (sum(of.values()) / len(seeds) for of in (a, b))
    return Worth(difference(a, b), sign_share(pairs), *means, without.hardware)


def answer(trick: str, guess: float | None) -> str:
    """What is recorded of a trick, in three lines; in the second a guess, in points, is held against the interval."""
    found = worth(trick)
    if found is None:
        return "nothing is recorded"
    low, high = 100 * found.gain.low, 100 * found.gain.high
    gain = f"{100 * found.gain.difference:+.2f} points, 95 % interval {low:+.2f} to {high:+.2f}"
    return "\n".join(
        [
            f"{found.gain.n_a} pairs recorded on CIFAR-10: {gain}",
            held(guess, low, high),
            f"spread of a pair {100 * found.gain.std:.2f} points; "
            f"three drawn at random have its sign in {found.sign_share:.0%} of draws",
        ]
    )


def held(guess: float | None, low: float, high: float) -> str:
    """Where a guess, in points, lies beside a recorded interval, in words."""
    if guess is None:
        return "no guess written down"
    where = "below" if guess < low else "above" if guess > high else "inside"
    return f"your guess: {guess:+g} points, {where} the interval"


def table() -> pd.DataFrame:
    """A row for each trick: accuracies and their difference in percent and points, its interval, pairs, sign_share."""
    rows = [
        {
            "trick": regime.label,
            "changed for it": regime.chosen,
            "without": f"{found.without:.1%}",
            "with": f"{found.with_it:.1%}",
            "points": f"{100 * found.gain.difference:+.2f}",
            "95 % interval": f"{100 * found.gain.low:+.2f} to {100 * found.gain.high:+.2f}",
            "pairs": found.gain.n_a,
            "three pairs show the sign": f"{found.sign_share:.0%}",
        }
        for trick, regime in REGIMES.items()
        if (found := worth(trick))
    ]
    return pd.DataFrame(rows)


def markdown() -> str:
    return table().to_markdown(index=False, disable_numparse=True)


def figure() -> Drawing:
    """The same as a picture."""
    pairs = {regime.label: (regime.without, regime.with_it) for regime in REGIMES.values()}
    return compare(pairs, scale=SCALE, data=DATA)
