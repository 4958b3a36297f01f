import json
from pathlib import Path

import pytest
from against import main

from airbench_core import AirbenchError, UsageError

SCRIPT = """import os, torch
assert os.path.exists(os.path.join("cifar10", "train.pt")) is False
def main(run):
    folder = CifarLoader("cifar10")
    assert len(torch.load(os.path.join(folder, "train.pt"))["labels"]) == 20_000
    print(f"|{run}|0.25|1000|")
CifarLoader = str
print("|run|tta_val_acc|time_seconds|")
main("warmup")
for run in range(25):
    main(run)
"""
SMOKE = ["airbench94", "--scale", "smoke", "--set", "epochs=1", "--threads", "1", "--data", "builtin"]


@pytest.fixture
def script(tmp_path) -> Path:
    path = tmp_path / "script.py"
    path.write_text(SCRIPT)
    return path


def test_ours_beside_a_script(script, tmp_path, capsys):
    log = tmp_path / "turns.jsonl"
    assert main([str(script), *SMOKE, "--runs", "2", "--pairs", "1", "--out", str(log)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("recipe airbench94, set ['epochs=1'], scale smoke, device cpu")
    assert [line.split()[:3] for line in lines[2:4]] == [["1", "ours", "2"], ["1", "script", "2"]]
    assert lines[-2].startswith(
        "script  accuracy 0.2500, 95 % interval 0.2500 to 0.2500, n=2; seconds a run: median 1000"
    )
    turns = [json.loads(line) for line in log.read_text().splitlines()]
    assert [turn["side"] for turn in turns] == ["ours", "script"]
    assert turns[0]["threads"] == 1
    ratio = 1000 / (sum(turns[0]["seconds"]) / 2)
    assert float(lines[-1].rpartition("median ")[2]) == pytest.approx(ratio, abs=2e-3)  # rounded twice


def test_what_was_measured_before_a_failure_is_kept(script, tmp_path, capsys):
    script.write_text(SCRIPT.replace("1000|", "none|"))
    log = tmp_path / "turns.jsonl"
    arguments = [str(script), *SMOKE, "--runs", "1", "--pairs", "2", "--out", str(log), "--json"]
    with pytest.raises(AirbenchError, match=f"^turn 1 of {script}: the script's table holds what is no number"):
        main(arguments)
    out = capsys.readouterr().out
    told = json.loads(out)
    assert (told["ours"]["n"], told["script"]["n"], told["script_name"]) == (1, 0, str(script))
    assert len(log.read_text().splitlines()) == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--pairs", "0"], "pairs=0 is not legal"),
        (["--runs", "0"], "runs=0 is not legal"),
        (["--set", "flip=up"], "flip=up is not legal"),
    ],
)
def test_what_makes_no_sense_is_one_line(arguments, message, script):
    with pytest.raises(UsageError, match=message):
        main([str(script), *arguments, "--data", "builtin"])
    with pytest.raises(UsageError, match=r"^cannot read the script /no/such/script.py: No such file"):
        main(["/no/such/script.py"])
