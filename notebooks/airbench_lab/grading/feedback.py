"""The page that a student gets back: question by question, what passed, what did not, and why. HTML, all escaped."""

import hashlib
import re
from html import escape

from airbench_lab.grading.marking import Check, Marks, Question
from airbench_lab.grading.submissions import Submission

SHOWN_OUTPUT = 2000  # characters
HEAD = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<meta name="viewport" content="width=device-width">
<title>{title}</title>
<style>
body {{ font: 1rem/1.5 sans-serif; max-width: 50rem; margin: 2rem auto; padding: 0 1rem }}
li, pre {{ white-space: pre-wrap; overflow-wrap: anywhere }}
pre {{ border-left: 4px solid; padding-left: 1rem }}
</style>
</head>
<body>
"""


def page_name(submission: Submission) -> str:
    """Of the page's file: another for each student and file."""
    key = hashlib.sha256(f"{submission.student}\n{submission.file}".encode(errors="surrogatepass")).hexdigest()[:8]
    words = [re.sub(r"[^\w.-]+", "_", text)[:60] for text in (submission.student or "unknown", submission.file)]
    return f"{'--'.join(words)}-{key}.html"


def page(submission: Submission, marks: Marks | None, details: str = "") -> str:
    """marks: None for what was not graded, which `details` explains."""
    title = submission.assignment or submission.file
    parts = [HEAD.format(title=escape(title)), f"<h1>{escape(title)}</h1>"]
    parts += [_p(f"Student: {submission.student or 'unknown'}. File: {submission.file}.")]
    if submission.note or details:
        parts += [_p(": ".join(filter(None, [submission.note.capitalize(), details])))]
    if marks is None:
        return "\n".join([*parts, "</body>", "</html>", ""])
    total = f"{marks.points:g} of {marks.possible:g} points"
    if read := [question.possible for question in marks.questions if question.points is None]:
        total += f", and up to {sum(read):g} for what your teacher reads"
    parts += [f"<p><strong>{total}.</strong></p>", *map(_question, marks.questions)]
    if marks.errors:
        listed = [f"<li>code cell {number}: {escape(error)}</li>" for number, error in marks.errors.items()]
        parts += ["<h2>Cells that raised an error</h2>", "<ul>", *listed, "</ul>"]
    if marks.output.strip():
        parts += [
            "<h2>What your code printed (the beginning)</h2>",
            f"<pre>{escape(marks.output[:SHOWN_OUTPUT])}</pre>",
        ]
    return "\n".join([*parts, "</body>", "</html>", ""])


def _question(question: Question) -> str:
    if question.points is None:
        head = f"<h2>{escape(question.name)}: up to {question.possible:g} points</h2>"
        return f"{head}\n<p>Your teacher reads this one.</p>"
    head = f"<h2>{escape(question.name)}: {question.points:g} of {question.possible:g} points</h2>"
    return "\n".join([head, "<ul>", *map(_check, question.checks), "</ul>"])


def _check(check: Check) -> str:
    kind = " (not in your notebook)" if check.hidden else ""
    words = f"{'✓ passed' if check.passed else '✗ failed'}: {check.name}{kind}"
    return f"<li>{escape('. '.join(filter(None, [words, check.message])))}</li>"


def _p(text: str) -> str:
    return f"<p>{escape(text)}</p>"
