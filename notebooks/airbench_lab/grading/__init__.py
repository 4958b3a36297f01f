"""Assignments that grade themselves: what their notebooks import, and what grades a folder of submissions.

For students: `personal` (numbers of one's own), `own_pictures`, `trained` (a training with a function of one's own
inside); for their tests `made_again`.
For teachers: `airbench grade`, `airbench leaderboard` (cli.py), and `make assignments` (generate.py).
"""

from airbench_lab.grading.personal import Personal, personal
from airbench_lab.grading.training import Trained, made_again, own_pictures, trained

__all__ = ["Personal", "Trained", "made_again", "own_pictures", "personal", "trained"]
