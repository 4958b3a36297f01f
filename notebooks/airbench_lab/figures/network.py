"""The network of airbench in one picture: shapes, parameters, and where each trick sits."""

import pandas as pd
from matplotlib.patches import Rectangle

from airbench_core import Recipe, UsageError
from airbench_lab.figures.drawing import BLUE, GREY, SMALL, WIDTH, Drawing, house_style

STAGES = {  # what each does, and the lessons' tricks that sit in it alone
    "images": ("normalized", ["06 multi-crop TTA", "07 alternating flip"]),
    "first layer": ("conv 2×2, GELU", ["02 whitening", "04 freezing its bias"]),
    "group 1": ("two convolutions", []),
    "group 2": ("two convolutions", []),
    "group 3": ("two convolutions", []),
    "head": ("maximum, linear", []),
}
CONV, NORM = ("conv 3×3", ["03 identity init", "11 Muon"]), ("BatchNorm", ["04 bias scale"])
GROUP = [CONV, ("max-pool 2", []), NORM, ("GELU", []), CONV, NORM, ("GELU", [])]
AROUND = "around it: 01 learning rate, 05 Lookahead (both in each step), 08 torch.compile (how it is computed)"
HEIGHT, MAP, BOX = 4.1, 0.9, 0.94  # inches: of the figure, of an image's side, of a layer in a group
STACKED = 3  # sheets that stand for the channels


def network(recipe: Recipe) -> Drawing:
    """Each stage of the recipe's network: its map in proportion, its shape, its parameters, and the tricks in it.

    recipe: as it is built, scaled or not. BatchNorm's scale is no parameter, since it stays 1. Raises UsageError for
    other than two convolutions in a group.
    """
    if recipe.depth != 2:
        raise UsageError(f"groups of {recipe.depth} convolutions are not drawn: two are")
    shapes, counts = _measured(recipe)
    of_groups = [trick for _, tricks in (CONV, NORM) for trick in tricks]
    rows = [
        {"stage": name, "shape for one image": " × ".join(map(str, shape)), "parameters": count}
        | {"tricks, with their lessons": ", ".join(of_groups if name.startswith("group") else tricks)}
        for (name, (_, tricks)), shape, count in zip(STAGES.items(), shapes, counts, strict=True)
    ]
    said = "; ".join(f"{row['stage']} {row['shape for one image']}" for row in rows)
    inside = ", ".join(layer for layer, _ in GROUP)
    alt = f"The network, {sum(counts):,} parameters. What one image becomes: {said}. In a group: {inside}; {AROUND}."
    with house_style():
        drawing = Drawing(pd.DataFrame(rows), alt, HEIGHT, layout="none")
        axes = drawing.add_axes((0, 0, 1, 1))  # one unit is an inch
        axes.set(xlim=(0, WIDTH), ylim=(HEIGHT, 0))
        axes.set_axis_off()

        def write(x: float, y: float, *lines: str, **how) -> None:
            for number, line in enumerate(lines):
                axes.text(x, y + 0.18 * number, line, ha="center", va="center", **{"fontsize": SMALL, **how})

        def box(x: float, y: float, width: float, height: float) -> None:
            corner = x - width / 2, y - height / 2
            axes.add_patch(Rectangle(corner, width, height, facecolor="white", edgecolor=BLUE, linewidth=1.2))

        def arrow(start: float, end: float, y: float) -> None:
            axes.annotate("", (end, y), (start, y), arrowprops={"arrowstyle": "->"})

        step = WIDTH / len(rows)
        for at, (row, (what, tricks), shape) in enumerate(zip(rows, STAGES.values(), shapes, strict=True)):
            x, size = step * (at + 0.5), MAP * shape[-1] / shapes[0][-1]
            write(x, 0.2, row["stage"], weight="bold")
            write(x, 0.4, what, color=GREY)
            if len(shape) == 1:
                box(x, 1.1, 0.09, size)
            else:
                for sheet in reversed(range(STACKED)):
                    box(x + 0.05 * (sheet - 1), 1.1 - 0.05 * (sheet - 1), size, size)
            if at:
                arrow(x - step / 2 - 0.1, x - step / 2 + 0.1, 1.1)
            count = row["parameters"]
            write(x, 1.8, row["shape for one image"], f"{_short(count)} parameters" if count else "")
            write(x, 2.2, *tricks, color=BLUE)
        write(WIDTH / 2, 2.72, "each group", weight="bold")
        step = (WIDTH - 0.1) / len(GROUP)
        for at, (layer, tricks) in enumerate(GROUP):
            x = 0.05 + step * (at + 0.5)
            box(x, 3.03, BOX, 0.3)
            write(x, 3.03, layer)
            write(x, 3.31, *tricks, color=BLUE)
            if at:
                arrow(x - step + BOX / 2, x - BOX / 2, 3.03)
        write(WIDTH / 2, 3.86, AROUND, color=BLUE)
    return drawing


def _short(count: int) -> str:
    return f"{count:,}" if count < 10_000 else f"{count / 1e3:.0f} k" if count < 1e6 else f"{count / 1e6:.2f} M"


def _measured(recipe: Recipe) -> tuple[list[tuple[int, ...]], list[int]]:
    """Of each stage, the shape that one image has after it, and its parameters."""
    import torch  # here: what draws recorded runs does without it

    from airbench_core.network import Network

    built = Network(recipe)
    built.reset(torch.Generator().manual_seed(0))
    fixed = {id(module.weight) for module in built.modules() if isinstance(module, torch.nn.BatchNorm2d)}
    stages, shapes = [built.first, *built.groups, built.head], [(3, 32, 32)]
    for stage in stages:
        stage.register_forward_hook(lambda module, given, out: shapes.append(tuple(out.shape[1:])))
    with torch.no_grad():
        built.eval()(torch.zeros(1, *shapes[0]))
    counts = [sum(one.numel() for one in stage.parameters() if id(one) not in fixed) for stage in stages]
    return shapes, [0, *counts]
