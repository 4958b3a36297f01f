"""A folder of submissions graded: several at a time, each logged when it is done, so that nothing is done twice.

Beside `grades.csv` lie `grades.jsonl`, the log from which a grading that was interrupted goes on, and the folder
`grades-feedback` with a page for each submission.
"""

import csv
import json
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import asdict
from pathlib import Path
from typing import Any

from airbench_core import AirbenchError
from airbench_lab.grading.copies import alike
from airbench_lab.grading.feedback import page, page_name
from airbench_lab.grading.marking import Assignment, Check, Marks, Question
from airbench_lab.grading.process import Limits
from airbench_lab.grading.sandbox import Sandbox
from airbench_lab.grading.submissions import Submission, key_of
from airbench_lab.grading.training import data_digest
from airbench_lab.runlog import lines

Say = Callable[[str], None]
GRADED, FAILED = "graded", "could not be graded"


def grade(
    submissions: Sequence[Submission],
    assignments: Mapping[str, Assignment],
    out: Path,
    *,
    scale: str,
    jobs: int = 1,
    limits: Limits | None = None,
    say: Say = print,
) -> list[dict[str, Any]]:
    """Grade what is not in the log yet, and write the table and the feedback of all. Gives the table's rows.

    out: the table, FOLDER/NAME.csv. Raises AirbenchError if nothing can be written there.
    """
    limits = limits or Limits()
    log = out.with_suffix(".jsonl")
    lines.check_writable(log)
    done = {one["key"]: one for one in lines.load(log, ["key"])}
    keys = {one.file: _key(one, assignments, scale, limits) for one in submissions}
    todo = [one for one in submissions if one.can_be_graded and keys[one.file] not in done]
    again = sum(one.can_be_graded for one in submissions) - len(todo)
    if again:
        say(f"{again} of {len(submissions)} were graded before (in {log}) and are not graded again")
    copied = alike(submissions, {name: assignment.given for name, assignment in assignments.items()})
    lock, stopped = threading.Lock(), threading.Event()

    def one(submission: Submission) -> None:
        started = time.monotonic()
        try:
            marks = assignments[submission.assignment].mark(submission, limits, {"AIRBENCH_SCALE": scale})
            values, result = {"status": GRADED, "marks": asdict(marks)}, f"{marks.points:g} of {marks.possible:g}"
        except AirbenchError:
            raise
        except Exception as error:  # a defect of ours or of a test: the others are still to be graded
            result = f"{type(error).__name__}: {error}"[:300]
            values = {"status": FAILED, "details": result}
        if stopped.is_set():  # in the middle: these are no marks
            return
        seconds = time.monotonic() - started
        record = {"key": keys[submission.file], "file": submission.file, "seconds": round(seconds, 1)} | values
        with lock:
            if record["status"] == GRADED:  # what failed is tried again
                lines.append(log, record, f"{submission.file} is graded")
            done[record["key"]] = record
            told = f" ({submission.note})" if submission.note else ""
            finished = sum(keys[other.file] in done for other in submissions if other.can_be_graded)
            say(f"{finished:>4} {submission.file}: {result}, {seconds:.0f} s{told}")

    for submission in submissions:
        if not submission.can_be_graded:
            say(f"   - {submission.file}: {submission.note}, {submission.details}")
    with ThreadPoolExecutor(max_workers=jobs) as pool:
        futures = [pool.submit(one, submission) for submission in todo]
        try:
            for future in as_completed(futures):
                future.result()
        except BaseException:
            stopped.set()
            pool.shutdown(wait=False, cancel_futures=True)
            Sandbox.stop_all()  # or they would be waited for
            raise
        finally:
            rows = [_row(one, done.get(keys[one.file]), copied.get(one.file, "")) for one in submissions]
            _write_table(out, rows)
    _write_feedback(out, submissions, done, keys)
    return rows


def feedback_folder(out: Path) -> Path:
    """Where the pages for the students lie, beside the table."""
    return out.with_name(f"{out.stem}-feedback")


def marks_from(values: Mapping[str, Any]) -> Marks:
    """The marks that a line of the log holds."""
    questions = tuple(
        Question(**(one | {"checks": tuple(Check(**check) for check in one["checks"])})) for one in values["questions"]
    )
    return Marks(questions, {int(cell): error for cell, error in values["errors"].items()}, values["output"])


def _key(submission: Submission, assignments: Mapping[str, Assignment], scale: str, limits: Limits) -> str:
    """The same for the same text, tests, scale, limits and data: then the marks would be, too."""
    known = assignments.get(submission.assignment)
    tests = known.digest if known else ""
    return key_of(submission.digest, tests, scale, json.dumps(asdict(limits)), submission.file, data_digest())


def _row(submission: Submission, record: Mapping[str, Any] | None, copied: str) -> dict[str, Any]:
    """A line of the table. copied: which others have cells like its own."""
    status = submission.note or (record["status"] if record else "not graded yet")
    row: dict[str, Any] = {
        "student": submission.student,
        "assignment": submission.assignment,
        "file": submission.file,
        "status": status,
        "points": "",
        "possible": "",
        "to be read": "",
        "details": submission.details or (record or {}).get("details", ""),
        "alike": copied,
        "seconds": (record or {}).get("seconds", ""),
    }
    if record and record["status"] == GRADED:
        marks = marks_from(record["marks"])
        row |= {"points": f"{marks.points:g}", "possible": f"{marks.possible:g}"}
        row["to be read"] = " ".join(f"{q.name}:{q.possible:g}" for q in marks.questions if q.points is None)
        row |= {f"{q.name}": f"{q.points:g}" for q in marks.questions if q.points is not None}
    return row


def _write_table(out: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    columns = list(dict.fromkeys(name for row in rows for name in row))
    unfinished = out.with_suffix(".csv.part")
    with unfinished.open("w", newline="", encoding="utf-8", errors="backslashreplace") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(map(harmless, rows))
    unfinished.replace(out)


def harmless(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row of a table in which no text begins as what a spreadsheet takes for a formula."""
    return {
        name: f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@") else value
        for name, value in row.items()
    }


def _write_feedback(
    out: Path,
    submissions: Sequence[Submission],
    done: Mapping[str, Mapping[str, Any]],
    keys: Mapping[str, str],
) -> None:
    folder = feedback_folder(out)
    folder.mkdir(exist_ok=True)
    for submission in submissions:
        record = done.get(keys[submission.file])
        marks = marks_from(record["marks"]) if record and record["status"] == GRADED else None
        details = submission.details or (record or {}).get("details", "")
        text = page(submission, marks, details)
        (folder / page_name(submission)).write_text(text, encoding="utf-8", errors="backslashreplace")
