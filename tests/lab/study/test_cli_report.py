import base64
import json
import re
import subprocess
import sys
import zlib
from dataclasses import replace

import pytest
from airbench_lab.cli import main
from airbench_lab.data import load_dataset

from airbench_core import AIRBENCH94, BASELINE, SCALES

FLIP = replace(AIRBENCH94, flip="random")
DIVERGED = {"failed": {"kind": "diverged", "message": "the training loss is nan after epoch 1: lower lr"}}


@pytest.fixture
def write(tmp_path):
    """Writes a log of the records that are given, and gives its path."""

    def log(*records: dict, name: str = "runs.jsonl") -> str:
        path = tmp_path / name
        path.write_text("".join(json.dumps(values) + "\n" for values in records))
        return str(path)

    return log


@pytest.fixture
def runs(record) -> list[dict]:
    return [
        record(recipe, accuracy=accuracy + seed / 100, seed=seed)
        for recipe, accuracy in ((AIRBENCH94, 0.72), (FLIP, 0.70))
        for seed in range(3)
    ]


def test_what_train_logs_is_reported(tmp_path, capsys):
    log = tmp_path / "runs.jsonl"
    arguments = ["train", "airbench94", "--set", "epochs=1", "--data", "builtin", "--scale", "smoke", "--runs", "2"]
    assert main([*arguments, "--threads", "1", "--out", str(log)]) == 0
    capsys.readouterr()
    assert main(["report", str(log)]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0].startswith("builtin, scale smoke, ")
    assert re.search(r"^airbench94 epochs=1 +2 +[\d.]+ % ", out[2])


def test_failed_runs_are_told_beside_the_table(runs, record, write, capsys):
    log = write(*runs, *(record(replace(AIRBENCH94, lr=90), seed=seed) | DIVERGED for seed in range(2)))
    told = "2 runs failed: airbench94 lr=90 (seeds 0, 1): diverged: the training loss is nan after epoch 1: lower lr\n"
    assert main(["report", log]) == 0
    assert capsys.readouterr().out.endswith("\n" + told)
    for form in "csv", "markdown":
        assert main(["report", log, "--format", form]) == 0
        printed = capsys.readouterr()
        assert printed.err == told
        assert "failed" not in printed.out


@pytest.mark.parametrize("other", [{"data": "svhn"}, {"scale": "smoke"}])
def test_a_failed_run_of_another_setting_does_not_hide_what_the_others_say(other, runs, record, write, capsys):
    log = write(*runs, record(seed=5, **other) | DIVERGED)
    where = f"{other.get('data', 'cifar10')} at scale {other.get('scale', 'laptop')}"
    assert main(["report", log]) == 0
    title, *_, last = capsys.readouterr().out.splitlines()
    assert title.startswith("cifar10, scale laptop, ")
    assert last.startswith(f"1 run failed: airbench94 on {where} (seed 5): diverged: ")


def test_the_runs_of_one_data_set_are_chosen_from_a_log_of_several(runs, record, write, capsys):
    """As a search on pictures that were held out leaves it, and the run without that it ends in."""
    held = [record(accuracy=0.6, seed=seed, data="cifar10-holdout5000", threads=2) for seed in range(2)]
    log = write(*runs, *held, record(seed=5, data="cifar10-holdout5000") | DIVERGED)
    assert main(["report", log, "--data", "cifar10", "--baseline", "airbench94"]) == 0
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title.startswith("cifar10, scale laptop, ")
    assert [line.split("  ")[0] for line in lines[:2]] == ["airbench94", "airbench94 flip=random"]
    assert lines[2:] == ["3 runs left out: not of the data set cifar10"]
    assert main(["report", log, "--data", "cifar10-holdout5000", "--format", "csv"]) == 0
    printed = capsys.readouterr()
    assert len(printed.out.splitlines()) == 2
    assert printed.err.splitlines()[1] == "6 runs left out: not of the data set cifar10-holdout5000"


@pytest.fixture
def ladder(record) -> list[dict]:
    """From the last rung to the first, at the laptop scale, with 10 and 20 epochs; and a run of no rung."""
    rungs = [(AIRBENCH94, 0.70), (replace(AIRBENCH94, flip="random"), 0.69), (BASELINE, 0.60)]
    runs = [
        record(replace(recipe, epochs=epochs), accuracy=accuracy + epochs / 100 + seed / 1000, seed=seed)
        for recipe, accuracy in rungs
        for epochs in (20, 10)
        for seed in range(2)
    ]
    return [*runs, record(replace(AIRBENCH94, depth=3)), record(replace(AIRBENCH94, depth=3), accuracy=0.1)]


def test_a_study_names_and_orders_its_runs(ladder, record, write, capsys):
    bad = record(replace(AIRBENCH94, epochs=30), seed=9) | DIVERGED
    log = write(*ladder, bad, record(replace(AIRBENCH94, depth=4)) | DIVERGED)
    assert main(["report", log, "--study", "ladder", "--baseline", "+ multi-crop TTA epochs=10"]) == 0
    title, _, *lines = capsys.readouterr().out.splitlines()
    assert title == "cifar10, scale laptop, a processor; accuracy with TTA as trained"
    assert [line.split("  ")[0] for line in lines[:6]] == [
        f"{rung} epochs={epochs}"
        for rung in ("baseline", "+ multi-crop TTA", "+ alternating flip")
        for epochs in (10, 20)
    ]
    assert [line.split()[-5:-4] for line in (lines[4], lines[5])] == [["+1.00"], ["+11.00"]]
    assert lines[6].startswith("1 run failed: + alternating flip epochs=30 (seed 9): diverged: ")
    assert lines[7:] == ["2 runs left out: not of the study ladder"]  # that of depth 3 is there twice
    assert main(["report", log, "--study", "ladder", "--format", "markdown"]) == 0
    printed = capsys.readouterr()
    assert printed.err.splitlines() == lines[6:]
    assert len(printed.out.splitlines()) == 2 + 6


def test_epochs_are_stated_as_trained_and_the_title_says_so(ladder, write, capsys):
    log = write(*ladder)
    assert main(["report", log, "--study", "ladder", "--target", "0.75", "--baseline", "baseline"]) == 0
    title, head, first, *_ = capsys.readouterr().out.splitlines()
    assert title.endswith("; accuracy with TTA as trained; epochs as trained, 1.6 times those asked for")
    assert "times fewer than baseline" in head
    assert first.startswith("baseline            16 (n=2), 32 (n=2)")
    assert main(["report", log, "--study", "ladder", "--reference", "+ multi-crop TTA"]) == 0
    title, head, *_ = capsys.readouterr().out.splitlines()
    assert title.endswith("; epochs as trained, 1.6 times those asked for")
    assert "worth epochs of + multi-crop TTA" in head
    full = [run | {"scale": "full"} for run in ladder]
    assert main(["report", write(*full), "--target", "0.75"]) == 0
    assert "epochs as trained" not in capsys.readouterr().out


def test_a_study_all_of_whose_runs_failed(ladder, record, write, capsys):
    log = write(ladder[-1], record(BASELINE) | DIVERGED)
    assert main(["report", log, "--study", "ladder"]) == 1
    assert capsys.readouterr().err.startswith(f"airbench: error: nothing in {log} succeeded: 1 run failed: baseline")


def test_variance_between_runs(record, write, capsys):
    """Two runs that are right but for the first image of one of them, on the test images that the scale keeps."""
    data = SCALES["smoke"].data(load_dataset("builtin"))
    right = data.test_labels.numpy().astype("<u2")
    wrong = right.copy()
    wrong[0] = (wrong[0] + 1) % 10
    log = write(
        *(
            record(seed=seed, scale="smoke")
            | {"data": {"name": "builtin", "digest": data.digest}}
            | {"predictions": {"none": base64.b64encode(zlib.compress(classes.tobytes())).decode()}}
            for seed, classes in enumerate((right, wrong))
        )
    )
    assert main(["report", log, "--variance"]) == 0
    title, _, line = capsys.readouterr().out.splitlines()
    assert title == "builtin, scale smoke, a processor"
    assert line.split()[:5] == ["airbench94", "none", "2", "0.10", "%"]
    assert main(["report", log, "--variance", "--study", "ladder"]) == 0
    assert capsys.readouterr().out.splitlines()[2].startswith("+ alternating flip  none ")
    assert main(["report", log, "--variance", "--tta", "mirror"]) == 2
    assert capsys.readouterr().err.startswith("airbench: error: no run in the log has its predictions with TTA mirror;")


@pytest.mark.parametrize(
    ("logged", "status", "told"),
    [
        (lambda record: [], 1, "nothing in LOG succeeded: nothing is logged there"),
        (
            lambda record: [record() | DIVERGED],
            1,
            "nothing in LOG succeeded: 1 run failed: airbench94 (seed 0): diverged: the training loss is nan after ep",
        ),
        (
            lambda record: [record(), record(scale="smoke", seed=1)],
            2,
            "these 2 runs mix scales (laptop: 1, smoke: 1): compare runs of one",
        ),
        (
            lambda record: [record(), record(data="svhn", seed=1)],
            2,
            "these 2 runs mix data sets (cifar10: 1, svhn: 1): choose one by --data NAME",
        ),
        (lambda record: [record(), record(accuracy=94.0)], 1, "LOG, line 2: accuracy=94.0 is not legal: 0 to 1"),
        (lambda record: [record(seconds=-5)], 1, "LOG, line 1: seconds=-5 is not legal: 0 to 1,000,000,000.0 or null"),
        (
            lambda record: [record(name="\x1b[31m") | DIVERGED, []],
            1,
            "nothing in LOG succeeded: 1 run failed: airbench94",
        ),
        (lambda record: [1, 2, "x"] * 10_000, 1, "LOG is not a log: none of its 30,000 line(s) is a record"),
        (lambda record: [record() | {"schema": 1}], 1, "LOG, line 1: a record of schema 1, and airbench "),
    ],
)
def test_logs_of_which_there_is_no_table(logged, status, told, record, write, capsys):
    log = write(*logged(record))
    assert main(["report", log]) == status
    printed = capsys.readouterr()
    assert printed.out == ""
    *notes, error = printed.err.splitlines()
    assert error.startswith("airbench: error: " + told.replace("LOG", log))
    assert notes == [f"{log}, line 2: not a whole record, left out"] * ([] in logged(record))


@pytest.mark.parametrize(
    ("options", "status", "told"),
    [
        (["--baseline", "muon"], 2, "baseline=muon is not in the log; there is: airbench94; airbench94 flip=random"),
        (["--tta", "mirror"], 2, "tta=mirror was not measured for airbench94, seed 0"),
        (["--target", "71.5"], 2, "target=71.5 is not legal: an accuracy from 0 to 1, such as 0.94"),
        (["--target", "high"], 2, "argument --target: invalid float value: 'high'"),
        (["--target", "0.7", "--baseline", "muon"], 2, "baseline=muon is not in the log; there is: airbench94; airb"),
        (["--reference", "muon"], 2, "reference=muon is not in the log; there is: airbench94; airbench94 flip=random"),
        (["--reference", "airbench94"], 2, "reference=airbench94 has 1 length(s) of training with two runs and more"),
        (["--reference", "airbench94", "--target", "0.7"], 2, "--target: not allowed with argument --reference"),
        (["--variance"], 2, "no run in the log has its predictions; `airbench sweep variance` keeps them"),
        (["--variance", "--target", "0.7"], 2, "--target: not allowed with argument --variance"),
        (["--variance", "--baseline", "airbench94"], 2, "--baseline: not allowed with argument --variance"),
        (["--root", "data"], 2, "argument --root: only with --variance"),
        (["--study", "laddr"], 2, "'laddr' is neither a study nor a recipe; studies: ladder, "),
        (["--study", "baseline"], 2, "study=baseline: none of the 6 runs in the log is of it"),
        (["--study", "ladder", "--baseline", "airbench94"], 2, "is not in the log; there is: + multi-crop TTA ep"),
        (["--data", "svhn"], 2, "data=svhn is not in the log; there is: cifar10"),
        (["--format", "html"], 2, "invalid choice: 'html'"),
    ],
)
def test_what_is_asked_wrongly(options, status, told, runs, write, capsys):
    assert main(["report", write(*runs), *options]) == status
    error = capsys.readouterr().err
    assert told in error
    assert error.count("\n") == 1


def test_reading_a_log_needs_no_torch(write, runs):
    code = f"import sys\nfrom airbench_lab.cli import main\nmain(['report', {write(*runs)!r}])\n"
    code += "print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "False"
