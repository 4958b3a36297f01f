"""Which submissions have code cells in common that were not given to them."""

from collections.abc import Collection, Mapping, Sequence

from airbench_lab.grading.cells import written
from airbench_lab.grading.submissions import Submission

SHORTEST = 60  # characters of a cell that two students hardly write alike
LEAST = 0.5  # of its own cells
LISTED = 5  # the most alike


def alike(submissions: Sequence[Submission], given: Mapping[str, Collection[str]]) -> dict[str, str]:
    """For each file that has cells of another student's for the same assignment: whose, and how many of its own.

    Comments, docstrings, blanks and the id do not count. given: the cells that students were given, by assignment.
    """
    own: dict[str, set[str]] = {}
    for one in filter(lambda one: one.can_be_graded, submissions):
        known = set(map(written, given.get(one.assignment, ())))
        own[one.file] = {text for cell in one.cells if len(text := written(cell)) >= SHORTEST and text not in known}
    found = {}
    for one in submissions:
        others = []
        for other in submissions:
            if one.assignment != other.assignment or one.student == other.student:
                continue
            if not (one.file in own and other.file in own):
                continue
            shared = len(own[one.file] & own[other.file])
            if shared and shared >= LEAST * len(own[one.file]):
                others.append((shared, other.file))
        if others:
            others.sort(key=lambda pair: -pair[0])
            words = [f"{file} ({shared} of {len(own[one.file])} cells)" for shared, file in others[:LISTED]]
            more = [f"{len(others) - LISTED} more"] if len(others) > LISTED else []
            found[one.file] = ", ".join(words + more)
    return found
