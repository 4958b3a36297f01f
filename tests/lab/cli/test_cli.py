import json
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from airbench_lab import runlog
from airbench_lab.cli import machine, main
from airbench_lab.cli.interrupt import ctrl_c
from airbench_lab.data import load_dataset
from PIL import Image

from airbench_core import AIRBENCH94, RECIPES, load

QUICK = ["--scale", "smoke", "--data", "builtin"]
SMOKE = [*QUICK, "--set", "epochs=7"]  # 2.1 epochs at this scale


def airbench(*arguments, **options):
    return subprocess.run(
        [sys.executable, "-m", "airbench_lab.cli", *arguments], capture_output=True, text=True, **options
    )


def test_train_prints_a_row_an_epoch_and_a_summary_and_logs_each_run(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    assert main(["train", "airbench94", *SMOKE, "--runs", "2", "--seed", "5", "--out", str(log)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert re.match(
        r"airbench94 epochs=7, scale smoke, builtin: 1,000 training and 500 test images, 66 steps; ", lines[0]
    )
    assert lines[1].split() == ["run", "epoch", "train", "loss", "accuracy", "seconds"]
    rows = [line.split() for line in lines[2:-1]]
    assert [row[:2] for row in rows] == [[run, epoch] for run in "12" for epoch in ("1.00", "2.00", "2.13", "TTA")]
    records = [json.loads(line) for line in log.read_text().splitlines()]
    assert [record["seed"] for record in records] == [5, 6]
    assert [f"{record['accuracy']:.4f}" for record in records] == [rows[3][2], rows[7][2]]
    mean = sum(record["accuracy"] for record in records) / 2
    assert f"mean {mean:.4f}, std " in lines[-1]
    assert "n=2" in lines[-1]


@pytest.mark.parametrize(
    ("arguments", "status", "message"),
    [
        (["train", "airbench93"], 2, "unknown recipe 'airbench93'; the recipes are baseline, airbench94"),
        (["train", "airbench94", "--set", "flp=random"], 2, "unknown recipe field 'flp'"),
        (
            ["train", "airbench94", "--set", "flip=sideways"],
            2,
            "flip=sideways is not legal: none or random or alternating",
        ),
        (["train", "airbench94", "--set", "first_norm=true"], 2, "first_norm=true needs whiten=false"),
        (["train", "airbench94", "--device", "abacus"], 2, "device=abacus is not legal"),
        (["train", "airbench94", "--threads", "0"], 2, "threads=0 is not legal"),
        (["train", "airbench94", "--runs", "0"], 2, "runs=0 is not legal"),
        (["train", "airbench94", *SMOKE, "--set", "batch_size=100000"], 2, "batch_size=3125 is more than the 1000"),
        (["train", "airbench94", "--data", "mnist"], 2, "mnist"),
        (["train", "airbench94", *SMOKE, "--out", "/no/such/folder/log"], 1, "cannot write the run log"),
        (
            ["train", "airbench94", *SMOKE, "--set", "weight_decay=1000", "--set", "lookahead=false"],
            1,
            "run 1: the training loss is",
        ),
        (["train", "airbench94", *QUICK, "--set", "epochs=1e308"], 2, "epochs=1e+308 is not legal: 0.001 to 10,000"),
        (["train", "airbench94", "--seed", "-1"], 2, "seed=-1 with runs=1 is not legal"),
        (
            ["train", "airbench94", "--seed", str(2**31 - 1), "--runs", "2"],
            2,
            "not legal: seeds are 0 to 2,147,483,647",
        ),
        (["train", "airbench94", "--threads", str(2**40)], 2, "is not legal: a whole number, 1 to 1,024"),
        (["train", "airbench94", "--runs", "x"], 2, "argument --runs: invalid int value: 'x'"),
        (["train", "airbench94", "--scale", "huge"], 2, "argument --scale: invalid choice: 'huge'"),
        (["bench", "--seconds", "nan"], 2, "seconds=nan is not legal"),
        ([], 2, "COMMAND"),
        (
            ["train", "airbench94", *SMOKE, "--out", os.devnull],
            1,
            f"cannot write the run log {os.devnull}: it is no file",
        ),
        (["train", "airbench94", *SMOKE, "--out", __file__], 1, "its first line is no record; name another file"),
        (["train", "airbench94", *SMOKE, "--set", "epochs=8"], 2, "epochs is set twice, to 7 and to 8: set it once"),
        (["train", "airbench94", "--set", "a\nb=\x1b[31m"], 2, r"unknown recipe field 'a\nb'"),
        (
            ["train", "airbench94", *SMOKE, "--out", "no\nsuch\x1b/log"],
            1,
            r"the run log no\nsuch\x1b/log: No such file",
        ),
        (["recipes", "airbench93"], 2, "unknown recipe"),
        (["diff", "airbench94", "airbench93"], 2, "unknown recipe 'airbench93'"),
        (["train", "airbench94", "--set", "optimizer=muon"], 2, "optimizer=muon needs bias_scale=1"),
        (["train", "airbench96_faster", "--set", "proxy_keep=2000"], 2, "proxy_keep=2000 is more than the batch"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_an_error_is_one_line_with_the_right_status(arguments, status, message, capsys):
    assert main(arguments) == status
    err = capsys.readouterr().err
    assert message in err
    assert err.count("\n") == 1
    assert err.startswith("airbench: error: ")


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("[enforce fail] can't allocate memory: 9 bytes")])
def test_running_out_of_memory_is_one_line(error, monkeypatch, capsys):
    from airbench_core import Trainer

    def run(*_, **__):
        raise error

    monkeypatch.setattr(Trainer, "run", run)
    assert main(["train", "airbench94", *SMOKE]) == 1
    assert capsys.readouterr().err == "airbench: error: out of memory: try a smaller batch_size, widths or scale\n"


@pytest.mark.skipif(sys.platform == "win32", reason="a POSIX shell's redirections")
@pytest.mark.parametrize("printed", ["2>&1 | head -2", "> /dev/full", ">&- 2>&-"])
def test_runs_are_in_the_log_whatever_becomes_of_what_is_printed(printed, tmp_path):
    log = tmp_path / "runs.jsonl"
    command = [
        sys.executable,
        "-m",
        "airbench_lab.cli",
        "train",
        "airbench94",
        *SMOKE,
        "--runs",
        "2",
        "--out",
        str(log),
    ]
    done = subprocess.run(f"{shlex.join(command)} {printed}", shell=True, capture_output=True, text=True)
    assert [record["seed"] for record in runlog.load(log)] == [0, 1]
    assert "Traceback" not in done.stderr + done.stdout
    assert done.stderr.count("\n") <= 1


def test_a_run_is_in_the_log_before_it_is_printed(tmp_path, monkeypatch):
    from airbench_lab.cli import train as command

    log, say = tmp_path / "runs.jsonl", command.say

    def look(line: str) -> None:
        say(line)
        if "TTA  " in line:
            assert len(runlog.load(log)) == int(line.split()[0])
            looked.append(line)

    looked: list[str] = []
    monkeypatch.setattr(command, "say", look)
    assert main(["train", "airbench94", *SMOKE, "--runs", "2", "--out", str(log)]) == 0
    assert len(looked) == 2


def test_diff_prints_the_fields_side_by_side(capsys):
    assert main(["diff", "airbench95", "airbench96"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:3] == ["field", "airbench95", "airbench96"]
    assert ["cutout", "0", "12"] in [line.split()[:3] for line in lines]


def test_recipes_lists_all_with_what_they_cost(capsys):
    assert main(["recipes"]) == 0
    rows = {line.split()[0]: line.split()[1:] for line in capsys.readouterr().out.splitlines() if line}
    assert rows["airbench96"] == ["37", "1776", "9,915,704", "4.895"]
    assert set(RECIPES) < set(rows)


@pytest.mark.parametrize(
    "words",
    [["--help"], ["recipes"], ["recipes", "airbench96"], ["diff", "airbench94", "baseline"], ["recipe"]],
    ids=str,
)
def test_what_reads_no_images_starts_without_what_takes_seconds_to_import(words):
    code = f"import sys\nfrom airbench_lab.cli import main\ntry: main({words})\nexcept SystemExit: pass\n"
    code += "print({'torch', 'numpy', 'pandas', 'scipy', 'ray'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "set()"


def test_every_command_says_what_it_is_for(capsys):
    from airbench_lab import cli

    with pytest.raises(SystemExit):
        main(["--help"])
    out = " ".join(capsys.readouterr().out.split())
    for verb, (_, about) in cli.VERBS.items():
        assert f" {verb} {about} " in f"{out} "
        with pytest.raises(SystemExit):
            main([verb, "--help"])
        assert capsys.readouterr().out.startswith(f"usage: airbench {verb} ")


SWALLOWS = """
import sys, time
print("importing", flush=True)
try:
    time.sleep(60)
except BaseException as error:  # as compiled modules do
    raise ImportError("initialization failed") from error
"""


def test_ctrl_c_while_it_imports_is_one_line(tmp_path):
    (tmp_path / "torch.py").write_text(SWALLOWS)
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    command = [sys.executable, "-c", "from airbench_lab.cli.__main__ import main; main()", "train", "airbench94"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout.readline() == "importing\n"
    process.send_signal(signal.SIGINT)
    _, err = process.communicate(timeout=60)
    assert (process.returncode, err) == (130, "airbench: stopped\n")


def test_a_second_ctrl_c_ends_at_once_also_what_hears_none():
    """Such as a cluster whose processes do not answer, while it is put away."""
    code = (
        "import os, signal, time\nfrom airbench_lab.cli.interrupt import ctrl_c\n"
        "with ctrl_c() as stop:\n    os.kill(os.getpid(), signal.SIGINT)\n    assert stop.wait(5)\n"
        "while True:\n    try:\n        os.kill(os.getpid(), signal.SIGINT)\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        pass\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=30)
    assert done.returncode == 130
    assert done.stderr.splitlines() == [
        "airbench: ending at the next step; Ctrl-C again ends at once",
        "airbench: stopped",
    ]


def test_ctrl_c_that_is_ignored_on_purpose_stays_so():
    """As a shell does it for a job in the background of a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with ctrl_c() as stop:
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
        assert not stop.is_set()
    finally:
        signal.signal(signal.SIGINT, before)


def test_a_warning_of_ours_is_one_bare_line(monkeypatch, capsys):
    from airbench_lab.cli import train as command

    digits = replace(load_dataset("builtin"), name="digits", mirror_changes_class=True)
    monkeypatch.setattr(command, "data_from", lambda _: digits)
    arguments = ["train", "airbench94", *QUICK, "--set", "epochs=1"]
    assert main(arguments) == 0
    assert capsys.readouterr().err == (
        "airbench: warning: flip=alternating and tta=mirror+translate on digits, where a mirrored picture may show "
        "something else: set flip and tta to none\n"
    )
    assert main([*arguments, "--set", "flip=none", "--set", "tta=none"]) == 0
    assert capsys.readouterr().err == ""


def test_doctor_says_what_is_here_and_what_a_run_costs(monkeypatch, capsys, tmp_path):
    from airbench_lab.cli import machine
    from airbench_lab.speed import Speed

    speed = Speed(train=1000, augment=1, evaluate=10_000)
    monkeypatch.setattr(machine, "measure_speed", lambda *_, **__: speed)
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert main(["doctor", "--device", "cpu", "--threads", "1"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^device +cpu: \S", out, re.MULTILINE)
    assert re.search(r"^threads +1 of \d+ cores$", out, re.MULTILINE)
    assert re.search(r"^memory +[\d.]+ GiB$", out, re.MULTILINE)
    assert re.search(r"^data +CIFAR-10 .* is in none of .*`airbench data cifar10`", out, re.MULTILINE)
    assert re.search(r"^gradients +ok: those of 6 networks differ from float64's by \S+ at most", out, re.MULTILINE)
    assert re.search(r"^ +full +about 8 min$", out, re.MULTILINE)  # 476 steps of 1,024 images, 60,000 views


def test_doctor_says_before_a_run_what_fits_a_gpus_memory(monkeypatch, capsys):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device: (int(3.5 * 2**30), 4 * 2**30))
    machine.tell_what_fits(torch.device("cuda"))
    said = capsys.readouterr().out
    assert "3.5 of 4.0 GiB free" in said
    assert "airbench94 2.3," in said
    assert "too much for what is free: airbench94_muon, airbench95, airbench96, airbench96_faster;" in said
    assert "cuda:0 to cuda:1" in said


def test_doctor_compares_eager_with_compiled_steps(monkeypatch, float32):
    """With a compiler that changes nothing they agree; with one that computes something else they do not."""
    import torch
    from airbench_lab.cli import machine

    monkeypatch.setattr(machine, "AIRBENCH94", replace(AIRBENCH94, widths=(4, 8, 8), batch_size=64))
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    assert machine.compiled_difference(float32) == 0
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *args: 1.1 * function(*args))
    assert machine.compiled_difference(float32) > 0.05


def test_unreadable_data_is_one_line(tmp_path):
    folder = tmp_path / "cifar-10-batches-py"
    folder.mkdir()
    (folder / "data_batch_1").write_bytes(b"half a file")
    done = airbench("train", "airbench94", "--scale", "smoke", "--root", str(tmp_path), "--data", "cifar10")
    assert done.returncode == 1
    assert "data_batch" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_network_that_was_saved_classifies_pictures(tmp_path, capsys):
    model, log, data = tmp_path / "model.pt", tmp_path / "runs.jsonl", load_dataset("builtin")
    arguments = ["train", "airbench94", *SMOKE, "--holdout", "600", "--save", str(model), "--out", str(log)]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert "builtin-holdout600: 1,000 training and 500 test images" in said
    (record,) = map(json.loads, log.read_text().splitlines())
    assert record["data"]["name"] == "builtin-holdout600"
    assert record["data"]["digest"] != data.head(1000, 500).digest
    paths = [str(tmp_path / name) for name in ("a.png", "b\x1b.png")]
    for path, image in zip(paths, data.test_images, strict=False):
        Image.fromarray(image.permute(1, 2, 0).numpy()).save(path)
    assert main(["classify", str(model), *paths]) == 0
    lines = capsys.readouterr().out.splitlines()
    shares = load(model).shares(data.test_images[:2])
    for line, path, row in zip(lines, paths, shares, strict=True):
        best = row.argmax()
        assert line.startswith(f"{path.replace(chr(27), chr(92) + 'x1b')}: {data.classes[best]} {row[best]:.0%}, ")
        assert line.count("%") == 3
    for words, status, told in (
        (["classify", str(log), paths[0]], 1, "is no model that airbench wrote"),
        (["classify", str(model), str(log)], 1, "cannot be read as a picture"),
        (["train", "airbench94", *SMOKE, "--save", str(log)], 2, "is there already, and no model"),
        (["train", "airbench94", *SMOKE, "--save", str(tmp_path / "no" / "m")], 1, "cannot write the model"),
        (
            ["train", "airbench94", *SMOKE, "--holdout", "20000"],
            2,
            "holdout=20000 is not legal: a whole number, 1 to 19,999",
        ),
    ):
        assert main(words) == status
        err = capsys.readouterr().err
        assert told in err
        assert err.count("\n") == 1


def test_a_folder_of_pictures_is_trained_on(tmp_path, capsys):
    data = load_dataset("builtin")
    for i, (image, label) in enumerate(zip(data.train_images[:80], data.train_labels, strict=False)):
        folder = tmp_path / "shapes" / data.classes[label]
        folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image.permute(1, 2, 0).numpy()).resize((50, 40)).save(folder / f"{i}.png")
    assert main(["train", "airbench94", *SMOKE[:2], "--data", str(tmp_path / "shapes")]) == 0
    out, err = capsys.readouterr()
    assert "scale smoke, shapes: 64 training and 16 test images" in out
    assert err == "data: 80 picture(s) of 50 x 40 pixels: the square in the middle, resized to 32 x 32\n"


def test_a_run_that_diverges_keeps_the_runs_before_it(tmp_path, monkeypatch, capsys):
    from airbench_core import Diverged, Trainer

    log, run = tmp_path / "runs.jsonl", Trainer.run

    def second_diverges(self, seed, **options):
        if seed == 1:
            raise Diverged("the training loss is nan")
        return run(self, seed, **options)

    monkeypatch.setattr(Trainer, "run", second_diverges)
    assert main(["train", "airbench94", *SMOKE, "--runs", "3", "--out", str(log)]) == 1
    out, err = capsys.readouterr()
    assert "n=1 of 3 asked for" in out
    assert err == "airbench: error: run 2: the training loss is nan\n"
    assert len(log.read_text().splitlines()) == 1


def test_ctrl_c_ends_at_the_next_step_and_keeps_what_is_complete(tmp_path):
    log = tmp_path / "runs.jsonl"
    command = [
        sys.executable,
        "-m",
        "airbench_lab.cli",
        "train",
        "airbench94",
        *SMOKE,
        "--runs",
        "50",
        "--out",
        str(log),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    while not (log.exists() and log.read_text()):
        assert process.poll() is None, process.stderr.read()
        time.sleep(0.05)
    asked = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert time.monotonic() - asked < 10
    assert process.returncode == 130
    runs = len(log.read_text().splitlines())
    assert f"n={runs} of 50 asked for" in out
    assert re.search(r"airbench: run \d+ stopped after \d complete epoch", err)
    assert "Traceback" not in err


def test_a_progress_bar_on_a_terminal_only():
    termios = pytest.importorskip("termios")
    leader, follower = os.openpty()
    termios.tcsetwinsize(follower, (24, 100))
    command = [sys.executable, "-m", "airbench_lab.cli", "train", "airbench94", *SMOKE]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=follower)
    os.close(follower)
    shown = b""
    while True:
        try:
            some = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not some:
            break
        shown += some
    os.close(leader)
    assert process.wait() == 0
    assert b"/66" in shown
    assert "step" not in airbench("train", "airbench94", *SMOKE).stderr


def test_recipes_are_listed_with_their_cost(capsys):
    assert main(["recipes"]) == 0
    out = capsys.readouterr().out
    assert re.search(r"^airbench94 +9\.9 +476 +1,971,640 +0\.350$", out, re.MULTILINE)
    assert "+ alternating flip" in out


def test_the_fields_of_a_recipe(capsys):
    assert main(["recipes", "airbench94"]) == 0
    assert re.search(r"^whiten_eps +0\.0005 +added to", capsys.readouterr().out, re.MULTILINE)


def test_data_describes_what_it_found(capsys):
    assert main(["data", "builtin"]) == 0
    assert re.match(r"builtin: 20,000 training and 5,000 test images, 10 classes", capsys.readouterr().out)


def test_bench_as_json(capsys):
    assert main(["bench", "--scale", "smoke", "--seconds", "0.1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert set(report["images_per_second"]) == {"train", "augment", "evaluate"}
    assert all(rate > 0 for rate in report["images_per_second"].values())


@pytest.mark.parametrize("module", ["airbench_lab.cli", "airbench_core"])  # its own name, and the one people know
def test_a_reader_that_leaves_is_no_error(module):
    done = subprocess.run(
        f"{sys.executable} -m {module} recipes | head -1",
        shell=True,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stderr == ""


def test_importing_is_cheap():
    """torchvision and pandas are loaded only where they are used; torch and numpy with what needs them."""
    late = ("torchvision", "torch.utils.flop_counter", "pandas", "matplotlib", "scipy")
    code = (
        "import sys, airbench_core\nprint('torch' in sys.modules)\nfrom airbench_core import *\n"
        f"print(*[module for module in {late} if module in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_each_name_of_the_package_is_what_its_own_file_calls_so():
    import ast

    import airbench_core

    typed = ast.parse(Path(airbench_core.__file__).with_suffix(".pyi").read_text()).body
    stated = {name.name: one.module for one in typed if isinstance(one, ast.ImportFrom) for name in one.names}
    assert stated == airbench_core._WHERE
    assert set(airbench_core.__all__) <= set(dir(airbench_core))
    for name, module in stated.items():
        assert getattr(airbench_core, name) is getattr(sys.modules[module], name)
    with pytest.raises(AttributeError, match="'airbench_core' has no attribute 'trian'"):
        airbench_core.trian  # noqa: B018


@pytest.mark.slow
def test_without_a_compiler_compile_is_one_line(tmp_path):
    environment = os.environ | {"CXX": "/no/such/compiler", "TORCHINDUCTOR_CACHE_DIR": str(tmp_path)}
    done = airbench("train", "airbench94", *SMOKE, "--device", "cpu", "--compile", env=environment)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("airbench: error: torch.compile does not work here (")
    assert done.stderr.count("\n") == 1
