"""How an exercise is checked: what differs from the project's own function is said first; then why, if that is sure.

A mistake is listed as the wrong function that somebody who makes it writes. Who gets exactly the answers of such a
function gets its hint; nobody else does. So each hint is tested by giving its own function as a solution.
"""

import copy
import html
import inspect
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from airbench_core import Parts, UsageError
from airbench_lab.exercises.differences import TOLERANCE, difference

MARKS = {"right": "✓", "wrong": "✗", "open": "·"}
RAISED = {  # what an error's message has in it, and what that means in plain words
    r"with a bool tensor|on a bool tensor": "`-` does not work on True and False. The opposite of a mask is `~mask`.",
    r"leaf Variable that requires grad": "put `with torch.no_grad():` around the lines that change a weight.",
    r"must match the size of tensor|could not be broadcast|cannot be multiplied": (
        "two shapes do not fit together. Print both just before that line. Where a tensor is looked for with `in`, "
        "compare `id(...)`; where it is divided by a norm, `keepdim=True` keeps the dimensions."
    ),
    r"is invalid for input of size": "the new shape holds another number of entries. Print the shape before that line.",
    r"same dtype|expected scalar type": "two tensors have different kinds of numbers. Bring both to one: `x.float()`.",
    r"positional arguments? but|missing \d+ required": "a function got more arguments than it takes, or fewer.",
    r"for -: 'dict' and 'dict'": "two dicts cannot be subtracted. Take `b[seed] - a[seed]` for each seed.",
    r"unsupported operand.*(method|function)": "a function is not called there: its brackets are missing.",
    r"Boolean value of Tensor": "`not`, `and`, `or` ask for one True or False. For a whole mask take `~`, `&`, `|`.",
    r"is not defined": "is the name spelled right, and has the cell that makes it been run?",
    r"'NoneType'": "something there is None. What works in place, such as `list.sort()`, returns None.",
}


@dataclass(frozen=True)
class Case:
    """title: what is right if the answer to `arguments` is. They are made anew for each call.

    step: the name of the step of the exercise that this case belongs to.
    """

    title: str
    arguments: Callable[[], tuple]
    step: str = ""


@dataclass(frozen=True)
class Mistake:
    """The function that somebody writes who makes a mistake, and what helps to find it."""

    wrong: Callable
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A function to be written.

    observe: calls a function with the arguments of a case and names what is compared, in the order in which it is told;
    by default what the function returns. steps: smaller functions to be written first, each an exercise of its own; the
    steps of the cases come after them. part: the field of `Parts` whose place a solution can take in a real training.
    tolerance: how far an entry may be off, relative to the largest.
    """

    name: str
    reference: Callable
    cases: Sequence[Case]
    mistakes: Sequence[Mistake] = ()
    observe: Callable[..., dict[str, Any]] = lambda function, *arguments: {"the answer": function(*arguments)}
    steps: Sequence["Exercise"] = ()
    part: str | None = None
    tolerance: float = TOLERANCE

    @property
    def step_names(self) -> list[str]:
        return [*(step.name for step in self.steps), *dict.fromkeys(case.step for case in self.cases if case.step)]

    def step(self, name: str) -> "Exercise":
        """One step by itself. Raises UsageError for a name that is none."""
        if name not in self.step_names:
            raise UsageError(f"{self.name} has no step {name!r}; it has {', '.join(self.step_names) or 'none'}")
        own = [step for step in self.steps if step.name == name]
        cases = [case for case in self.cases if case.step == name]
        return own[0] if own else replace(self, name=name, cases=cases, steps=(), part=None)


@dataclass(frozen=True)
class Checked:
    """How a solution did: the title of each case with "right", "wrong" or "open", those after the first wrong one.

    differs: what is wrong with the answer, "" if nothing is. hint: why, where the answer is that of a usual mistake.
    Prints as a list; a notebook shows it as one of its own.
    """

    exercise: Exercise
    solution: Callable
    results: tuple[tuple[str, str], ...]
    differs: str = ""
    hint: str = ""

    @property
    def passed(self) -> bool:
        return not self.differs

    @property
    def function(self) -> Callable:
        """The solution once it is right, the project's own until then, so that what follows in a lesson runs."""
        return self.solution if self.passed else self.exercise.reference

    @property
    def parts(self) -> Parts:
        """For `train` and `Panel`: the solution in its place once it is right; nothing of one's own until then."""
        if self.exercise.part is None:
            raise UsageError(f"the exercise {self.exercise.name} is no part of a training")
        return replace(Parts(), **{self.exercise.part: self.solution}) if self.passed else Parts()

    def __str__(self) -> str:
        return "\n".join([*(f"{MARKS[how]} {title}" for title, how in self.results), *self._end()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{MARKS[how]} {_marked_up(title)}</li>" for title, how in self.results)
        end = "<br>".join(map(_marked_up, self._end()))
        return f'<ul style="list-style: none; padding-left: 0">{lines}</ul><p><b>{end}</b></p>'

    def _end(self) -> list[str]:
        return [self.differs or "All checks passed.", *([f"Hint: {self.hint}"] if self.hint else [])]


def checked(exercise: Exercise, solution: Callable) -> Checked:
    """Check a solution; never raises for what is wrong with it."""
    right, differs, hint = 0, "", ""
    for case in exercise.cases:
        try:
            yours = _observed(exercise, solution, case)
        except Exception as error:
            differs, hint = _raised(error, solution)
        else:
            differs = difference(yours, _observed(exercise, exercise.reference, case), exercise.tolerance)
            hint = _usual(exercise, solution, right) if differs else ""
        if differs:
            break
        right += 1
    marks = ["right"] * right + ["wrong"] + ["open"] * len(exercise.cases)
    results = tuple(zip((case.title for case in exercise.cases), marks, strict=False))
    return Checked(exercise, solution, results, differs, hint)


def _observed(exercise: Exercise, function: Callable, case: Case) -> dict[str, Any]:
    return exercise.observe(function, *copy.deepcopy(case.arguments()))


def _usual(exercise: Exercise, solution: Callable, wrong: int) -> str:
    """The hint of the first mistake that gives these answers too: up to the wrong one, and to all of its step."""
    cases = exercise.cases
    to_match = [cases[wrong], *cases[:wrong], *(c for c in cases[wrong + 1 :] if c.step == cases[wrong].step)]
    answers = []
    for case in to_match:
        try:
            answers.append((case, _observed(exercise, solution, case)))
        except Exception:  # not written so far
            continue
    for mistake in exercise.mistakes:
        try:
            if all(not difference(a, _observed(exercise, mistake.wrong, c), exercise.tolerance) for c, a in answers):
                return mistake.hint
        except Exception:  # wrong in a way that does not even run here
            continue
    return ""


def _raised(error: Exception, solution: Callable) -> tuple[str, str]:
    """That a solution raised an error, with its line, and what the error means."""
    frames = traceback.extract_tb(error.__traceback__)
    if isinstance(error, NotImplementedError) and (not str(error) or "NotImplementedError" in (frames[-1].line or "")):
        return "Not written yet: put your own lines in place of `raise NotImplementedError`.", ""
    code = getattr(inspect.unwrap(solution), "__code__", None)
    own = [frame for frame in frames if code and frame.filename == code.co_filename and frame.line]
    where = f" in the line `{own[-1].line}`" if own else ""
    text = str(error).partition("\n")[0]
    hints = (hint for pattern, hint in RAISED.items() if re.search(pattern, text))
    return f"Your function raised {type(error).__name__}{where}: {text}", next(hints, "")


def _marked_up(text: str) -> str:
    """As HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))
