"""The exercises of the lessons: `check("whitening", my_function)` says what is right, and what differs.

A step by itself: `check("whitening", my_moment, step="moment")`.
"""

from collections.abc import Callable

from airbench_core import UsageError
from airbench_lab.exercises.checking import Checked, Exercise, checked
from airbench_lab.exercises.flip import FLIP
from airbench_lab.exercises.groups import GROUPS
from airbench_lab.exercises.identity import IDENTITY
from airbench_lab.exercises.lookahead import LOOKAHEAD
from airbench_lab.exercises.newton_schulz import NEWTON_SCHULZ
from airbench_lab.exercises.paired import PAIRED_DIFFERENCE
from airbench_lab.exercises.schedule import SCHEDULE
from airbench_lab.exercises.square import CUTOUT
from airbench_lab.exercises.target import PASSES
from airbench_lab.exercises.timing import TIMING
from airbench_lab.exercises.tta_views import TTA_VIEWS
from airbench_lab.exercises.whitening import WHITENING

EXERCISES: dict[str, Exercise] = {
    exercise.name: exercise
    for exercise in (
        CUTOUT,
        FLIP,
        GROUPS,
        IDENTITY,
        LOOKAHEAD,
        NEWTON_SCHULZ,
        PAIRED_DIFFERENCE,
        PASSES,
        SCHEDULE,
        TIMING,
        TTA_VIEWS,
        WHITENING,
    )
}


def check(name: str, solution: Callable, step: str | None = None) -> Checked:
    """Check a solution of the exercise `name`, or of one of its steps. Raises UsageError for a name that is none.

    The steps of each: `EXERCISES[name].step_names`.
    """
    if name not in EXERCISES:
        raise UsageError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return checked(EXERCISES[name].step(step) if step else EXERCISES[name], solution)
