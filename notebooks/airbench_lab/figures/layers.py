"""What becomes of something from layer to layer, on plain arrays: pictures after each depth, and numbers by layer."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import SMALL, STYLES, Drawing, look

DEEPEST = 8  # pictures in a row, at most: they would be too small


def depths(rows: Mapping[str, Sequence[ArrayLike]]) -> Drawing:
    """One map as it is after 0, 1, 2, ... layers, in a row for each network; below each its correlation with the first.

    rows: by the network's name, maps (H, W), the first of them what all layers start from. Each map is drawn from its
    smallest value, black, to its largest, white. Raises UsageError for rows of unlike lengths or maps of unlike shapes.
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
    with look():
        drawing = Drawing(table, alt, height=0.6 + 1.25 * len(arrays))
        grid = drawing.subplots(len(arrays), last + 1, squeeze=False)
        for i, (line, (name, maps)) in enumerate(zip(grid, arrays.items(), strict=True)):
            for depth, (axes, one) in enumerate(zip(line, maps, strict=True)):
                axes.imshow(one, cmap="gray", interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(True)
                axes.set_xlabel(written[name][depth], fontsize=SMALL)
                if i == 0:
                    axes.set_title("before" if depth == 0 else f"layer {depth}", fontsize=SMALL)
            line[0].set_ylabel(name)
        drawing.supxlabel("below each: its correlation with the first of its row", fontsize=SMALL)
    return drawing


def by_layer(panels: Mapping[str, Mapping[str, Sequence[float]]], layers: str = "layer") -> Drawing:
    """Numbers of each layer, in a panel for each quantity and a line for each network.

    panels: by the quantity's name, then by the network's, a number for each layer. layers: what is counted. Raises
    UsageError unless there are 1 to 3 quantities, of the same 1 to 7 networks, all of one length.
    """
    arrays = {what: {name: np.asarray(of, float) for name, of in lines.items()} for what, lines in panels.items()}
    shapes = {of.shape for lines in arrays.values() for of in lines.values()}
    names = {tuple(lines) for lines in arrays.values()}
    if not 1 <= len(arrays) <= 3 or len(shapes) != 1 or len(names) != 1 or len(*names) > len(STYLES):
        raise UsageError(f"numbers by layer need 1 to 3 quantities of 1 to {len(STYLES)} networks, all of one length")
    (count,), of_all = shapes.pop(), names.pop()
    rows = [
        {"of": name, layers: number + 1, **{what: float(lines[name][number]) for what, lines in arrays.items()}}
        for name in of_all
        for number in range(count)
    ]
    ends = "; ".join(
        f"{what}: "
        + ", ".join(f"{name} {of[0]:.3g} in the first and {of[-1]:.3g} in the last" for name, of in lines.items())
        for what, lines in arrays.items()
    )
    with look():
        drawing = Drawing(pd.DataFrame(rows), f"Numbers of each layer. {ends}.", height=3.4)
        for axes, (what, lines) in zip(drawing.subplots(1, len(arrays), squeeze=False)[0], arrays.items(), strict=True):
            for (name, of), style in zip(lines.items(), STYLES[1:] + STYLES[:1], strict=False):
                how = {"color": style.colour, "linestyle": style.dashes, "marker": style.marker}
                axes.plot(range(1, len(of) + 1), of, **how, label=name)
            axes.set(xlabel=layers, ylim=(min(0, *axes.get_ylim()), None))
            axes.set_title(what, loc="left")
            axes.xaxis.set_major_locator(MaxNLocator(integer=True))
            axes.grid(alpha=0.3)
        handles, labels = drawing.axes[0].get_legend_handles_labels()
        drawing.legend(handles, labels, loc="outside upper right", ncols=len(labels))
    return drawing


def _correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Of the two maps' values, place by place; 0 where one of them is the same everywhere."""
    a, b = a - a.mean(), b - b.mean()
    lengths = np.sqrt((a**2).sum() * (b**2).sum())
    return float((a * b).sum() / lengths) if lengths else 0.0
