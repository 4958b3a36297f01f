"""The page that a student gets back: question by question, what passed, what did not, and why."""

from airbench_lab.grading.marking import Check, Marks, Question
from airbench_lab.grading.submissions import Submission

SHOWN_OUTPUT = 2000  # characters


def page(submission: Submission, marks: Marks | None, details: str = "") -> str:
    """Markdown. marks: None for what was not graded, which `details` explains."""
    title = f"# {submission.assignment or submission.file}"
    who = f"Student: {submission.student or 'unknown'}. File: `{submission.file}`."
    note = f"**{submission.note.capitalize()}:** {details}" if submission.note else details
    if marks is None:
        return "\n\n".join([title, who, note or "Not graded.", ""])
    read = [question for question in marks.questions if question.points is None]
    total = f"**{marks.points:g} of {marks.possible:g} points**"
    if read:
        total += f", and up to {sum(question.possible for question in read):g} for what your teacher reads"
    parts = [title, who, *filter(None, [note]), f"{total}.", *map(_question, marks.questions)]
    if marks.errors:
        listed = "\n".join(f"- code cell {number}: {error}" for number, error in marks.errors.items())
        parts += ["## Cells that raised an error", listed]
    if marks.output.strip():
        beginning = marks.output[:SHOWN_OUTPUT].replace("```", "'''")
        parts += ["## What your code printed (the beginning)", f"```\n{beginning}\n```"]
    return "\n\n".join([*parts, ""])


def _question(question: Question) -> str:
    if question.points is None:
        return f"## {question.name}: up to {question.possible:g} points\n\nYour teacher reads this one."
    checks = "\n".join(map(_check, question.checks))
    return f"## {question.name}: {question.points:g} of {question.possible:g} points\n\n{checks}"


def _check(check: Check) -> str:
    kind = " (not in your notebook)" if check.hidden else ""
    return f"- {'✓' if check.passed else '✗'} {check.name}{kind}{': ' + check.message if check.message else ''}"
