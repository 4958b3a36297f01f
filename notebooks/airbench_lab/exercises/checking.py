"""How an exercise is checked: against the project's own function, case by case; and which usual mistake it is if not.

A mistake is listed as the wrong function that somebody who makes it writes. Whose answers are those of such a function
gets its hint. So each hint is tested by giving its own function as a solution.
"""

import copy
import html
import re
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from airbench_core import Parts, UsageError

MARKS = {"right": "✓", "wrong": "✗", "open": "·"}
TOLERANCE = 1e-3  # relative to the largest entry: rounding, not mistakes


@dataclass(frozen=True)
class Case:
    """title: what is right if the answer to `arguments` is. They are made anew for each call."""

    title: str
    arguments: Callable[[], tuple]


@dataclass(frozen=True)
class Mistake:
    """The function that somebody writes who makes a mistake, and what helps to find it."""

    wrong: Callable
    hint: str


@dataclass(frozen=True, kw_only=True)
class Exercise:
    """A function to be written.

    call: what is compared of a function and its arguments: by default what it returns, for one that works in place what
    it left there. form: brings answers that are equally right to one form. tolerance: how far an entry may be off,
    relative to the largest. part: the field of `Parts` whose place a solution can take in a real training. otherwise:
    the hint where no usual mistake fits.
    """

    name: str
    reference: Callable
    cases: Sequence[Case]
    mistakes: Sequence[Mistake]
    otherwise: str
    part: str | None = None
    call: Callable[..., Any] = lambda function, *arguments: function(*arguments)
    form: Callable[[Any], Any] = lambda answer: answer
    tolerance: float = TOLERANCE


@dataclass(frozen=True)
class Checked:
    """How a solution did: the title of each case with "right", "wrong" or "open", those after the first wrong one.

    Prints as a list; a notebook shows it as one of its own.
    """

    exercise: Exercise
    solution: Callable
    results: tuple[tuple[str, str], ...]
    hint: str = ""

    @property
    def passed(self) -> bool:
        return not self.hint

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
        return "\n".join([*(f"{MARKS[how]} {title}" for title, how in self.results), self._end()])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        lines = "".join(f"<li>{MARKS[how]} {_marked_up(title)}</li>" for title, how in self.results)
        return f'<ul style="list-style: none; padding-left: 0">{lines}</ul><p><b>{_marked_up(self._end())}</b></p>'

    def _end(self) -> str:
        return f"Hint: {self.hint}" if self.hint else "All checks passed."


def checked(exercise: Exercise, solution: Callable) -> Checked:
    """Check a solution; never raises for what is wrong with it."""
    answers: list[Any] = []
    wrong, hint = len(exercise.cases), ""
    for number, case in enumerate(exercise.cases):
        watched = _Watched(solution)
        try:
            answers.append(_answer(exercise, watched, case))
        except NotImplementedError:
            hint = "not written yet: put your own lines in place of `raise NotImplementedError`."
        except Exception as error:
            hint = _raised(error, solution)
        else:
            hint = _fault(exercise, case, answers[-1], watched.silent)
        if hint:
            wrong = number
            break
    if hint and len(answers) > wrong:  # it answered, so it may be a usual mistake
        hint = _usual(exercise, solution, answers[wrong], wrong) or hint
    marks = ["right"] * wrong + ["wrong"] + ["open"] * len(exercise.cases)
    results = tuple(zip((case.title for case in exercise.cases), marks, strict=False))
    return Checked(exercise, solution, results, hint)


def same(a: Any, b: Any, tolerance: float = TOLERANCE) -> bool:
    """Whether two answers are the same up to rounding; of other shapes or kinds they are not."""
    if isinstance(a, tuple | list) and isinstance(b, tuple | list):
        return len(a) == len(b) and all(same(x, y, tolerance) for x, y in zip(a, b, strict=True))
    if a is None or b is None:
        return a is b
    try:
        x, y = (torch.as_tensor(value) for value in (a, b))
    except (TypeError, ValueError, RuntimeError):
        return bool(a == b)
    if x.shape != y.shape or (x.dtype == torch.bool) != (y.dtype == torch.bool):
        return False
    x, y = x.double(), y.double()
    scale = float(y.abs().max()) if y.numel() else 0.0
    return bool(torch.isfinite(x).all()) and bool(((x - y).abs() <= tolerance * scale + 1e-12).all())


class _Watched:
    """A function, and whether all that it has returned is None, whatever an exercise's `call` makes of that."""

    def __init__(self, function: Callable):
        self.function = function
        self.silent = True

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        answer = self.function(*arguments, **options)
        self.silent = self.silent and answer is None
        return answer


def _answer(exercise: Exercise, function: Callable, case: Case) -> Any:
    return exercise.call(function, *copy.deepcopy(case.arguments()))


def _fault(exercise: Exercise, case: Case, answer: Any, silent: bool = False) -> str:
    """What is wrong with an answer, as far as it can be said without knowing why; nothing if it is right.

    silent: the function returned None, though the answer may hold more than that.
    """
    reference = _Watched(exercise.reference)
    wanted = _answer(exercise, reference, case)
    if (silent or answer is None) and not reference.silent:
        return "your function returns None: is there a `return`?"
    if isinstance(wanted, Tensor):
        if not isinstance(answer, Tensor):
            return f"your function should return a tensor, and returns a {type(answer).__name__}."
        if answer.shape != wanted.shape:
            return f"the shape should be {tuple(wanted.shape)}, and is {tuple(answer.shape)}."
        if answer.is_floating_point() and not torch.isfinite(answer).all():
            return "some of the numbers are not finite: is something divided by 0, or a root taken of less than 0?"
    try:
        right = same(exercise.form(answer), exercise.form(wanted), exercise.tolerance)
    except Exception:  # an answer of some other kind altogether
        right = False
    return "" if right else exercise.otherwise


def _usual(exercise: Exercise, solution: Callable, answer: Any, number: int) -> str:
    """The hint of the first mistake that gives this wrong answer too, and the right ones before it."""
    for mistake in exercise.mistakes:
        try:
            before = [
                _fault(exercise, case, _answer(exercise, mistake.wrong, case)) for case in exercise.cases[:number]
            ]
            theirs = _answer(exercise, mistake.wrong, exercise.cases[number])
            if not any(before) and _alike(exercise, answer, theirs):
                return mistake.hint
        except Exception:  # wrong in a way that does not even run here
            continue
    return ""


def _alike(exercise: Exercise, a: Any, b: Any) -> bool:
    """In one form; or, where an answer has none, as they are."""
    try:
        return same(exercise.form(a), exercise.form(b), exercise.tolerance)
    except Exception:
        return same(a, b, exercise.tolerance)


def _marked_up(text: str) -> str:
    """As HTML, with what stands between backticks as code."""
    return re.sub(r"`([^`]+)`", r"<code>\1</code>", html.escape(text))


def _raised(error: Exception, solution: Callable) -> str:
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.name == getattr(solution, "__name__", "")]
    where = f" in the line `{own[-1].line}`" if own and own[-1].line else ""
    return f"your function raised {type(error).__name__}{where}: {error}"
