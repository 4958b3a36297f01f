"""What lesson 01 draws: schedules of the learning rate, epochs to a target."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import GREY, SMALL, STYLES, Drawing, house_style, interval, wrapped
from airbench_lab.figures.measured import percent
from airbench_lab.study.speedup import epochs_to_target

ROWS = 12  # of a schedule, in its table


def schedules(factors: Mapping[str, ArrayLike]) -> Drawing:
    """Factors on the learning rate against the share of the steps that is done.

    factors: by name, 1 to 7 of them, each one factor a step (steps,). Raises UsageError for other shapes.
    """
    arrays = {name: np.asarray(some, float) for name, some in factors.items()}
    if not 1 <= len(arrays) <= len(STYLES) or any(some.ndim != 1 or not len(some) for some in arrays.values()):
        raise UsageError(f"schedules need 1 to {len(STYLES)} arrays (steps,)")
    rows = [
        {"schedule": name, "step": int(step), "of": len(some), "factor": float(some[step])}
        for name, some in arrays.items()
        for step in np.unique(np.linspace(0, len(some) - 1, ROWS).astype(int))
    ]
    said = "; ".join(
        f"{name} from {some[0]:.2g} over {some.max():.2g} at step {some.argmax()} to {some[-1]:.2g} at step "
        f"{len(some) - 1}, mean {some.mean():.2g}"
        for name, some in arrays.items()
    )
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), f"Factor on the learning rate against steps: {said}.", height=3.2)
        axes = drawing.subplots()
        for (name, some), style in zip(arrays.items(), STYLES, strict=False):
            axes.plot(
                100 * np.arange(len(some)) / len(some),
                some,
                **style.line,
                markevery=max(1, len(some) // 10),
                label=f"{wrapped(name, 3)} (mean {some.mean():.2f})",
            )
        highest = max(some.max() for some in arrays.values())
        axes.set(xlabel="steps done, %", ylabel="factor on the learning rate", xlim=(0, 101), ylim=(0, 1.08 * highest))
        axes.grid(alpha=0.3)
        drawing.legend(loc="outside upper center", ncols=2)
    return drawing


def epochs_to(curves: Mapping[str, Mapping[float, Mapping[int, float]]], target: float, where: str) -> Drawing:
    """Accuracies of recipes trained with several numbers of epochs, and the epochs that each needs to a target.

    curves: by name, {epochs: {seed: accuracy}} as of `replay.curve`, 1 to 7 of them. target: an accuracy in 0..1.
    where: what was measured on. A recipe that does not come to the target has no epochs in the table.
    """
    if not 1 <= len(curves) <= len(STYLES):
        raise UsageError(f"1 to {len(STYLES)} curves are needed, and these are {len(curves)}")
    rows, found = [], {}
    for name, of in curves.items():
        found[name] = epochs_to_target(of, target)
        for epochs in sorted(of):
            mean = percent(of[epochs].values())
            row = {"recipe": name, "epochs": float(epochs), "accuracy, %": mean.mean, "low": mean.low}
            rows.append(row | {"high": mean.high, "n": mean.n})
    said = "; ".join(f"{name} {epochs}" for name, epochs in found.items())
    with house_style():
        alt = f"Accuracy against epochs of training, on {where}. To {100 * target:g} %: {said}."
        drawing = Drawing(pd.DataFrame(rows), alt, height=4.2)
        axes = drawing.subplots()
        ends = [row["epochs"] for row in rows]
        lowest, highest = min(row["accuracy, %"] for row in rows), max(row["accuracy, %"] for row in rows)
        axes.set(xscale="log", xlim=(0.85 * min(ends), 1.15 * max(ends)), ylim=(lowest - 4, highest + 3))
        axes.set(xlabel="epochs that the run is given (log scale)", ylabel="test accuracy, %")
        ticks = sorted(set(ends))  # what was trained
        axes.set_xticks(ticks, [f"{tick:.3g}" for tick in ticks])
        axes.set_xticks([], minor=True)
        axes.axhline(100 * target, color=GREY, linewidth=1)
        for (name, epochs), style in zip(found.items(), STYLES, strict=False):
            own = [row for row in rows if row["recipe"] == name]
            x, y = [row["epochs"] for row in own], [row["accuracy, %"] for row in own]
            axes.plot(x, y, **style.line, label=wrapped(f"{name}: {epochs}", 3.7))
            for row in own:
                interval(axes, row["epochs"], row["low"], row["high"], style.colour, upright=True)
            if epochs.epochs is not None:
                down = [lowest - 4, 100 * target]
                axes.plot([epochs.epochs] * 2, down, color=style.colour, linewidth=1, dashes=(3, 2))
        axes.grid(alpha=0.3)
        drawing.legend(loc="outside upper center", ncols=2)
        note = f"{where}. Lines with ends: 95 % intervals of the mean. Between the points: interpolated."
        drawing.supxlabel(wrapped(note, 7.6), fontsize=SMALL)
    return drawing
