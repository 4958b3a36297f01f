"""The command line: modules with `add(subparsers)`, one for a verb or a few. Errors end as one line on stderr."""

import argparse
import os
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from importlib.metadata import entry_points
from typing import NoReturn

from airbench_core.cli import machine, show, train
from airbench_core.errors import AirbenchError, AirbenchWarning, UsageError, tell

VERBS = "airbench.verbs"  # the group of entry points: a verb's name, and the function that adds it


class Parser(argparse.ArgumentParser):
    """argparse, with its errors in one line as all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (`{self.prog} --help` shows what there is)")


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the exit status: 0, 1 (it failed), 2 (it was asked for wrongly), 130 (Ctrl-C)."""
    parser = Parser(prog="airbench", description="Fast CIFAR-10 training, one trick at a time.")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (train, show, machine):
        module.add(verbs)
    words = sys.argv[1:] if argv is None else argv
    if not words or words[0] not in verbs.choices:
        for add in _from_elsewhere(words[0] if words else ""):
            add(verbs)
    try:
        args = parser.parse_args(argv)
        with warnings.catch_warnings(action="always", category=AirbenchWarning):
            warnings.showwarning = partial(_show_warning, warnings.showwarning)
            status = args.run(args)
        sys.stdout.flush()
        return status
    except AirbenchError as error:
        print(f"airbench: error: {error}", file=sys.stderr)
        return error.exit_status
    except KeyboardInterrupt:
        print("airbench: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:  # the reader, such as `head`, has gone: nothing is left to say
        _discard_stdout()
        return 1
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        tell(f"airbench: error:{where} {error.strerror or error}")
        _discard_stdout()
        return 1
    except (MemoryError, RuntimeError) as error:
        # torch says it in several ways: its own class on a GPU, a plain RuntimeError on a CPU.
        if not isinstance(error, MemoryError) and "memory" not in str(error):
            raise
        print("airbench: error: out of memory: try a smaller batch_size, widths or scale", file=sys.stderr)
        return 1


def _from_elsewhere(verb: str) -> Iterator[Callable[[argparse._SubParsersAction], None]]:
    """What adds the `verb` that an entry point brings, or all of these if there is none such; they import more.

    Without those of which something is not installed.
    """
    entries = sorted(entry_points(group=VERBS), key=lambda entry: entry.name)
    for entry in [entry for entry in entries if entry.name == verb] or entries:
        with suppress(ModuleNotFoundError):
            yield entry.load()


def _show_warning(pythons: Callable[..., None], message: Warning | str, category: type[Warning], *rest: object) -> None:
    """Our own warnings without the file, the line and the source that Python puts around them."""
    if issubclass(category, AirbenchWarning):
        tell(f"airbench: warning: {message}")
    else:
        pythons(message, category, *rest)


def _discard_stdout() -> None:
    """Let what is still buffered for a standard output that cannot take it go nowhere, silently."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
