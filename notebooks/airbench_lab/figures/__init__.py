"""The figures of the lessons. Each is a matplotlib Figure with its numbers as a table beside it, never made by pyplot.

    figure = filters(weights)               # in a notebook: the picture, and its table to be unfolded
    figure.table                            # the same numbers as a DataFrame
    png(figure)                             # the picture alone, for a widget

Drawn from a table of runs (`airbench_lab.study.frames`): `flops_against_error`; from the accuracies that are recorded:
`epochs_to`, `ladder`, `differences`, `effects`, `board`; the others from plain arrays.
"""

from airbench_lab.figures.additivity import effects
from airbench_lab.figures.baseline import epochs_to, schedules
from airbench_lab.figures.board import board, passing
from airbench_lab.figures.curves import Line, curves
from airbench_lab.figures.drawing import STYLES, Drawing, png, table_html
from airbench_lab.figures.flips import sides
from airbench_lab.figures.flops import flops_against_error
from airbench_lab.figures.inside import covariances, filters, losses, singular_values
from airbench_lab.figures.ladder import ladder
from airbench_lab.figures.layers import depths, trajectories
from airbench_lab.figures.lookahead import by_end, lookahead_round
from airbench_lab.figures.network import network
from airbench_lab.figures.pictures import pictures, titled
from airbench_lab.figures.timing import break_even, launches, pays_after
from airbench_lab.figures.tta import changed_predictions, views, votes

__all__ = [
    "STYLES",
    "Drawing",
    "Line",
    "board",
    "break_even",
    "by_end",
    "changed_predictions",
    "covariances",
    "curves",
    "depths",
    "effects",
    "epochs_to",
    "filters",
    "flops_against_error",
    "ladder",
    "launches",
    "lookahead_round",
    "losses",
    "network",
    "passing",
    "pays_after",
    "pictures",
    "png",
    "schedules",
    "sides",
    "singular_values",
    "table_html",
    "titled",
    "trajectories",
    "views",
    "votes",
]
