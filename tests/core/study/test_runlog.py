import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch

from airbench_core import AIRBENCH94, AirbenchError, train
from airbench_core.study import runlog


@pytest.fixture
def result(noise, tiny, float32):
    return train(replace(AIRBENCH94, epochs=1), noise, scale=tiny, runtime=float32, seed=3)


def test_a_record_holds_what_a_run_needs_to_be_repeated(result, noise, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, result)
    runlog.append(log, result)
    first, second = runlog.load(log)
    assert first == second
    assert first["recipe"] == json.loads(json.dumps(asdict(result.recipe)))
    assert first["data"] == {"name": "noise", "digest": noise.digest}
    assert first["seed"] == 3
    assert first["versions"]["torch"] == torch.__version__
    assert first["runtime"]["dtype"] == "float32"
    assert first["epochs"][0]["train_loss"] == result.epochs[0].train_loss
    assert first["accuracies"]["none"] == result.accuracies["none"]
    assert first["seconds"] == result.seconds


def test_a_log_that_cannot_be_written_is_known_before_the_run(tmp_path):
    with pytest.raises(AirbenchError, match=r"cannot write the run log .*no/such/folder"):
        runlog.check_writable(tmp_path / "no/such/folder")
    runlog.check_writable(tmp_path / "new.jsonl")


def test_half_a_line_costs_no_other_record(result, tmp_path, capsys):
    """A process killed while it wrote leaves half a line; what is appended after it is not glued to it."""
    log = tmp_path / "runs.jsonl"
    runlog.append(log, result)
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    runlog.append(log, result)
    assert runlog.load(log) == [json.loads(whole)] * 2
    assert capsys.readouterr().err == f"{log}, line 2: not a whole record, left out\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full here")
def test_a_full_disk_names_the_run_and_what_it_reached(result, tmp_path):
    full = tmp_path / "log"
    full.symlink_to("/dev/full")
    with pytest.raises(AirbenchError, match=r"seed 3 is done \(accuracy 0\.\d+\).*No space left"):
        runlog.append(full, result)
