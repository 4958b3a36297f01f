import errno
import json
import os
import shutil
import subprocess
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from airbench_lab import runlog
from airbench_lab.runlog import lines, records

import airbench_core
from airbench_core import AIRBENCH94, AirbenchError, Parts, UsageError, train
from airbench_core.tricks.whitening import whitening_filters

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"


@pytest.fixture
def result(noise, tiny, float32):
    return train(replace(AIRBENCH94, epochs=1), noise, scale=tiny, runtime=float32, seed=3)


def test_a_record_holds_what_a_run_needs_to_be_repeated(result, noise, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, runlog.record(result))
    runlog.append(log, runlog.record(result))
    first, second = runlog.load(log)
    assert first == second
    assert first["recipe"] == json.loads(json.dumps(asdict(result.recipe)))
    assert first["asked"] == json.loads(json.dumps(asdict(replace(AIRBENCH94, epochs=1))))
    assert first["data"] == {"name": "noise", "digest": noise.digest}
    assert first["seed"] == 3
    assert first["versions"]["torch"] == torch.__version__
    assert first["runtime"]["dtype"] == "float32"
    assert first["epochs"][0]["train_loss"] == result.epochs[0].train_loss
    assert first["accuracies"]["none"] == result.accuracies["none"]
    assert first["seconds"] == result.seconds


def written(value, name="") -> set[str]:
    """The names of the plain values in a record, as the table has them."""
    if isinstance(value, list):
        return set().union(*(written(item, f"{name}[]") for item in value))
    if isinstance(value, dict) and name in ("accuracies", "predictions", "seeds"):
        return {f"{name}.*"}
    if isinstance(value, dict) and name not in ("asked", "recipe"):
        return set().union(*(written(item, f"{name}.{key}".lstrip(".")) for key, item in value.items()))
    return {name}


def test_every_field_that_is_written_is_documented_and_no_other(result):
    failed = failure(result, kind="error", message="it broke")
    own = runlog.record(replace(result, parts=("whiten",), seeds={"order": 1}), predictions=True)
    assert written(json.loads(json.dumps(own))) | written(failed) == records.FIELDS.keys()
    assert set(failed) - {"failed"} == set(list(runlog.record(result))[: len(failed) - 1])


def test_parts_of_somebody_s_own_are_in_the_record(result, noise, tiny, float32, tmp_path):
    """And where there are none a record is as it was before there was the field."""
    log, mine = tmp_path / "runs.jsonl", Parts(whiten=lambda *args: whitening_filters(*args))
    runlog.append(log, runlog.record(train(result.recipe, noise, scale="full", runtime=float32, parts=mine)))
    runlog.append(log, runlog.record(result))
    own, plain = runlog.load(log)
    assert own["parts"] == ["whiten"]
    assert own.keys() - plain.keys() == {"parts"}
    assert own["schema"] == plain["schema"] == 2


@pytest.mark.parametrize(("cuda", "hip", "said"), [("13.0", None, "13.0"), (None, "6.4.1", "ROCm 6.4.1")])
def test_a_gpu_is_one_whoever_made_it(cuda, hip, said, result, monkeypatch):
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.version, "hip", hip)
    for device, expected in ("cuda", said), ("cpu", None):
        about = {"scale": "full", "data": ("x", "y"), "runtime": {"device": device}, "seed": 0, "started": 0.0}
        head = runlog.head(result.asked, result.recipe, **about)
        assert head["versions"]["cuda"] == expected


def failure(result, **failed) -> dict:
    head = runlog.head(
        result.asked,
        result.recipe,
        scale=result.scale,
        data=(result.data_name, result.data_digest),
        runtime=result.runtime.describe(),
        seed=result.seed,
        started=result.started,
    )
    return {**head, "failed": failed}


def test_failed_runs_are_kept_apart_from_finished_ones_and_have_their_key(result, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, failure(result, kind="diverged", message="the training loss is nan"))
    runlog.append(log, runlog.record(result))
    assert [record["accuracy"] for record in runlog.load(log)] == [result.accuracy]
    failed, finished = runlog.load(log, failed=True)
    assert [finished] == runlog.load(log)
    assert failed["failed"] == {"kind": "diverged", "message": "the training loss is nan"}
    assert (failed["asked"], failed["recipe"]) == (finished["asked"], finished["recipe"])


def test_predictions_come_back_from_a_log_as_they_were(result, noise, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, runlog.record(result, predictions=True))
    runlog.append(log, runlog.record(result))
    kept, bare = runlog.load(log)
    unpacked = runlog.predictions(kept)
    assert set(unpacked) == set(result.accuracies)
    for tta, classes in unpacked.items():
        assert torch.equal(torch.as_tensor(classes), result.predictions[tta])
        assert (classes == noise.test_labels.numpy()).mean() == pytest.approx(result.accuracies[tta])
    with pytest.raises(UsageError, match="seed 3 has no predictions in its log"):
        runlog.predictions(bare)


def test_a_log_that_cannot_be_written_is_known_before_the_run(tmp_path):
    with pytest.raises(AirbenchError, match=r"cannot write the run log .*no/such/folder"):
        runlog.check_writable(tmp_path / "no/such/folder")
    runlog.check_writable(tmp_path / "new.jsonl")


def test_half_a_line_costs_no_other_record(result, tmp_path, capsys):
    """A process killed while it wrote leaves half a line; reading leaves it out, the next run sets it aside."""
    log = tmp_path / "runs.jsonl"
    runlog.append(log, runlog.record(result))
    whole = log.read_bytes()
    log.write_bytes(whole + whole[: len(whole) // 2])
    assert runlog.load(log) == [json.loads(whole)]
    assert capsys.readouterr().err == f"{log}, line 2: not a whole record, left out\n"
    runlog.append(log, runlog.record(result))
    assert capsys.readouterr().err.count("\n") == 1
    assert runlog.load(log) == [json.loads(whole)] * 2
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ('{"schema": 1, "recipe": {}}', r"line 2: a record of schema 1, and airbench \S+ reads schema 2: read it with"),
        ('{"turn": 2}', r"line 2: not the record of a run \(no schema\): name a log of runs"),
        ('{"schema": 2, "turn": 2}', r"line 2: not the record of a run \(no asked\): name a log of runs"),
    ],
)
def test_a_log_of_another_kind_is_refused_in_one_line(line, told, result, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, runlog.record(result))
    with log.open("a") as file:
        file.write(line + "\n")
    with pytest.raises(AirbenchError, match=told) as error:
        runlog.load(log)
    assert "\n" not in str(error.value)


LOGS = [path for name in ("laptop", "full") for path in sorted(RESULTS.glob(f"{name}-*.jsonl"))]


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name)
def test_recorded_runs_are_loaded(log, capsys):
    assert len(runlog.load(log)) == len(log.read_text().splitlines()) > 0
    assert capsys.readouterr().err == ""


def test_a_full_disk_names_the_run_and_what_it_reached(result, tmp_path, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AirbenchError, match=r"^run with seed 3 is done \(accuracy 0\.\d+\) but could .*No space left"):
        runlog.append(tmp_path / "log", runlog.record(result))
    assert (tmp_path / "log").read_bytes() == b""


def test_a_field_that_a_record_lacks_is_at_its_default(result, tmp_path):
    """Records that were made before a field was added, and those that were written without what is as ever."""
    log, values = tmp_path / "runs.jsonl", json.loads(json.dumps(runlog.record(result)))
    short = {**values, "asked": {}, "recipe": {"epochs": 1, "widths": values["recipe"]["widths"]}}
    lines.append(log, values, "")
    lines.append(log, short, "")
    whole, filled = runlog.load(log)
    assert set(filled["recipe"]) == set(whole["recipe"])
    assert filled["recipe"]["widths"] == whole["recipe"]["widths"]
    assert filled["recipe"]["proxy_widths"] == [32, 64, 64]


def test_a_checkout_of_another_owner_says_its_commit(tmp_path, monkeypatch):
    """A course's environment is shared; git alone would refuse it as of dubious ownership."""
    if shutil.which("git") is None:
        pytest.skip("no git here")
    git = ["git", "-C", str(tmp_path), "-c", "user.name=a", "-c", "user.email=a@b.invalid"]
    for words in (["init", "-q"], ["commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run([*git, *words], check=True)
    head = subprocess.run([*git, "rev-parse", "HEAD"], capture_output=True, text=True, check=True).stdout.strip()
    (tmp_path / "link").symlink_to(tmp_path, target_is_directory=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    for place in (tmp_path, tmp_path / "link"):
        monkeypatch.setattr(airbench_core, "__file__", str(place / "airbench_core" / "__init__.py"))
        assert runlog.commit.__wrapped__() == head
