"""Pictures in rows: what augmentation makes of them, which of them are chosen."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import LETTERS, SMALL, Drawing, look, row_height, side, wrapped

MOST = 8  # in a row: of more the titles would touch
LARGEST = 1.0  # inches, of a picture


def pictures(rows: Mapping[str, ArrayLike], titles: Mapping[str, Sequence[str]] | None = None) -> Drawing:
    """Rows of pictures, each with its name; as many in each.

    rows: by name, arrays (N, 3, H, W) in 0..1, of which what lies outside is cut; up to 8 pictures. titles: of each
    picture, by the row's name. Raises UsageError for other shapes, and for more pictures than can be seen.
    """
    arrays = {name: np.asarray(some, float) for name, some in rows.items()}
    counts = {some.shape[0] for some in arrays.values() if some.ndim == 4 and some.shape[1] == 3}
    if len(counts) != 1 or any(some.ndim != 4 or some.shape[1] != 3 for some in arrays.values()):
        raise UsageError("rows of pictures need arrays (N, 3, height, width) with one N")
    (count,) = counts
    if not 1 <= count <= MOST:
        raise UsageError(f"{count} pictures in a row are not legal: 1 to {MOST}")
    given = titles or {}
    table = pd.DataFrame(
        {
            "row": name,
            "picture": number + 1,
            "title": given[name][number] if name in given else "",
            "mean brightness": float(some[number].mean()),
        }
        for name, some in arrays.items()
        for number in range(count)
    )
    alt = f"Rows of {count} pictures: {'; '.join(arrays)}."
    names = [wrapped(name, 1.0) for name in arrays]
    one = side(count, LARGEST, max(len(line) for name in names for line in name.split("\n")) / LETTERS)
    with look():
        drawing = Drawing(table, alt, height=sum(row_height(one, given.get(name, ())) for name in arrays))
        grid = drawing.subplots(len(arrays), count, squeeze=False)
        for axes_row, label, (name, some) in zip(grid, names, arrays.items(), strict=True):
            for number, axes in enumerate(axes_row):
                axes.imshow(some[number].transpose(1, 2, 0).clip(0, 1), interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                axes.spines[:].set_visible(False)
                if name in given:
                    axes.set_title(given[name][number], fontsize=SMALL)
            axes_row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=SMALL)
    return drawing
