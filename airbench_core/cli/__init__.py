"""The command line: one module a verb, each with `add(subparsers)`. Errors end as one line on stderr."""

import argparse
import os
import sys

from airbench_core.cli import bench, data, doctor, recipes, train
from airbench_core.errors import AirbenchError


def main(argv: list[str] | None = None) -> int:
    """Run one command; gives the exit status: 0, 1 (it failed), 2 (it was asked for wrongly), 130 (Ctrl-C)."""
    parser = argparse.ArgumentParser(prog="airbench", description="Fast CIFAR-10 training, one trick at a time.")
    verbs = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")
    for module in (train, recipes, data, doctor, bench):
        module.add(verbs)
    args = parser.parse_args(argv)
    try:
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
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:
        where = f" {error.filename}:" if error.filename else ""
        print(f"airbench: error:{where} {error.strerror or error}", file=sys.stderr)
        return 1
