"""A function of the student's, called from another process than the one it is in."""

import builtins
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from airbench_lab.grading import wire

NOT_WRITTEN = "not written yet"
Call = Callable[[str, tuple, dict], tuple[Any, Any, Any]]


class StudentError(Exception):
    """What a student's code did wrong, in words for the student.

    raised: the kind of the student's own error, whose words may hold whatever the function was given.
    """

    def __init__(self, words: str, raised: str = ""):
        super().__init__(words)
        self.raised = raised


def result_of(answer: dict) -> Any:
    """What a student's process answered. Raises StudentError for an error."""
    if "error" not in answer:
        return answer["ok"]
    kind = str(answer.get("kind"))
    if kind == "NotImplementedError" and not str(answer["error"]).startswith(f"{kind}: "):  # with words it is torch's
        raise StudentError(NOT_WRITTEN)
    raise StudentError(str(answer["error"]), kind if hasattr(builtins, kind) else "an error of its own")


class Remote:
    """The function `name`. What it changes in place is changed here, too.

    call: name, arguments and named ones -> the result, and what became of the arguments.
    """

    def __init__(self, name: str, call: Call):
        self.__name__, self._call = name, call

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        result, positional, by_name = self._call(self.__name__, arguments, named)
        _take_over(list(arguments), positional)
        _take_over(named, by_name)
        return wire.restored(result, wire.parameters_of(arguments))


def kept(value: Any) -> Any:
    """In the student's process: copies of the tensors and generators' states among arguments, in their places."""
    if isinstance(value, list | tuple):
        return [kept(item) for item in value]
    if isinstance(value, dict):
        return {name: kept(item) for name, item in value.items()}
    if isinstance(value, torch.Generator):
        return value.get_state()
    return wire.plain(value) if isinstance(value, Tensor) else None


def changed(before: Any, after: Any) -> Any:
    """Of what was `kept` after a call that which differs: pictures that a function only read need not travel again."""
    if isinstance(after, list | tuple):
        return [changed(*pair) for pair in zip(before, after, strict=False)]
    if isinstance(after, dict):
        return {name: changed(before.get(name), item) for name, item in after.items()}
    same = isinstance(before, Tensor) and isinstance(after, Tensor) and before.dtype == after.dtype
    return None if same and torch.equal(before, after) else after


def _take_over(here: Any, there: Any) -> None:
    """Copy what `changed` of arguments, wherever the answer is of the form of the question."""
    if isinstance(here, torch.Generator) and isinstance(there, Tensor):
        here.set_state(there.cpu())
    elif isinstance(here, Tensor) and isinstance(there, Tensor):
        if here.shape == there.shape and here.dtype == there.dtype:
            here.data.copy_(there)
    elif isinstance(here, dict) and isinstance(there, dict):
        for name in here.keys() & there.keys():
            _take_over(here[name], there[name])
    elif isinstance(here, list | tuple) and isinstance(there, list | tuple):
        for one, other in zip(here, there, strict=False):
            _take_over(one, other)
