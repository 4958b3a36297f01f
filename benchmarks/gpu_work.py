"""The three kinds of pieces of a GPU session: runs of recipes, a comparison, the doctor. Each gives what is left of it.

All that is finished is on the disk before the next thing starts, and is found there by its key when it starts again.
"""

import argparse
import gc
import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict
from functools import cached_property
from pathlib import Path

import against
import torch
from airbench_lab import runlog
from airbench_lab.data import load_dataset
from airbench_lab.runlog import lines
from airbench_lab.study.keys import key
from gpu_pace import Pace
from gpu_plan import Comparison, Job, Piece

import airbench_core
from airbench_core import SCALES, Dataset, Diverged, Runtime, Trainer

REPOSITORY = Path(airbench_core.__file__).parents[1]


class Session:
    """Where, on what and for how long is measured, and what the folder `out` already holds."""

    def __init__(self, args: argparse.Namespace):
        self.args, self.out, self.scale = args, args.out, args.scale
        self.pace = Pace(args.minutes)
        self.runtimes = {on: Runtime.detect(args.device, threads=args.threads, compile=on) for on in (True, False)}
        self.device = self.runtimes[False].device

    @cached_property
    def data(self) -> Dataset:
        """On the device, so that all trainers share it."""
        full = load_dataset(self.args.dataset, self.args.data)
        return SCALES[self.scale].data(full).to(self.device)

    def values(self, job: Job, seed: int) -> dict:
        """What tells a run from all others, as a run's record has it."""
        return {
            "recipe": asdict(SCALES[self.scale].recipe(job.recipe)),
            "seed": seed,
            "runtime": self.runtimes[job.compile].describe(),
            "data": {"digest": self.data.digest},
        }

    def done(self, piece: Piece) -> dict[str, dict]:
        """The records of the piece's finished runs, and of those that diverged, by their keys."""
        return {key(record): record for name in (piece.name, "diverged") for record in read(self.log(name))}

    def log(self, name: str) -> Path:
        return self.out / f"{name}.jsonl"


def read(log: Path) -> list[dict]:
    return lines.load(log) if log.exists() else []


def say(text: str) -> None:
    print(text, flush=True)


def make_jobs(session: Session, piece: Piece) -> int:
    """Make the runs of `piece` that are missing and fit; gives how many are then left."""
    done, pace, left = session.done(piece), session.pace, 0
    wanted = [(job, [(seed, key(session.values(job, seed))) for seed in job.seeds]) for job in piece.jobs]
    for job, runs in wanted:
        for _, which in runs:
            if "seconds" in done.get(which, {}):
                pace.ran(job.expected, done[which]["seconds"])
    for job, runs in wanted:
        missing = [seed for seed, which in runs if which not in done]
        if not missing:
            continue
        if pace.fits(pace.setup(job.compile) + pace.run(job.expected)):
            left += make_job(session, piece, job, missing)
        else:
            left += len(missing)
    return left


def make_job(session: Session, piece: Piece, job: Job, seeds: Iterable[int]) -> int:
    """The runs of one recipe, which is set up, and compiled, once; gives how many did not fit."""
    log, pace, runtime = session.log(piece.name), session.pace, session.runtimes[job.compile]
    runlog.check_writable(log)
    started = time.perf_counter()
    trainer = Trainer(job.recipe, session.data, scale=session.scale, runtime=runtime)
    with runtime.active():
        trainer.warm_up()
    pace.set_up(job.compile, time.perf_counter() - started)
    left = 0
    for seed in seeds:
        if not pace.fits(pace.run(job.expected)):
            left += 1
            continue
        started = time.perf_counter()
        try:
            watch = None if job.race else lambda record: None  # for the accuracy after each epoch
            result = trainer.run(seed, observer=watch)
        except Diverged as error:  # this seed would do so again: it is noted, and not tried again
            noted = session.values(job, seed) | {"diverged": str(error)}
            lines.append(session.log("diverged"), noted, f"seed {seed} diverged")
            say(f"{piece.name}: {job.label}, seed {seed}: {error}")
            continue
        runlog.append(log, runlog.record(result))
        pace.ran(job.expected, time.perf_counter() - started)
        say(f"{piece.name}: {job.label}, seed {seed}: {result.accuracy:.4f} in {result.seconds:.3f} s")
    del trainer
    if job.compile:
        torch.compiler.reset()  # else all that was compiled stays in the device's memory
    gc.collect()
    return left


def compare(session: Session, piece: Piece) -> int:
    """Take the turns of a comparison that are missing and fit, and write its report; gives how many are then left."""
    comparison, pace, log = piece.comparison, session.pace, session.log(piece.name)
    script, runtime = find_script(session, comparison), session.runtimes[comparison.compile]
    if script is None:
        say(f"{piece.name}: there is no {comparison.script} in {session.args.reference}: clone its repository there")
        return 2 * comparison.pairs
    about = {
        "recipe": comparison.recipe,
        "set": list(comparison.settings),
        "scale": session.scale,
        **runtime.describe(),
        "torch": torch.__version__,
        "data": session.args.dataset,
        "script_name": comparison.script,
        "script_sha256": hashlib.sha256(script.read_bytes()).hexdigest(),
        "runs": comparison.runs,
    }
    records = [record for record in read(log) if {name: record.get(name) for name in about} == about]
    turns = [against.from_record(record) for record in records]
    todo = range(len(turns), 2 * comparison.pairs)
    needed = pace.turn(comparison.compile, comparison.runs, comparison.expected)
    pairing = against.Pairing(
        ours=our_arguments(session, comparison),
        script=script,
        script_args=comparison.script_args,
        runs=comparison.runs,
        data=session.args.dataset,
        root=session.args.data,
    )
    if todo and pace.fits(needed):
        for turn in against.take_turns(pairing, todo, session.device, timeout=lambda: max(60, pace.left())):
            turns.append(turn)
            lines.append(log, about | against.to_record(turn), f"turn {turn.turn} is done")
            say(f"{piece.name}: {against.row(turn)}")
            needed = 1.25 * max(needed if len(turns) == 1 else 0, *(other.wall for other in turns))
            if not pace.fits(needed):
                break
    if turns:
        report = {**about, "gpu": turns[0].gpu, **against.report(turns)}
        (session.out / f"{piece.name}.json").write_text(json.dumps(report, indent=1) + "\n")
    return 2 * comparison.pairs - len(turns)


def find_script(session: Session, comparison: Comparison) -> Path | None:
    """The script among the references, or, as the plain port, beside this file."""
    places = (Path(session.args.reference), Path(__file__).parent)
    return next((place / comparison.script for place in places if (place / comparison.script).is_file()), None)


def our_arguments(session: Session, comparison: Comparison) -> tuple[str, ...]:
    settings = [word for setting in comparison.settings for word in ("--set", setting)]
    threads = ["--threads", str(session.args.threads)] if session.args.threads else []
    where = ["--scale", session.scale, "--device", session.args.device, *threads]
    return comparison.recipe, *settings, *where, *["--compile"] * comparison.compile


def doctor(session: Session) -> int:
    """Keep what `airbench doctor` prints, in doctor.txt if all is well; gives 0 then, else 1."""
    kept, pace = session.out / "doctor.txt", session.pace
    if kept.exists():
        return 0
    if not pace.fits(pace.setup(compile=True)):
        return 1
    command = [sys.executable, "-m", "airbench_lab.cli", "doctor", "--device", session.args.device]
    command += ["--root", session.args.data] if session.args.data else []
    try:
        options = {
            "stdout": subprocess.PIPE,
            "stderr": subprocess.STDOUT,
            "text": True,
            "timeout": max(60, pace.left()),
        }
        done = subprocess.run(command, cwd=REPOSITORY, **options)
    except subprocess.TimeoutExpired:
        say("doctor: took too long and was ended")
        return 1
    say(done.stdout)
    if done.returncode:
        (session.out / "doctor-failed.txt").write_text(done.stdout)
        say(f"doctor: failed with status {done.returncode}: what follows is to be mistrusted")
        return 1
    kept.write_text(done.stdout)
    return 0
