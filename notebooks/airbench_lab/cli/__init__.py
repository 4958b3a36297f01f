"""The command line: modules with `add(subparsers)`, one for a verb or a few. Errors end as one line on stderr.

What a verb's module imports takes seconds: only that of the verb that is asked for is imported.
"""

import argparse
import os
import signal
import sys
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from importlib import import_module
from typing import NoReturn

from airbench_core.errors import AirbenchError, AirbenchWarning, UsageError
from airbench_lab import tell
from airbench_lab.cli.interrupt import end_at_once

VERBS = {  # the module of each, and what it is for
    "train": ("cli.train", "train a recipe and print its accuracy and seconds"),
    "recipes": ("cli.show", "list the recipes, or the fields of one"),
    "diff": ("cli.show", "show the fields in which two recipes differ"),
    "data": ("cli.show", "find, download and verify a data set"),
    "classify": ("cli.show", "say what a trained network sees in pictures"),
    "doctor": ("cli.machine", "check this machine and say what each scale costs on it"),
    "bench": ("cli.machine", "measure images per second on this machine"),
    "sweep": ("study.cli_sweep", "make the many runs of a study; started again it goes on"),
    "report": ("study.cli_report", "what run logs say: accuracies, differences, epochs to a target, with intervals"),
    "verify": ("study.cli_verify", "train a recipe many times and test its mean accuracy against a target"),
    "grade": ("grading.cli", "grade a folder of submissions"),
    "leaderboard": ("grading.cli", "run the speedrun entries in a folder of submissions, and rank them"),
    "site": ("site.cli", "build the lessons and the explorer of the recorded runs as a web site"),
}


class Parser(argparse.ArgumentParser):
    """argparse, with its errors in one line as all others."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (`{self.prog} --help` shows what there is)")


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the exit status: 0, 1 (it failed), 2 (it was asked for wrongly), 130 (Ctrl-C)."""
    words = sys.argv[1:] if argv is None else argv
    before = signal.getsignal(signal.SIGINT)
    try:
        args = _parser(words).parse_args(words)
        if before is end_at_once and not getattr(args, "only_reads", False):
            signal.signal(signal.SIGINT, signal.default_int_handler)
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
    finally:
        if signal.getsignal(signal.SIGINT) is not before:
            signal.signal(signal.SIGINT, before)


def _parser(words: Sequence[str]) -> Parser:
    """With the options of the verb that is asked for; or, where it is none, with a list of all."""
    parser = Parser(prog="airbench", description="Fast CIFAR-10 training, one trick at a time.")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    verb = words[0] if words else ""
    if verb in VERBS:
        try:
            import_module(f"airbench_lab.{VERBS[verb][0]}").add(verbs)
        except ModuleNotFoundError as error:
            raise UsageError(f"{verb} needs {error.name}, which is not installed: `pip install -e '.[lab]'`") from error
        return parser
    for name, (_, about) in VERBS.items():
        verbs.add_parser(name, help=about)
    return parser


def _show_warning(pythons: Callable[..., None], message: Warning | str, category: type[Warning], *rest: object) -> None:
    """Our own warnings without the file, the line and the source that Python puts around them."""
    if issubclass(category, AirbenchWarning):
        tell(f"airbench: warning: {message}")
    else:
        pythons(message, category, *rest)


def _discard_stdout() -> None:
    """Let what is still buffered for a standard output that cannot take it go nowhere, silently."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
