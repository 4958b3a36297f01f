"""The process in which a student's code runs: cells one by one, then calls of what they defined. See sandbox.py.

Its standard output is the student's; what the grader asks and gets goes through two pipes of its own.
"""

import os
import sys
import traceback
import types
import warnings
from typing import Any, BinaryIO

import torch
from IPython.core.compilerop import CachingCompiler
from IPython.core.interactiveshell import InteractiveShell
from traitlets import Type
from traitlets.config import Config

from airbench_core import Parts, Runtime
from airbench_lab.grading import wire
from airbench_lab.grading.remote import changed, kept

LONGEST = 2000  # characters of an error that are kept


class _NothingToDo:
    """In place of the `Notebook` that makes a student's own checks: a grader makes all of them."""

    def __init__(self, *_: object, **__: object):
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class _Compiler(CachingCompiler):
    """Calls each cell by the name that an error is to give."""

    cell = "cell"

    def get_code_name(self, *_: object) -> str:
        return self.cell


class _Shell(InteractiveShell):
    """Runs cells as a kernel does: magics and their cells, shell commands, `await`. Errors are told by the grader."""

    compiler_class = Type(_Compiler)
    system = InteractiveShell.system_raw  # without a terminal, which does not exist here

    def enable_gui(self, gui: str | None = None) -> None: ...

    def showtraceback(self, *_: object, **__: object) -> None: ...

    def showsyntaxerror(self, *_: object, **__: object) -> None: ...


class Student:
    """The names that the cells define, and what is done with them."""

    def __init__(self) -> None:
        for name in "otter", "airbench_lab.grading.checks":
            sys.modules[name] = types.ModuleType(name)
            sys.modules[name].Notebook = _NothingToDo
        module = types.ModuleType("__main__")  # so that what the cells define can be pickled
        settings = Config(HistoryManager={"enabled": False})
        self.shell = _Shell.instance(user_module=module, config=settings)
        self.shell.builtin_trap.activate()  # `display` and `get_ipython`, in calls from elsewhere too
        self.names = self.shell.user_ns
        self.names["exit"] = self.names["quit"] = lambda code=None: sys.exit(code)  # ends a cell, not the process
        sys.path.insert(0, "")
        self.given = set(self.names)
        warnings.filterwarnings("ignore", "To exit: use")

    def ready(self) -> None:
        """Nothing but an answer: all is imported."""

    def cell(self, source: str, name: str) -> str:
        """Run a cell; gives what went wrong, or nothing."""
        self.shell.compile.cell = name
        try:
            done = self.shell.run_cell(source)
        except BaseException as error:  # whatever a cell does to the shell
            return _said(error)
        sys.stdout.flush()
        error = done.error_before_exec or done.error_in_exec
        return _said(error) if error is not None else ""

    def kinds(self) -> dict[str, str]:
        """What there is: each name with "empty" for `...`, "call" for a function, "parts" for `Parts`, else "value"."""
        own = {name: value for name, value in self.names.items() if name not in self.given and name[0] != "_"}
        return {name: _kind(value) for name, value in own.items() if not isinstance(value, types.ModuleType)}

    def value(self, name: str) -> Any:
        return wire.plain(self._named(name))

    def parts(self, name: str) -> list[str]:
        """Which of its functions are the student's own."""
        return list(self._named(name).replaced)

    def call(self, name: str, arguments: tuple, named: dict) -> tuple[Any, Any, Any]:
        """What a function returns, and what its arguments are afterwards: it may work in place."""
        numbers = {id(one): number for number, one in enumerate(wire.parameters_of(arguments))}
        before = kept(arguments), kept(named)
        result = self._named(name)(*arguments, **named)
        return wire.plain(result, numbers), *changed(before, (kept(arguments), kept(named)))

    def _named(self, name: str) -> Any:
        """What has a name; "my_parts.whiten" is the function in `Parts`."""
        first, _, rest = name.partition(".")
        return getattr(self.names[first], rest) if rest else self.names[first]


def _kind(value: Any) -> str:
    if value is ...:
        return "empty"
    if callable(value):
        return "call"
    return "parts" if isinstance(value, Parts) else "value"


def _said(error: BaseException) -> str:
    """An error in a line or two: its kind, its words, and the last line of the student's own."""
    if isinstance(error, SystemExit):
        return f"the code called exit() with {error.code!r}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("cell ")]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    words = str(error)[:LONGEST]
    return f"{type(error).__name__}{words and ': '}{words}{where}"


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Answer one request after the other, until the grader has no more."""
    student = Student()
    for what, *arguments in wire.requests(asked):
        try:
            wire.reply(answered, {"ok": getattr(student, what)(*arguments)})
        except BaseException as error:
            wire.reply(answered, {"error": _said(error), "kind": type(error).__name__})


if __name__ == "__main__":
    torch.set_num_threads(Runtime.detect().threads)  # as in a training, which calls functions of this process
    with os.fdopen(int(sys.argv[1]), "rb") as asked, os.fdopen(int(sys.argv[2]), "wb") as answered:
        serve(asked, answered)
