"""The errors that a person is meant to read: one line that says what is wrong, where, and what to do.

The command line prints them without a traceback. Everything else that is raised is a defect of ours.
"""


def printable(text: str) -> str:
    """`text` as one line that does nothing to a terminal: control characters as Python writes them."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


class AirbenchError(Exception):
    """Base of all errors with a remedy; `exit_status` is what the command line ends with."""

    exit_status = 1

    def __str__(self) -> str:
        return printable(super().__str__())


class UsageError(AirbenchError, ValueError):
    """A request that cannot be met as stated: an unknown field, an illegal value, an impossible mix."""

    exit_status = 2


class DataError(AirbenchError):
    """A data set that is missing, truncated, altered or could not be downloaded."""


class AirbenchWarning(UserWarning):
    """A request that can be met but is hardly meant: one line with the remedy. The command line prints it bare."""


class Diverged(AirbenchError):
    """The training loss is no longer a finite number."""
