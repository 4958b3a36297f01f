"""The exercises of the lessons: `check("whitening", my_function)` says what is right, and what is not, with a hint."""

from collections.abc import Callable

from airbench_core import UsageError
from airbench_lab.exercises.checking import Checked, Exercise, checked
from airbench_lab.exercises.groups import GROUPS
from airbench_lab.exercises.identity import IDENTITY
from airbench_lab.exercises.whitening import WHITENING

EXERCISES: dict[str, Exercise] = {exercise.name: exercise for exercise in (WHITENING, IDENTITY, GROUPS)}


def check(name: str, solution: Callable) -> Checked:
    """Check a solution of the exercise `name`. Raises UsageError for a name that is none."""
    if name not in EXERCISES:
        raise UsageError(f"there is no exercise {name!r}; there are {', '.join(EXERCISES)}")
    return checked(EXERCISES[name], solution)
