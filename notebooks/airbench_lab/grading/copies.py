"""Which submissions have code cells in common that were not given to them."""

from collections.abc import Collection, Mapping, Sequence

from airbench_lab.grading.cells import written
from airbench_lab.grading.submissions import Submission

SHORTEST = 60  # characters of a cell that two students hardly write alike
LEAST = 0.5  # of the cells of the one that has fewer


def alike(submissions: Sequence[Submission], given: Mapping[str, Collection[str]]) -> dict[str, str]:
    """For each file with cells like those of another student's for the same assignment: which, and how many cells.

    Comments, blanks and the id do not count. given: the cells that students were given, by assignment.
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
            fewer, shared = min(len(own[one.file]), len(own[other.file])), own[one.file] & own[other.file]
            if shared and len(shared) >= LEAST * fewer:
                others.append(f"{other.file} ({len(shared)} of {len(own[one.file])} cells)")
        if others:
            found[one.file] = ", ".join(others)
    return found
