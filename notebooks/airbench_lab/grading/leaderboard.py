"""The leaderboard of the speedrun project: the recipes and parts that students handed in, run and ranked.

Each entry is run with the same seeds, which the teacher names and no student has seen; all entries with the first seed,
then all with the second, so that a machine that wavers wavers for all. The grader trains in a process that never ran
the notebook, and calls the student's functions where they are: accuracies and seconds are its own, and a function that
is called at each step costs each step its call. Whether they pass is decided as by `airbench verify`.
"""

import os
import platform
import statistics
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from airbench_core import Parts, Recipe, Runtime, UsageError
from airbench_lab.grading.process import Limits
from airbench_lab.grading.remote import StudentError
from airbench_lab.grading.sandbox import Sandbox
from airbench_lab.grading.submissions import Submission, key_of
from airbench_lab.grading.training import DRY, Request, data_name, own_functions
from airbench_lab.lessons.speedrun import Rules, median_interval
from airbench_lab.runlog import lines
from airbench_lab.study import layout
from airbench_lab.study.layout import Column
from airbench_lab.study.names import recipe_name
from airbench_lab.study.statistics import against_target, mean_interval

ASSIGNMENT, RECIPE, PARTS = "speedrun", "my_recipe", "my_parts"  # the assignment, and the names it asks for


@dataclass(frozen=True, kw_only=True)
class Row:
    """An entry. rank: its place, or "fails" or "refused".

    Accuracies in 0..1, their interval a 95 % one; that of the median as `median_interval` gives it.
    """

    rank: str
    student: str
    recipe: str = ""
    n: int = 0
    seconds: float | None = None
    seconds_interval: tuple[float, float] | None = None
    accuracy: float | None = None
    accuracy_interval: tuple[float, float] | None = None
    p: float | None = None
    note: str = ""


COLUMNS = (
    Column("rank", lambda row: row.rank, words=True),
    Column("student", lambda row: row.student, words=True),
    Column("seconds, median", lambda row: layout.number(row.seconds, ".2f")),
    Column("interval of the median", lambda row: layout.bounds(row.seconds_interval, ".2f"), words=True),
    Column("accuracy, %", lambda row: layout.percent(row.accuracy)),
    Column("95 % interval", lambda row: layout.percents(row.accuracy_interval) if row.n else "", words=True),
    Column("p", lambda row: layout.number(row.p, ".2g")),
    Column("n", lambda row: str(row.n)),
    Column("recipe", lambda row: row.recipe, words=True),
    Column("note", lambda row: row.note, words=True),
)


def compete(
    submissions: Sequence[Submission],
    log: Path,
    rules: Rules,
    seeds: Sequence[int],
    *,
    limits: Limits | None = None,
    say: Callable[[str], None] = print,
) -> list[Row]:
    """Make the runs that are not in `log` yet, in turns, and rank all entries.

    Raises UsageError for fewer seeds than the rules ask for, for other data, and if there is no entry.
    """
    if len(seeds) < rules.fewest:
        raise UsageError(f"runs={len(seeds)} is not legal: {rules.fewest} or more")
    if data_name() != rules.data:
        raise UsageError(f"this is {data_name()} and not {rules.data}: `airbench data {rules.data}` fetches that")
    entries = [one for one in submissions if one.can_be_graded and one.assignment == ASSIGNMENT]
    if not entries:
        raise UsageError(f"none of the {len(submissions)} files is a submission of the assignment {ASSIGNMENT}")
    lines.check_writable(log)
    runs = {one["key"]: one for one in lines.load(log, ["key"])}
    keys = {(one.file, seed): _key(one, rules, seed) for one in entries for seed in seeds}
    refused = dict.fromkeys((one.file for one in entries), "")
    for seed in seeds:
        for one in entries:
            key = keys[one.file, seed]
            if key not in runs and not refused[one.file]:
                try:
                    run = _run(one, rules, seed, limits or Limits())
                except Exception as error:  # whatever it causes: the others are still to be run
                    known = isinstance(error, StudentError | UsageError | ValueError)
                    refused[one.file] = str(error) if known else f"{type(error).__name__}: {error}"
                    say(f"seed {seed}, {one.student} ({one.file}): {refused[one.file]}")
                    continue
                runs[key] = {"key": key, "student": one.student, "file": one.file, "seed": seed} | run
                lines.append(log, runs[key], f"seed {seed} of {one.file} is run")
                say(f"seed {seed}, {one.student}: {run['accuracy']:.2%} in {run['seconds']:.2f} s")
    made = {one.file: [runs[key] for seed in seeds if (key := keys[one.file, seed]) in runs] for one in entries}
    return ranked([(one, made[one.file], refused[one.file]) for one in entries], rules)


def ranked(entries: Sequence[tuple[Submission, Sequence[Mapping[str, Any]], str]], rules: Rules) -> list[Row]:
    """Submissions with their runs and why they were refused: what passes first, the fastest on top."""
    rows = [_row(*entry, rules) for entry in entries]
    order = {"": 0, "fails": 1}
    rows.sort(key=lambda row: (order.get(row.rank, 2), row.seconds if row.seconds is not None else 0))
    places = iter(range(1, len(rows) + 1))
    return [replace(row, rank=row.rank or str(next(places))) for row in rows]


def _row(submission: Submission, runs: Sequence[Mapping[str, Any]], refused: str, rules: Rules) -> Row:
    note = "; ".join(part for part in (submission.note, refused) if part)
    if refused or len(runs) < rules.fewest:
        return Row(rank="refused", student=submission.student, note=note or f"only {len(runs)} runs were made")
    accuracies, seconds = [run["accuracy"] for run in runs], [run["seconds"] for run in runs]
    if len(set(accuracies)) == 1:
        same = f"{accuracies[0]:.2%} with each of {len(runs)} seeds: no training gives that"
        return Row(rank="refused", student=submission.student, note="; ".join(filter(None, [note, same])))
    mean, test = mean_interval(accuracies), against_target(accuracies, rules.target)
    low, high, _ = median_interval(seconds)
    return Row(
        rank="fails" if test.failed else "",
        student=submission.student,
        recipe=runs[0]["recipe"],
        n=len(runs),
        seconds=statistics.median(seconds),
        seconds_interval=(low, high),
        accuracy=mean.mean,
        accuracy_interval=(mean.low, mean.high),
        p=test.p,
        note=note,
    )


def _run(submission: Submission, rules: Rules, seed: int, limits: Limits) -> dict[str, Any]:
    """One run of an entry, in a process of its own."""
    environment = {"AIRBENCH_SCALE": rules.scale, DRY: "1"}
    with Sandbox(submission.cells, limits, environment=environment) as sandbox:
        names = sandbox.names()
        recipe, parts = names.get(RECIPE), names.get(PARTS, Parts())
        if not isinstance(recipe, Recipe):
            raise StudentError(f"{RECIPE} is no recipe")
        if not isinstance(parts, Parts):
            raise StudentError(f"{PARTS} is no Parts(...)")
        if beyond := [name for name in parts.replaced if getattr(Parts(), name) is None]:  # they are handed the network
            raise StudentError(
                f"{PARTS} has its own {beyond[0]}, which the leaderboard does not run: give tricks alone"
            )
        request = Request.of(own_functions(parts), recipe, seed, rules.scale)
        sandbox.train(replace(request, scale="smoke"))  # imports, data, kernels: not on anybody's watch
        result = sandbox.train(request)
    name = recipe_name(recipe, parts.replaced)
    return {"recipe": name, "accuracy": result.accuracy, "seconds": result.seconds, "machine": machine()}


def machine() -> str:
    """This one, so that no seconds of another are ranked with its own."""
    return f"{platform.node()}, {os.cpu_count()} CPUs, {Runtime.detect().device_name}"


def _key(submission: Submission, rules: Rules, seed: int) -> str:
    return key_of(submission.digest, submission.file, rules.scale, rules.data, str(seed), machine())
