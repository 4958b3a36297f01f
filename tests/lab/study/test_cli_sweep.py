"""`airbench sweep` as a person uses it: the plan, Ctrl-C and going on, failures, wrong requests."""

import os
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from airbench_lab import runlog
from airbench_lab.cli import main
from airbench_lab.runlog import lines
from airbench_lab.speed import Speed
from airbench_lab.study import cli_sweep
from PIL import Image

from airbench_core import UsageError, devices

VALUES = [str(value) for value in range(100)]
SMOKE = ["--scale", "smoke", "--data", "builtin", "--workers", "1"]


@pytest.fixture(autouse=True)
def _measured(monkeypatch):
    """What a run takes here is measured in tests of the core."""
    speed = Speed(train=1000.0, augment=1e4, evaluate=1e9)  # images per second
    monkeypatch.setattr(cli_sweep, "measure_speed", lambda *_, seconds: speed)


def runs(log: Path) -> list[dict]:
    return runlog.load(log) if log.exists() else []


def proposed(out: str) -> list[str]:
    """The arguments of the command that a sweep ends by naming."""
    return shlex.split(re.search(r"`airbench (report .*)` shows what they say", out)[1])


def test_a_plan_says_what_is_to_do_and_makes_nothing(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    assert main(["sweep", "ladder", *SMOKE, "--seeds", "2", "--out", str(log), "--dry-run"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"scale smoke, builtin: 1,000 training and 500 test images; 1 process of 1 thread, .*float", out)
    assert re.search(r"^\+ whitening +6\.3 +2 +0 +0 +\d+\.\d$", out, re.MULTILINE)
    assert re.search(r"^16 runs: 0 in .*runs.jsonl; 16 to do, about \d+ (s|min)$", out, re.MULTILINE)
    assert "left out: + torch.compile: on a CPU" in out
    assert not log.exists()


def test_a_plan_only_reads_the_log(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    log.write_bytes(b'{"schema": 2, "asked": {"ep')  # cut off, or being written by another process
    assert main(["sweep", "airbench94", *SMOKE, "--seeds", "1", "--out", str(log), "--dry-run"]) == 0
    assert f"{log}, line 1: not a whole record, left out" in capsys.readouterr().err
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {log.name: b'{"schema": 2, "asked": {"ep'}


def test_a_plan_counts_the_images_that_there_are(tmp_path, capsys):
    for shade, name in (60, "dark"), (190, "light"):
        (tmp_path / "mine" / name).mkdir(parents=True)
        for i in range(125):
            Image.new("RGB", (32, 32), (shade, shade, i)).save(tmp_path / "mine" / name / f"{i}.png")
    command = ["sweep", "airbench94", "--scale", "laptop", "--workers", "1", "--set", "epochs=10", "--seeds", "1"]
    assert main([*command, "--data", str(tmp_path / "mine"), "--out", str(tmp_path / "log.jsonl"), "--dry-run"]) == 0
    # 200 images: two batches of 100 in each of 16 epochs, at 1,000 a second
    assert re.search(r"^airbench94 epochs=10 +16 +1 +0 +0 +3\.2$", capsys.readouterr().out, re.MULTILINE)


def test_runs_on_images_that_were_held_out_are_other_runs(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    command = ["sweep", "airbench94", *SMOKE, "--set", "epochs=1", "--seeds", "1", "--out", str(log)]
    assert main(command) == main([*command, "--holdout", "700"]) == 0
    assert "scale smoke, builtin-holdout700: 1,000 training and 500 test images" in capsys.readouterr().out
    assert [run["data"]["name"] for run in runs(log)] == ["builtin", "builtin-holdout700"]
    assert main([*command, "--holdout", "700"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert main(["report", str(log)]) == 2  # no mean of both
    assert "mix data sets" in capsys.readouterr().err
    assert main([*command, "--holdout", "700"]) == 0
    assert main(proposed(capsys.readouterr().out)) == 0
    assert capsys.readouterr().out.startswith("builtin-holdout700, scale smoke, ")


def test_ctrl_c_ends_a_run_at_its_next_step_and_the_same_command_goes_on(tmp_path, capfd):
    log = tmp_path / "runs.jsonl"
    command = ["sweep", "airbench94", *SMOKE, "--set", "epochs=3,5000", "--seeds", "2", "--out", str(log)]

    def press() -> None:
        while not runs(log):  # the first run has 3 epochs, the second 5,000, which are never done
            time.sleep(0.05)
        time.sleep(0.3)
        os.kill(os.getpid(), signal.SIGINT)

    presser = threading.Thread(target=press, daemon=True)
    presser.start()
    assert main(command) == 130
    presser.join()
    out, err = capfd.readouterr()
    assert f"1 of 4 runs are in {log}: `airbench report {log}` shows" in out
    assert err.splitlines() == [
        "airbench: ending at the next step; Ctrl-C again ends at once",
        "airbench: stopped: the same command goes on from here",
    ]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler  # as it was before
    assert main([*command, "--dry-run"]) == 0
    assert f"4 runs: 1 in {log}; 3 to do" in capfd.readouterr().out


def test_runs_are_in_the_log_whatever_becomes_of_what_is_printed(tmp_path):
    log = tmp_path / "runs.jsonl"
    arguments = ["sweep", "airbench94", *SMOKE, "--set", "epochs=2", "--seeds", "2", "--race", "--out", str(log)]
    done = subprocess.run(
        f"{shlex.join([sys.executable, '-m', 'airbench_lab.cli', *arguments])} 2>&1 | head -1",
        shell=True,
        capture_output=True,
        text=True,
    )
    assert [record["seed"] for record in runs(log)] == [0, 1]
    assert done.stdout.count("\n") == 1


def test_a_log_that_another_sweep_is_at_work_on_is_left_alone(tmp_path, capsys):
    """Before anything is planned: a plan made beside it would hold the same runs."""
    log = tmp_path / "runs.jsonl"
    arguments = ["sweep", "airbench94", *SMOKE, "--set", "epochs=2", "--seeds", "1", "--out", str(log)]
    with lines.claimed(log):
        assert main(arguments) == 1
        printed = capsys.readouterr()
        assert (
            printed.err == f"airbench: error: another process is at work on {log}: wait for it, or name another file\n"
        )
        assert printed.out == ""
        assert main([*arguments, "--dry-run"]) == 0
    assert not log.exists()


def test_a_file_that_is_no_log_is_left_as_it_is(tmp_path, capsys):
    notebook = tmp_path / "notebook.ipynb"
    notebook.write_text('{"cells": []}')
    assert main(["sweep", "airbench94", *SMOKE, "--out", str(notebook)]) == 1
    assert capsys.readouterr().err == (
        f"airbench: error: {notebook}, line 1: not the record of a run (no schema): name a log of runs\n"
    )
    assert notebook.read_text() == '{"cells": []}'


def test_a_failed_run_is_said_and_logged_and_the_exit_status_shows_it(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    arguments = ["sweep", "airbench94", *SMOKE, "--set", "lr=1e8,11.5", "--set", "epochs=3", "--seeds", "1"]
    assert main([*arguments, "--out", str(log)]) == 1
    out, err = capsys.readouterr()
    assert re.search(r"1/2  airbench94 epochs=3 lr=100000000, seed 0: failed: the training loss is nan", out)
    assert f"1 of 2 runs are in {log}" in out
    assert re.match(r"airbench: airbench94 epochs=3 lr=100000000, seed 0 failed: the training loss is nan", err)
    assert len(runs(log)) == 1
    assert [record["failed"]["kind"] for record in runlog.load(log, failed=True) if "failed" in record] == ["diverged"]
    assert main([*arguments, "--out", str(log)]) == 1  # not tried again, and not forgotten
    out, err = capsys.readouterr()
    assert "1 in" in out
    assert "1 diverged; nothing to do" in out
    assert "airbench94 epochs=3 lr=100000000, seed 0 diverged earlier" in err
    assert len(runlog.load(log, failed=True)) == 2


def test_variance_keeps_predictions(tmp_path):
    log = tmp_path / "runs.jsonl"
    arguments = ["sweep", "variance", *SMOKE, "--set", "epochs=2", "--seeds", "2", "--race", "--out", str(log)]
    assert main(arguments) == 0
    for record in runs(log):
        assert {tta: len(classes) for tta, classes in runlog.predictions(record).items()} == {
            "none": 500,
            "mirror": 500,
            "mirror+translate": 500,
        }


def test_the_variance_on_images_that_were_held_out_is_reported_as_the_sweep_says(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    arguments = ["sweep", "variance", *SMOKE, "--set", "epochs=1", "--seeds", "2", "--race", "--holdout", "500"]
    assert main([*arguments, "--out", str(log)]) == 0
    assert main(proposed(capsys.readouterr().out)) == 0
    title, _, line, *_ = capsys.readouterr().out.splitlines()
    assert title.startswith("builtin-holdout500, scale smoke, ")
    mean = 100 - 50 * sum(run["accuracies"]["none"] for run in runs(log))
    assert line.split()[:5] == ["airbench94", "epochs=1", "none", "2", f"{mean:.2f}"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["laddr"], "'laddr' is neither a study nor a recipe; studies: ladder, ablation"),
        (["ladder", "--set", "epochs=1", "--set", "epochs=2"], "epochs is set twice, to 1 and to 2: set it once"),
        (["ladder", "--set", "epochs"], "cannot read 'epochs': write FIELD=VALUE"),
        (["ladder", "--set", "epochs=1,,2"], "epochs="),
        (["ladder", "--seeds", "0"], "seeds=0 is not legal: 1 or more"),
        (["ladder", "--seed", "-1"], "seed=-1 with seeds=5 is not legal"),
        (
            ["ladder", "--seeds", "3000000000"],
            "seed=0 with seeds=3000000000 is not legal: seeds are 0 to 2",
        ),
        (["ladder", "--seeds", "1000000000"], "these are 9,000,000,000 runs, and 100,000 at most can be planned"),
        (
            ["ladder", *(f"--set={name}={','.join(VALUES)}" for name in ("epochs", "lr", "cutout"))],
            "these are 9,000,000",
        ),
        (["ladder", "--threads", "0"], "threads=0 is not legal"),
        (["ladder", "--workers", "1000"], "workers=1000 is not legal"),
        (["ladder", "--address", "somewhere"], "--address is that of a Ray cluster: add --engine ray"),
        (["ladder", "--engine", "ray", "--workers", "2"], "--workers does not go with --engine ray"),
        (["ladder", "--set", "batch_size=90000"], "baseline batch_size=90000: batch_size=2812 is more than the 1000"),
    ],
)
def test_a_wrong_request_is_one_line_before_anything_is_run(arguments, message, tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    settings = [] if "--workers" in arguments else ["--workers", "1"]
    where = ["--scale", "smoke", "--data", "builtin", *settings, "--out", str(log)]
    if "ray" in arguments:
        where = ["--scale", "smoke", "--data", "builtin", "--out", str(log)]
    assert main(["sweep", *arguments, *where]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"airbench: error: {message}")
    assert not log.exists()


def test_without_ray_one_run_goes_on_at_a_time(tmp_path, monkeypatch, capsys):
    """More are refused by a line that says what to install."""
    monkeypatch.setattr(cli_sweep, "find_spec", lambda name: None)
    monkeypatch.setattr(cli_sweep, "available_cores", lambda: 64)
    smoke = ["--scale", "smoke", "--data", "builtin"]
    where = ["sweep", "airbench94", *smoke, "--out", str(tmp_path / "log"), "--dry-run"]
    assert main(where) == 0
    assert "; 1 process of " in capsys.readouterr().out
    monkeypatch.setitem(sys.modules, "ray", None)
    sys.modules.pop("airbench_lab.study.cluster", None)
    assert main([*where, "--workers", "2"]) == 2
    assert "which is not installed: `pip install -e '.[cluster]'`" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cores", "threads", "memory", "workers"),
    [(8, 1, 64e9, 7), (8, 3, 64e9, 2), (1, 1, 64e9, 1), (2, 4, 64e9, 1), (64, 1, 16e9, 3), (8, 1, 1e9, 1)],
)
def test_as_many_runs_at_a_time_as_leave_a_core_free_and_fit_into_memory(monkeypatch, cores, threads, memory, workers):
    monkeypatch.setattr(cli_sweep, "find_spec", lambda name: True)
    monkeypatch.setattr(cli_sweep, "available_cores", lambda: cores)
    monkeypatch.setattr(devices, "available_cores", lambda: 8)
    monkeypatch.setattr(cli_sweep, "available_memory", lambda: memory)
    args = SimpleNamespace(device="cpu", dtype="float32", threads=threads, workers=None, scale="full")
    assert cli_sweep._local(args)[0] == workers


def test_one_run_a_gpu(monkeypatch):
    monkeypatch.setattr(cli_sweep, "find_spec", lambda name: True)
    monkeypatch.setattr(cli_sweep.torch.cuda, "device_count", lambda: 3)
    detect = lambda device, **_: SimpleNamespace(device=torch.device(device), threads=1)  # noqa: E731
    monkeypatch.setattr(cli_sweep.Runtime, "detect", detect)

    def workers(device: str, asked: int | None = None) -> int:
        return cli_sweep._local(SimpleNamespace(device=device, dtype="auto", threads=None, workers=asked))[0]

    assert [workers("cuda"), workers("cuda:1"), workers("cuda", 2)] == [3, 1, 2]
    for asked in (0, 4):
        with pytest.raises(UsageError, match=f"workers={asked} is not legal: one for each of the 3 device"):
            workers("cuda", asked)
