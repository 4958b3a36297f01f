"""Numbers of a student's own: drawn from the student's id, so that everybody has others and a grader knows them all."""

import hashlib
from collections.abc import Sequence
from typing import TypeVar

import torch

from airbench_core import UsageError

T = TypeVar("T")


def normal_id(student_id: str) -> str:
    """An id as it is compared: blanks around it and its case do not matter."""
    return student_id.strip().lower()


class Personal:
    """What one student has in one assignment. The same id gives the same numbers on every machine.

    seed: below 10,000, for trainings and data.
    """

    def __init__(self, student_id: str, assignment: str):
        self.student_id, self.assignment = student_id, assignment
        self.seed = self._number("seed") % 10_000

    def __repr__(self) -> str:
        return f"<the numbers of {self.student_id} in {self.assignment}: seed {self.seed}>"

    def generator(self, purpose: str) -> torch.Generator:
        """A generator on the CPU, another for each purpose."""
        return torch.Generator().manual_seed(self._number(purpose) % 2**31)

    def choice(self, purpose: str, options: Sequence[T]) -> T:
        """One of `options`."""
        return options[self._number(purpose) % len(options)]

    def _number(self, purpose: str) -> int:
        # hashlib, since Python's own hash() of a string differs from one process to the next.
        words = "\n".join([self.assignment, self.student_id, purpose])
        return int.from_bytes(hashlib.sha256(words.encode(errors="surrogatepass")).digest()[:8], "big")


def personal(student_id: str | int, assignment: str) -> Personal:
    """The numbers of a student. Blanks around the id and its case do not matter. Raises UsageError for no id."""
    if isinstance(student_id, int) and not isinstance(student_id, bool):
        student_id = str(student_id)
    if not isinstance(student_id, str) or not student_id.strip():
        raise UsageError('student_id is empty: write your own between the quotes, as in student_id = "ab123"')
    return Personal(normal_id(student_id), assignment)
