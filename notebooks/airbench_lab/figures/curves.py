"""Accuracy against epochs: of runs made here, and of recorded ones."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from numpy.typing import ArrayLike

from airbench_core import UsageError
from airbench_lab.figures.drawing import STYLES, Dashes, Drawing, Style, house_style, wrapped
from airbench_lab.figures.measured import percent

MOST = 3  # of earlier lines, and of recorded ones: more cannot be told apart
# Dashes say what a line is: the newest is solid, earlier ones are dotted, recorded ones dashed; no two are the same.
EARLIER: tuple[Dashes, ...] = ((0, (1, 1.2)), (0, (4, 1.5, 1, 1.5)), (0, (1, 3)))
RECORDED: tuple[Dashes, ...] = ((0, (4, 1.5)), (0, (8, 2.5)), (0, (2, 1)))
PLOT, ENTRY = 2.7, 0.19  # inches: of the plot, of a line of text beside it
STOP = {"linestyle": "none", "marker": "x", "markersize": 13, "markeredgewidth": 3}
CUT_SHORT = ("stopped", "failed")
COLUMNS = ["curve", "run", "state", "epochs", "accuracy, %", "low", "high", "n"]


@dataclass(frozen=True, kw_only=True)
class Line:
    """One run, or several of one recipe.

    epochs: (E,), those done at each point, as in EpochRecord. accuracies: (E,) of one run or (runs, E) of several, in
    0..1, without TTA, NaN where a run has none. recorded: the hardware that they were recorded on; empty for runs made
    here. state: that of the newest run; "race": its runs are over, and were not watched.
    Raises UsageError where there are not as many accuracies as epochs.
    """

    label: str
    epochs: Sequence[float]
    accuracies: ArrayLike
    state: Literal["running", "stopped", "failed", "done", "race"] = "done"
    recorded: str = ""

    def __post_init__(self) -> None:
        given = np.shape(self.accuracies)
        if not given or given[-1] != len(self.epochs):
            raise UsageError(f"{self.label}: accuracies of shape {given} at {len(self.epochs)} epochs")

    @property
    def table(self) -> pd.DataFrame:
        """A row for each point: the mean in percent with Student's interval, NaN for a single run."""
        columns = np.atleast_2d(np.asarray(self.accuracies, float)).T
        means = [percent(column[~np.isnan(column)].tolist()) for column in columns]
        rows = [
            (self.label, self.described, float(epochs), mean.mean, mean.low, mean.high, mean.n)
            for epochs, mean in zip(self.epochs, means, strict=True)
        ]
        return pd.DataFrame(rows, columns=COLUMNS[1:])

    @property
    def described(self) -> str:
        """What the line is: running, stopped, failed, done, a race, or recorded on some hardware."""
        return f"recorded on {self.recorded}" if self.recorded else self.state


def curves(lines: Sequence[Line], data: str = "") -> Drawing:
    """Accuracy without TTA against epochs: of `lines`, oldest first, the newest three run here and three recorded.

    Of several runs the mean, with their 95 % interval as a band. data: the name of their data set, by which images that
    were held out are told from the test's.
    """
    what = "held-out accuracy" if "-holdout" in data else "test accuracy"
    own = [line for line in lines if not line.recorded][-MOST:]
    recorded = [line for line in lines if line.recorded][-MOST:]
    shown = own + recorded
    entries = [_entry(line) for line in shown]
    if len(shown) < len(lines):
        entries.append(f"older ones are not drawn: {len(lines) - len(shown)}")
    over, under = 0.15, ENTRY * sum(entry.count("\n") + 1 for entry in entries) + 0.6
    height = over + PLOT + under
    with house_style():
        # No layout engine: it would measure every text each time.
        table = _joined([line.table.assign(curve=i) for i, line in enumerate(shown, 1)])
        drawing = Drawing(table, "", height, layout="none")
        axes = drawing.add_axes((0.08, under / height, 0.9, PLOT / height))
        last = max([0, *(line.epochs[-1] for line in shown if len(line.epochs))])
        axes.set(xlabel="epochs", ylabel=f"{what} without TTA, %", xlim=(0, 1.02 * last or 1))
        axes.grid(alpha=0.3)
        if not shown:
            axes.text(0.5, 0.5, "no run yet", transform=axes.transAxes, ha="center", va="center")
        dashes = [*EARLIER[: len(own)], *RECORDED[: len(recorded)]]
        styles = [style._replace(dashes=of) for style, of in zip(STYLES[1:], dashes, strict=False)]
        handles = [_line(axes, line, style) for line, style in zip(shown, styles, strict=True)]
        if entries:
            blank = [Line2D([], [], color="none")] * (len(entries) - len(shown))
            drawing.legend(handles + blank, entries, loc="lower left", bbox_to_anchor=(0.02, 0), borderaxespad=0.4)
    _fit(axes, drawing, what)
    return drawing


def _joined(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """The tables of several lines, each with its number: two runs may be called the same."""
    some = [table for table in tables if len(table)]
    return pd.concat(some, ignore_index=True)[COLUMNS] if some else pd.DataFrame(columns=COLUMNS)


def _line(axes: Axes, line: Line, style: Style) -> Line2D:
    table = line.table
    epochs, accuracies = table["epochs"], table["accuracy, %"]
    (handle,) = axes.plot(epochs, accuracies, **style.line, linewidth=1.8, markersize=5)
    axes.fill_between(epochs, table["low"], table["high"], color=style.colour, alpha=0.15, linewidth=0)
    if line.state in CUT_SHORT:
        axes.plot(epochs[-1:], accuracies[-1:], **STOP, color=style.colour)
    return handle


def _entry(line: Line) -> str:
    """What the legend says of a line."""
    end = "no curve" if line.state == "race" else "no epoch done"
    if len(line.epochs):
        last = line.table.iloc[-1]
        end = f"{last['accuracy, %']:.1f} % after {last['epochs']:.3g} epochs (n={last['n']})"
    return wrapped(f"{line.label}, {line.described}: {end}", 6.9)


def _fit(axes: Axes, drawing: Drawing, what: str) -> None:
    """An axis of accuracies from ten to ten; and the figure in words."""
    values = drawing.table[["accuracy, %", "low", "high"]].to_numpy(float)
    known = values[np.isfinite(values)]
    low, high = (known.min(), known.max()) if len(known) else (0, 100)
    axes.set_ylim(10 * (low // 10) - 1, 10 * -(-high // 10) + 1)
    ends = drawing.table.drop_duplicates("curve", keep="last").to_dict("records")
    said = "; ".join(
        f"{end['run']}, {end['state']}: {end['accuracy, %']:.1f} % after {end['epochs']:.3g} epochs (n={end['n']})"
        for end in ends
    )
    drawing.alt = f"{what.capitalize()} without TTA against epochs: {said or 'nothing yet'}."
