"""What all figures share: the figure that has a table beside it, its look, its colours, its PNG.

Colours: Okabe and Ito, "Color Universal Design" (2008), without the yellow, which white paper swallows. Whoever sees no
colours goes by the dashes and markers, and whoever does not see the figure reads the table.
"""

import html
import io
import math
import textwrap
import threading
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from matplotlib import style
from matplotlib.axes import Axes
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from PIL import Image
from PIL.PngImagePlugin import PngInfo

# What every PNG says of itself in its text: the data set, the scale and the commit of the notebook that draws it.
STAMP: dict[str, str] = {}

BLACK, BLUE, VERMILION, GREEN = "#000000", "#0072B2", "#D55E00", "#009E73"
PURPLE, ORANGE, SKY = "#CC79A7", "#E69F00", "#56B4E9"
GREY = "#666666"  # of lines that carry no data

WIDTH = 8.0  # inches, of every figure
DPI = 100  # a figure is shown one of its pixels to one of the page, so 9 points are 12.5 pixels
SMALL, NORMAL = 9, 10  # points
KEPT = 60_000  # bytes of a figure in a notebook that is kept
LETTERS = 14  # of the SMALL size that an inch holds
PAD = 0.16  # inches between two axes that stand side by side or below each other

LOOK = {
    "font.family": "DejaVu Sans",  # comes with matplotlib, so that nothing is cut off on another machine
    "font.size": NORMAL,
    "text.parse_math": False,  # a dollar in a label is a dollar
    "axes.titlesize": NORMAL,
    "axes.labelsize": NORMAL,
    "xtick.labelsize": SMALL,
    "ytick.labelsize": SMALL,
    "legend.fontsize": SMALL,
    "legend.frameon": False,
    "legend.handlelength": 4,  # long enough to tell dashes from dots
    "axes.axisbelow": True,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "figure.constrained_layout.h_pad": PAD / 2,
    "figure.constrained_layout.w_pad": PAD / 2,
}

_LOOKING = threading.RLock()

Dashes = str | tuple[float, tuple[float, ...]]


class Style(NamedTuple):
    """How a series is drawn: no two that stand side by side share any of the three."""

    colour: str
    dashes: Dashes
    marker: str

    @property
    def line(self) -> dict[str, Any]:
        """For `plot`: a line through points."""
        return {"color": self.colour, "linestyle": self.dashes, "marker": self.marker}

    @property
    def point(self) -> dict[str, Any]:
        """For `plot`: points alone."""
        return {"color": self.colour, "linestyle": "none", "marker": self.marker}


SOLID: Dashes = "solid"
STYLES = (
    Style(BLACK, SOLID, "o"),
    Style(BLUE, (0, (6, 2)), "s"),
    Style(VERMILION, (0, (1, 1.2)), "^"),
    Style(GREEN, (0, (5, 1.5, 1, 1.5)), "D"),
    Style(PURPLE, (0, (2.5, 1.2)), "v"),
    Style(ORANGE, (0, (4, 1.2, 1, 1.2, 1, 1.2)), "P"),
    Style(SKY, (0, (10, 3)), "X"),
)


class Drawing(Figure):
    """A figure that knows its numbers. A notebook shows it with its words and table, folded; `png` makes the picture.

    table: what is drawn, in the same units, a row for each bar, point or picture. alt: what there is to see, in words.
    """

    def __init__(self, table: pd.DataFrame, alt: str, height: float, *, layout: str = "constrained"):
        super().__init__(figsize=(WIDTH, height), dpi=DPI, facecolor="white", layout=layout)
        self.table, self.alt = table, alt

    def draw(self, renderer: RendererBase) -> None:
        with house_style():  # some ticks are made only now
            super().draw(renderer)

    def _ipython_display_(self) -> None:
        """Two outputs, the picture and its numbers: pages that clean HTML, as GitHub's, show no picture within it."""
        from IPython.display import display  # here: it is needed in notebooks alone

        # Twice as many pixels as are shown, for screens that have them.
        picture = b64encode(fewer_colours(png(self, sharpness=2))).decode()
        shown = {"width": round(WIDTH * DPI), "alt": self.alt}
        display({"image/png": picture, "text/plain": self.alt}, metadata={"image/png": shown}, raw=True)
        display({"text/html": words_html(self), "text/plain": self.alt}, raw=True)


@contextmanager
def house_style() -> Iterator[None]:
    """Within it, matplotlib has this project's look, whatever a notebook has set; in one thread at a time.

    matplotlib's settings are those of all threads: what a notebook plots by itself at that moment is drawn with them.
    """
    with _LOOKING, style.context(["default", LOOK]):
        yield


def png(figure: Figure, sharpness: float = 1) -> bytes:
    """The figure as a PNG without transparency: white, so that it can be read in JupyterLab's dark theme, too.

    sharpness: how many pixels are made of each that is shown.
    """
    out = io.BytesIO()
    # Quick to pack: such a picture is small anyway, and a live one is made four times a second.
    figure.savefig(
        out, format="png", dpi=sharpness * DPI, facecolor="white", metadata=STAMP, pil_kwargs={"compress_level": 1}
    )
    return out.getvalue()


def fewer_colours(picture: bytes) -> bytes:
    """The same picture in a third of the bytes, for a notebook that is kept: with as many colours as fit into KEPT."""
    says = PngInfo()
    with Image.open(io.BytesIO(picture)) as image:
        for name, text in image.text.items():
            says.add_text(name, text)
        for colours, method in (255, Image.Quantize.MEDIANCUT), (40, Image.Quantize.FASTOCTREE):
            out = io.BytesIO()
            few = image.convert("RGB").quantize(colours, method=method, dither=Image.Dither.NONE)
            few.save(out, "png", optimize=True, pnginfo=says)
            if len(out.getvalue()) < KEPT:
                break
    return out.getvalue()


def words_html(figure: Drawing) -> str:
    """What there is to see, and the table: for whoever does not see it."""
    words = f"<p>{html.escape(figure.alt)}</p>{table_html(figure)}"
    return f"<details><summary>The figure in words and numbers</summary>{words}</details>"


def table_html(figure: Drawing) -> str:
    """The figure's table."""
    return html_table(figure.table, "The numbers of the figure")


def html_table(table: pd.DataFrame, caption: str) -> str:
    """A table with the heads of its columns marked as such for a screen reader; numbers to four digits."""

    def line(cells: Sequence[str], tag: str) -> str:
        scope = ' scope="col"' if tag == "th" else ""
        inner = "".join(f'<{tag}{scope} style="text-align: left">{html.escape(cell)}</{tag}>' for cell in cells)
        return f"<tr>{inner}</tr>"

    head = line([str(name) for name in table.columns], "th")
    body = "".join(line([cell(value) for value in row], "td") for row in table.itertuples(index=False))
    return f"<table><caption>{html.escape(caption)}</caption><thead>{head}</thead><tbody>{body}</tbody></table>"


def cell(value: object) -> str:
    """A value of a table as it is read: four digits, and a word for what there is not."""
    if isinstance(value, str):
        return value
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return "none"
    if isinstance(value, float) and math.isinf(value):
        return "not bounded"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)


def wrapped(text: str, inches: float) -> str:
    """`text` in lines of the SMALL size that fit a width; no line begins with a per cent sign."""
    return "\n".join(textwrap.wrap(text.replace(" %", "\N{NO-BREAK SPACE}%"), int(inches * LETTERS)))


def side(count: int, most: float, beside: float = 0.0) -> float:
    """Inches of a square picture of which `count` fill a row, at most `most`; `beside` is taken by a name."""
    return min(most, (WIDTH - beside) / count - PAD)


def row_height(side: float, titles: Sequence[str] = ()) -> float:
    """Inches that a row of pictures takes: their side, the titles of the SMALL size above them, the space about."""
    lines = max((title.count("\n") + 1 for title in titles), default=0)
    return round(side + PAD + (0.03 + 0.165 * lines if lines else 0), 2)


def show_picture(axes: Axes, pixels: np.ndarray) -> None:
    """Pixels (3, H, W) in 0..1, as they are; the nearest is drawn for what is outside."""
    axes.imshow(pixels.transpose(1, 2, 0).clip(0, 1), interpolation="nearest")
    axes.set(xticks=[], yticks=[])


def interval(axes: Axes, at: float, low: float, high: float, colour: str, *, upright: bool = False) -> None:
    """A 95 % interval as a line with ends, or with an arrow at an end that is open; at `at` on the other axis.

    To be called when the axes have their limits. Nothing is drawn where `low` and `high` are NaN: of a single run.
    """
    if math.isnan(low):
        return
    (first, last), signs = (axes.get_ylim(), "_v^") if upright else (axes.get_xlim(), "|<>")
    ends = (max(low, first), min(high, last))

    def draw(along: Sequence[float], **how: Any) -> None:
        across = [at] * len(along)
        axes.plot(*((across, along) if upright else (along, across)), color=colour, clip_on=False, **how)

    draw(ends, linewidth=1.5, gid="interval")
    for end, bound, arrow in zip(ends, (low, high), signs[1:], strict=True):
        draw([end], linestyle="none", marker=arrow if end != bound else signs[0], markersize=9)
