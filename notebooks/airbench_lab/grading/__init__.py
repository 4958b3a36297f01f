"""Assignments that grade themselves: what their notebooks import, and what grades a folder of submissions.

For students: `personal` (numbers of one's own), `own_pictures`, `trained` (a training with a function of one's own
inside).
For teachers: `airbench grade`, `airbench leaderboard` (cli.py), and `make assignments` (generate.py).
"""

from airbench_lab.grading.personal import Personal, personal
from airbench_lab.grading.training import Trained, own_pictures, trained

__all__ = ["Personal", "Trained", "own_pictures", "personal", "trained"]
