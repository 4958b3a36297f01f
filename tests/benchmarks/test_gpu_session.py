import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import against
import pytest
import torch

from airbench_core import AIRBENCH94, UsageError

ROOT = Path(__file__).parents[2]
SMOKE = ["--device", "cpu", "--scale", "smoke", "--threads", "1"]


@pytest.fixture
def session(monkeypatch):
    """The module gpu_session."""
    monkeypatch.syspath_prepend(ROOT / "benchmarks")
    import gpu_session

    return gpu_session


@pytest.fixture
def work(session):
    import gpu_work

    return gpu_work


def lines(log: Path) -> list[str]:
    return log.read_text().splitlines() if log.exists() else []


def whole(log: Path) -> list[dict]:
    """The records in a log in which a line may be half written."""
    return [json.loads(line) for line in lines(log) if line.endswith("}")]


def test_a_killed_session_goes_on_without_a_run_lost_or_made_twice(tmp_path):
    names = ("airbench94_muon", "ladder-compiled")
    only = [word for name in names for word in ("--only", name)]
    command = [sys.executable, ROOT / "benchmarks" / "gpu_session.py", "--out", tmp_path, *SMOKE, *only]
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}  # it finds its checkout
    killed, first = tmp_path / "ladder-compiled.jsonl", tmp_path / "airbench94_muon.jsonl"

    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    while not lines(killed):  # a piece is done, the next has begun
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    before = [first.read_text(), killed.read_text()]
    assert len(whole(killed)) < 6
    with killed.open("a") as log:
        log.write(before[0][:1000])  # as if it had been killed while it wrote

    again = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert again.returncode == 0, again.stderr
    assert first.read_text() == before[0]
    assert killed.read_text().startswith(before[1])
    runs = [(json.dumps(record["recipe"]), record["seed"]) for record in whole(killed)]
    assert len(runs) == len(set(runs)) == 6  # three rungs, two seeds
    assert "ladder-compiled: done" in (tmp_path / "summary.txt").read_text()


def test_nothing_is_started_that_does_not_fit(session, tmp_path, capsys):
    assert session.main(["--out", str(tmp_path), *SMOKE, "--minutes", "0"]) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["sessions.jsonl", "summary.txt"]
    assert "airbench96: 2 left" in capsys.readouterr().out


def test_single_runs_are_checked_too(session, tmp_path, monkeypatch):
    """Two seeds, 21 seconds and a clock on which a run takes 10: the second would fit, but not surely."""
    import gpu_pace

    clock = SimpleNamespace(now=0.0)
    trainer = session.make_jobs.__globals__["Trainer"]
    monkeypatch.setattr(session.make_jobs.__globals__["time"], "perf_counter", lambda: clock.now)
    monkeypatch.setattr(gpu_pace.Pace.__init__, "__defaults__", (lambda: clock.now,))
    warm_up, run = trainer.warm_up, trainer.run

    def slow_warm_up(self, *check):
        clock.now += 0.5
        return warm_up(self, *check)

    def slow_run(self, seed, **options):
        clock.now += 9.5
        return run(self, seed, **options)

    monkeypatch.setattr(trainer, "warm_up", slow_warm_up)
    monkeypatch.setattr(trainer, "run", slow_run)
    arguments = ["--out", str(tmp_path), *SMOKE, "--minutes", "0.35", "--only", "ladder-compiled"]
    assert session.main(arguments) == 3
    assert len(whole(tmp_path / "ladder-compiled.jsonl")) == 1
    assert clock.now == 10.5


def test_estimates_follow_what_was_measured(session):
    from gpu_pace import MARGIN, Pace

    pace = Pace(1, now=lambda: 100.0)
    assert pace.fits(60)
    assert not pace.fits(60.1)
    for measured in (1.0, 1.0, 50.0):  # one was held up
        pace.ran(2.0, measured)
    assert pace.run(4.0) == pytest.approx(MARGIN * 2.0)
    pace.set_up(True, 20.0)
    assert pace.setup(True) == pytest.approx(MARGIN * 20)
    assert pace.setup(False) < 20


def test_a_comparison_goes_on_at_the_turn_where_it_stopped(session, tmp_path, monkeypatch):
    asked = []

    def take_turns(pairing, turns, device, timeout):
        asked.append(list(turns))
        number = turns[0]  # one turn, then the machine is gone
        side = ("ours", "script")[number % 2]
        yield against.Turn(
            turn=number, side=side, accuracies=(0.5,), seconds=(number + 1.0,), wall=1, started=0, gpu=None
        )
        if number == 0:
            raise KeyboardInterrupt

    monkeypatch.setattr(against, "take_turns", take_turns)
    arguments = ["--out", str(tmp_path), *SMOKE, "--only", "against-muon"]
    with pytest.raises(KeyboardInterrupt):
        session.main(arguments)
    assert session.main(arguments) == 0
    assert session.main(arguments) == 0
    assert asked == [[0, 1], [1]]
    assert [turn["side"] for turn in whole(tmp_path / "against-muon.jsonl")] == ["ours", "script"]
    told = json.loads((tmp_path / "against-muon.json").read_text())
    assert (told["ratios"], told["script"]["n"], told["script_name"]) == ([2], 1, "plain_port.py")
    assert "pair by pair: 2.000" in (tmp_path / "summary.txt").read_text()


def test_a_piece_that_fails_leaves_the_others(session, tmp_path, monkeypatch, capsys):
    def make_jobs(session, piece):
        if piece.name == "airbench95":
            raise RuntimeError("out of luck")
        return 0

    monkeypatch.setattr(session, "make_jobs", make_jobs)
    only = ["--only", "airbench95", "--only", "airbench96"]
    assert session.main(["--out", str(tmp_path), *SMOKE, *only]) == 3
    out = capsys.readouterr().out
    assert "airbench95: RuntimeError: out of luck" in out
    assert "airbench96: done" in out
    assert "out of luck" in (tmp_path / "errors.txt").read_text()


def test_a_seed_that_diverged_is_not_tried_again(session, work, tmp_path, monkeypatch):
    from airbench_core import Diverged

    tried = []

    def diverge(self, seed, **_):
        tried.append(seed)
        raise Diverged("the loss is nan")

    monkeypatch.setattr(work.Trainer, "run", diverge)
    arguments = ["--out", str(tmp_path), *SMOKE, "--only", "airbench95"]
    assert session.main(arguments) == 0
    assert session.main(arguments) == 0
    assert tried == [0, 1]
    assert [record["diverged"] for record in whole(tmp_path / "diverged.jsonl")] == ["the loss is nan"] * 2


def test_the_doctor_is_asked_until_all_is_well(session, work, tmp_path, monkeypatch):
    answers = [SimpleNamespace(returncode=1, stdout="FAILED"), SimpleNamespace(returncode=0, stdout="all is well")]
    monkeypatch.setattr(work.subprocess, "run", lambda *_, **__: answers.pop(0))
    arguments = ["--out", str(tmp_path), *SMOKE, "--only", "doctor"]
    assert [session.main(arguments) for _ in range(3)] == [3, 0, 0]
    assert (tmp_path / "doctor.txt").read_text() == "all is well"


def test_the_plan(session, capsys):
    from gpu_plan import plan

    assert session.main(["--list"]) == 0
    listed = [line.split()[0] for line in capsys.readouterr().out.splitlines()]
    pieces = plan("full")
    assert listed == [*(piece.name for piece in pieces), "together"]
    assert listed[:2] == ["doctor", "airbench94"]
    by_name = {piece.name: piece for piece in pieces}
    assert [len(job.seeds) for job in by_name["airbench94"].jobs] == [25]
    grid = by_name["grid-seed0"].jobs
    assert len({job.recipe for job in grid}) == 64
    assert grid[0].recipe == AIRBENCH94
    varied = {name for job in grid for name in job.recipe.changes()}
    assert varied == {"whiten", "identity_init", "bias_scale", "lookahead", "tta", "flip"}
    seeds = [by_name[f"grid-seed{seed}"].jobs[0].seeds for seed in range(5)]
    assert [list(some) for some in seeds] == [[0], [1], [2], [3], [4]]


@pytest.mark.skipif(torch.cuda.is_available(), reason="a CUDA device is here")
def test_the_full_scale_is_not_for_a_cpu(session, tmp_path):
    with pytest.raises(UsageError, match="--device cpu --scale smoke"):
        session.main(["--out", str(tmp_path / "out")])
    with pytest.raises(UsageError, match="there is no piece ladder: they are doctor, airbench94"):
        session.main(["--out", str(tmp_path / "out"), "--only", "ladder"])
    assert not (tmp_path / "out").exists()
