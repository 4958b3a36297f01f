"""Pictures in rows: what augmentation makes of them, which of them are chosen."""

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import (
    LETTERS,
    SMALL,
    WIDTH,
    Drawing,
    house_style,
    row_height,
    show_picture,
    side,
    wrapped,
)

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
    with house_style():
        drawing = Drawing(table, alt, height=sum(row_height(one, given.get(name, ())) for name in arrays))
        grid = drawing.subplots(len(arrays), count, squeeze=False)
        for axes_row, label, (name, some) in zip(grid, names, arrays.items(), strict=True):
            for number, axes in enumerate(axes_row):
                show_picture(axes, some[number])
                axes.spines[:].set_visible(False)
                if name in given:
                    axes.set_title(given[name][number], fontsize=SMALL)
            axes_row[0].set_ylabel(label, rotation=0, ha="right", va="center", fontsize=SMALL)
    return drawing


def titled(images: ArrayLike, titles: Sequence[str]) -> Drawing:
    """Images in a row, each below its title.

    images: (N, 3, H, W) of 1 to 10 images, in 0..1; the nearest is drawn for what is outside. Raises UsageError for
    other shapes, or another number of titles.
    """
    pixels = np.asarray(images, float)
    if pixels.ndim != 4 or pixels.shape[1] != 3 or not 1 <= len(pixels) <= 10 or len(titles) != len(pixels):
        raise UsageError(f"images of shape {pixels.shape} with {len(titles)} titles: 1 to 10 of (3, H, W) are needed")
    rows = [
        {"picture": number, "title": title, "mean red": red, "mean green": green, "mean blue": blue}
        for number, (title, (red, green, blue)) in enumerate(
            zip(titles, pixels.mean((2, 3)).tolist(), strict=True), start=1
        )
    ]
    return picture_row(pixels, list(titles), pd.DataFrame(rows), f"Pictures in a row: {'; '.join(titles)}.")


def picture_row(
    pictures: Sequence[np.ndarray], titles: Iterable[str], table: pd.DataFrame, alt: str, below: Sequence[str] = ()
) -> Drawing:
    """Pictures (3, H, W) side by side, each below its title, of which a last line is in `below`."""
    count = len(pictures)
    above = [wrapped(title, 0.9 * WIDTH / count) for title in titles]
    if below:
        above = [f"{title}\n{last}" for title, last in zip(above, below, strict=True)]
    with house_style():
        drawing = Drawing(table, alt, row_height(side(count, 2.5), above))
        for axes, picture, title in zip(drawing.subplots(1, count, squeeze=False)[0], pictures, above, strict=True):
            axes.set_anchor("N")  # else the room for the titles is measured from elsewhere
            show_picture(axes, picture)
            axes.set_title(title, fontsize=SMALL)
            axes.spines[:].set_visible(True)
    return drawing
