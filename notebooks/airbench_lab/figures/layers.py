"""What becomes of something from layer to layer, and of parameters from step to step, on plain arrays."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import BLACK, SKY, SMALL, Drawing, house_style

DEEPEST = 8  # pictures in a row, at most: they would be too small
ROWS = 12  # steps in the table, of each panel, at most
LINES = 24  # parameters drawn, of each panel, at most: more make a thicket, and a large file


def depths(rows: Mapping[str, Sequence[ArrayLike]], *, picture: ArrayLike | None = None) -> Drawing:
    """One map as it is after 0, 1, 2, ... layers, in a row for each network; below each its correlation with the first.

    rows: by the network's name, maps (H, W), the first of them what all layers start from. Each map is drawn from its
    smallest value, black, to its largest, white. picture: uint8 (3, H, W), of which the maps are; drawn on their left.
    Raises UsageError for rows of unlike lengths or maps of unlike shapes.
    """
    arrays = {name: [np.asarray(one, float) for one in maps] for name, maps in rows.items()}
    counts = {len(maps) for maps in arrays.values()}
    shapes = {one.shape for maps in arrays.values() for one in maps}
    if len(counts) != 1 or not 2 <= min(counts) <= DEEPEST or len(shapes) != 1 or len(shapes.pop()) != 2:
        raise UsageError(f"pictures by depth need rows of 2 to {DEEPEST} maps (H, W), all of one shape")
    found = {name: [_correlation(maps[0], one) for one in maps] for name, maps in arrays.items()}
    table = pd.DataFrame(
        {"layers": name, "passed": depth, "correlation with the first": value}
        for name, values in found.items()
        for depth, value in enumerate(values)
    )
    last = counts.pop() - 1
    written = {name: [f"{value:.2f}".replace("-", "−") for value in values] for name, values in found.items()}
    ends = ", ".join(f"{name} {values[-1]}" for name, values in written.items())
    alt = f"One map before and after each of {last} layers. Correlation of the last with the first: {ends}."
    with house_style():
        drawing = Drawing(table, alt, height=0.6 + 1.25 * len(arrays))
        left = int(picture is not None)
        grid = drawing.subplots(len(arrays), left + last + 1, squeeze=False)
        for axes in grid[:, :left].flat:
            axes.set_axis_off()
        if picture is not None:
            grid[0, 0].imshow(np.moveaxis(np.asarray(picture), 0, 2), interpolation="nearest")
            grid[0, 0].set_title("picture", fontsize=SMALL)
        for i, (line, (name, maps)) in enumerate(zip(grid, arrays.items(), strict=True)):
            for depth, (axes, one) in enumerate(zip(line[left:], maps, strict=True)):
                axes.imshow(one, cmap="gray", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(True)
                axes.set_xlabel(written[name][depth], fontsize=SMALL)
                if i == 0:
                    axes.set_title("before" if depth == 0 else f"layer {depth}", fontsize=SMALL)
            line[left].set_ylabel(name)
        drawing.supxlabel("below each: its correlation with the first of its row", fontsize=SMALL)
    return drawing


def trajectories(panels: Mapping[str, ArrayLike], *, value: str = "value") -> Drawing:
    """The values of some parameters after each step: a panel for each training, a thin line for each parameter.

    panels: by the training's name, (steps, parameters); the panels share one scale. value: what is drawn. The thick
    lines are the mean of all, and one standard deviation on both sides; of more than 24 parameters some are drawn,
    spread evenly over them. Raises UsageError unless there are 1 to 3 panels of as many steps.
    """
    arrays = {name: np.asarray(values, float) for name, values in panels.items()}
    if not 1 <= len(arrays) <= 3 or any(one.ndim != 2 or not one.size for one in arrays.values()):
        raise UsageError("trajectories need 1 to 3 arrays (steps, parameters)")
    if len({len(one) for one in arrays.values()}) > 1:
        raise UsageError("trajectories in one figure need as many steps in each")
    steps = len(next(iter(arrays.values())))
    spreads = {name: values.std(1, ddof=int(values.shape[1] > 1)) for name, values in arrays.items()}  # as torch's std
    shown = np.unique(np.linspace(1, steps, ROWS).round().astype(int))
    table = pd.DataFrame(
        {
            "training": name,
            "step": int(step),
            "parameters": values.shape[1],
            "mean": float(values[step - 1].mean()),
            "standard deviation": float(spreads[name][step - 1]),
            "smallest": float(values[step - 1].min()),
            "largest": float(values[step - 1].max()),
        }
        for name, values in arrays.items()
        for step in shown
    )
    ends = "; ".join(
        f"{name} {values[-1].min():.2g} to {values[-1].max():.2g}, standard deviation {spreads[name][-1]:.2g}"
        for name, values in arrays.items()
    )
    with house_style():
        drawing = Drawing(table, f"{value} of each parameter over {steps} steps. After the last: {ends}.", height=3.6)
        grid = drawing.subplots(1, len(arrays), sharey=True, squeeze=False)[0]
        for axes, (name, values) in zip(grid, arrays.items(), strict=True):
            at = np.arange(1, steps + 1)
            drawn = np.unique(np.linspace(0, values.shape[1] - 1, LINES).round().astype(int))
            axes.plot(at, values[:, drawn], color=SKY, linewidth=0.7, antialiased=False)
            mean, spread = values.mean(1), spreads[name]
            axes.plot(at, mean, color=BLACK, linewidth=2)
            for edge in (mean - spread, mean + spread):
                axes.plot(at, edge, color=BLACK, linewidth=1.2, linestyle=(0, (4, 2)))
            axes.set_title(name, loc="left")
            axes.set(xlabel="step", xlim=(1, max(2, steps)))
            axes.grid(alpha=0.3)
        grid[0].set_ylabel(value)
    return drawing


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of the two maps' values, place by place; 0 where one of them is the same everywhere."""
    a, b = a - a.mean(), b - b.mean()
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / lengths) if lengths else 0.0
