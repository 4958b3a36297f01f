"""The figures of the lessons: each a matplotlib Figure with its numbers as a table, never made by pyplot."""

from airbench_lab.figures.curves import Line, LiveCurves, curves, lines
from airbench_lab.figures.drawing import STYLES, Drawing, png, table_html
from airbench_lab.figures.flips import flip_calendar
from airbench_lab.figures.inside import covariances, filters, singular_values, views

__all__ = [
    "STYLES",
    "Drawing",
    "Line",
    "LiveCurves",
    "covariances",
    "curves",
    "filters",
    "flip_calendar",
    "lines",
    "png",
    "singular_values",
    "table_html",
    "views",
]
