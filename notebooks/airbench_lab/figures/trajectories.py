"""How parameters move during a training, one line each, on plain arrays."""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLACK, GREY, SKY, Drawing, look

ROWS = 12  # steps in the table, of each panel, at most
LINES = 24  # parameters drawn, of each panel, at most: more make a thicket, and a large file


def trajectories(
    panels: Mapping[str, ArrayLike], *, value: str = "value", mark: int | None = None, marked: str = ""
) -> Drawing:
    """The values of some parameters after each step: a panel for each training, a thin line for each parameter.

    panels: by the training's name, (steps, parameters); the panels share one scale. value: what is drawn. mark: a step
    at which a line stands that `marked` names. The thick lines are the mean of all, and one standard deviation on both
    sides; of more than 24 parameters some are drawn, spread evenly over them.
    Raises UsageError unless there are 1 to 3 panels of as many steps.
    """
    arrays = {name: np.asarray(values, float) for name, values in panels.items()}
    if not 1 <= len(arrays) <= 3 or any(one.ndim != 2 or not one.size for one in arrays.values()):
        raise UsageError("trajectories need 1 to 3 arrays (steps, parameters)")
    if len({len(one) for one in arrays.values()}) > 1:
        raise UsageError("trajectories in one figure need as many steps in each")
    steps = len(next(iter(arrays.values())))
    shown = np.unique(np.linspace(1, steps, ROWS).round().astype(int))
    table = pd.DataFrame(
        {
            "training": name,
            "step": int(step),
            "parameters": values.shape[1],
            "mean": float(values[step - 1].mean()),
            "standard deviation": float(values[step - 1].std()),
            "smallest": float(values[step - 1].min()),
            "largest": float(values[step - 1].max()),
        }
        for name, values in arrays.items()
        for step in shown
    )
    ends = "; ".join(
        f"{name} {values[-1].min():.2g} to {values[-1].max():.2g}, standard deviation {values[-1].std():.2g}"
        for name, values in arrays.items()
    )
    with look():
        drawing = Drawing(table, f"{value} of each parameter over {steps} steps. After the last: {ends}.", height=3.6)
        grid = drawing.subplots(1, len(arrays), sharey=True, squeeze=False)[0]
        for axes, (name, values) in zip(grid, arrays.items(), strict=True):
            at = np.arange(1, steps + 1)
            drawn = np.unique(np.linspace(0, values.shape[1] - 1, LINES).round().astype(int))
            axes.plot(at, values[:, drawn], color=SKY, linewidth=0.7, antialiased=False)
            mean, spread = values.mean(1), values.std(1)
            axes.plot(at, mean, color=BLACK, linewidth=2)
            for edge in (mean - spread, mean + spread):
                axes.plot(at, edge, color=BLACK, linewidth=1.2, linestyle=(0, (4, 2)))
            if mark is not None:
                axes.axvline(mark, color=GREY, linestyle=":", linewidth=1.5)
            axes.set_title(name, loc="left")
            axes.set(xlabel="step" if mark is None else f"step (dotted: {marked})", xlim=(1, max(2, steps)))
            axes.grid(alpha=0.3)
        grid[0].set_ylabel(value)
    return drawing
