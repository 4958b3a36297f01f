"""The process in which a student's code runs: cells one by one, then calls of what they defined. See sandbox.py.

Its standard output is the student's; what the grader asks and gets goes through two pipes of its own.
"""

import ast
import builtins
import os
import sys
import traceback
import types
from typing import Any, BinaryIO

import torch
from IPython.core.inputtransformer2 import TransformerManager

from airbench_core import Parts, Runtime
from airbench_lab.grading import wire
from airbench_lab.grading.remote import changed, kept

LONGEST = 2000  # characters of an error that are kept


class _NothingToDo:
    """In place of otter's `Notebook`, whose checks a grader makes, and of IPython's shell."""

    def __init__(self, *_: object, **__: object):
        pass

    def __getattr__(self, name: str) -> Any:
        return lambda *_, **__: None


class Student:
    """The names that the cells define, and what is done with them."""

    def __init__(self) -> None:
        module = types.ModuleType("__main__")
        nothing = _NothingToDo()  # magics and shell commands are left out, and nobody looks at what is displayed
        module.__dict__.update(get_ipython=lambda: nothing, display=lambda *_, **__: None)
        self.given = set(module.__dict__)
        sys.modules["__main__"] = module  # so that what the cells define can be pickled
        otter = types.ModuleType("otter")
        otter.Notebook = _NothingToDo
        sys.modules["otter"] = otter
        self.names = module.__dict__
        self.transform = TransformerManager()

    def ready(self) -> None:
        """Nothing but an answer: all is imported."""

    def cell(self, source: str, name: str) -> str:
        """Run a cell; gives what went wrong, or nothing."""
        try:
            tree = ast.parse(self.transform.transform_cell(source), name)
            exec(compile(tree, name, "exec"), self.names)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: a cell that ends takes nothing with it
            return _said(error, name)
        return ""

    def kinds(self) -> dict[str, str]:
        """What there is: each name with "call" for a function, "parts" for `Parts`, else "value"."""
        own = {name: value for name, value in self.names.items() if name not in self.given and name[0] != "_"}
        return {
            name: "call" if callable(value) else "parts" if isinstance(value, Parts) else "value"
            for name, value in own.items()
            if not isinstance(value, types.ModuleType)
        }

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


def _said(error: BaseException, cell: str) -> str:
    """An error in a line or two: its kind, its words, and the last line of the student's own."""
    if isinstance(error, SystemExit):
        return f"the code called exit() with {error.code!r}"
    own = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename.startswith("cell ")]
    where = f" ({own[-1].filename}, line {own[-1].lineno})" if own else ""
    return f"{type(error).__name__}: {error}{where}"[:LONGEST]


def serve(asked: BinaryIO, answered: BinaryIO) -> None:
    """Answer one request after the other, until the grader has no more."""
    student = Student()
    while True:
        try:
            what, *arguments = wire.receive(asked)
        except EOFError:
            return
        try:
            message = {"ok": getattr(student, what)(*arguments)}
        except BaseException as error:
            message = {"error": _said(error, what), "kind": type(error).__name__}
        wire.reply(answered, message)


if __name__ == "__main__":
    torch.set_num_threads(Runtime.detect().threads)  # as in a training, which calls functions of this process
    # exit() and quit() end a cell, not the process.
    torch.set_num_threads(
        Runtime.detect().threads
    )  # as many as in a training, which calls its functions from elsewhere
    builtins.exit = builtins.quit = lambda code=None: sys.exit(code)
    with os.fdopen(int(sys.argv[1]), "rb") as asked, os.fdopen(int(sys.argv[2]), "wb") as answered:
        serve(asked, answered)
