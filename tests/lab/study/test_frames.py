import subprocess
import sys
from dataclasses import fields, replace
from pathlib import Path

import pandas
import pytest
from airbench_lab.study import frames
from airbench_lab.study.frames import epochs_frame, frame
from airbench_lab.study.keys import key

from airbench_core import AIRBENCH94, AirbenchError, Recipe, runlog, train

RESULTS = Path(__file__).parents[3] / "benchmarks" / "results"
LOGS = [path for name in ("laptop", "full") for path in sorted(RESULTS.glob(f"{name}-*.jsonl"))]


@pytest.fixture
def records(noise, tiny, float32):
    """Two runs, one watched and with TTA, one neither."""
    recipe = replace(AIRBENCH94, epochs=1.5)
    watched = train(recipe, noise, scale=tiny, runtime=float32, seed=3, observer=lambda record: None)
    blind = train(replace(recipe, tta="none", lookahead=False), noise, scale=tiny, runtime=float32, seed=4)
    return [runlog.record(watched), runlog.record(blind)]


def test_a_row_holds_what_its_record_does(records):
    table = frame(records)
    assert (len(table), table.index.name, list(table.index)) == (2, "run", [0, 1])
    first, second = table.to_dict("records")
    for row, record in zip((first, second), records, strict=True):
        recipe = {name: row[name] for name in record["recipe"] if record["recipe"][name] is not None}
        assert recipe == {name: value for name, value in record["recipe"].items() if value is not None}
        assert row["key"] == key(record)
        assert (row["data"], row["digest"]) == ("noise", record["data"]["digest"])
        assert (row["device"], row["device_name"]) == ("cpu", record["runtime"]["name"])
        assert (row["dtype"], row["threads"], row["compile"], row["graphs"]) == ("float32", 1, False, False)
        assert (row["scale"], row["seed"], row["seconds"]) == ("tiny", record["seed"], record["seconds"])
        assert (row["accuracy"], row["torch"]) == (record["accuracy"], record["versions"]["torch"])
        assert row["accuracy_none"] == record["accuracies"]["none"]
        assert row["started"] == pandas.Timestamp(record["started"])
        assert row["epochs_done"] == record["epochs"][-1]["epochs"] == pytest.approx(5 / 3)
        assert row["epochs"] == 1.5
    assert first["accuracy_mirror+translate"] == records[0]["accuracy"]
    assert pandas.isna(second["accuracy_mirror"])


def test_what_one_does_with_a_log_needs_no_more_than_a_call(records, noise, tiny, float32, tmp_path):
    log = tmp_path / "runs.jsonl"
    runlog.append(log, train(replace(AIRBENCH94, epochs=1), noise, scale=tiny, runtime=float32))
    pandas.testing.assert_frame_equal(frame(log), frame(str(log)))
    pandas.testing.assert_frame_equal(frame(log), frame(runlog.load(log)))
    assert frame(log)["widths"].iloc[0] == (4, 16, 16)
    means = frame(iter(records)).groupby(["lookahead", "widths"])["accuracy"].mean()  # a list could not be grouped by
    assert list(means) == [records[1]["accuracy"], records[0]["accuracy"]]


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name)
def test_recorded_runs_make_tables(log):
    """Also those from before there were graphs, or all fields of today's recipe."""
    table, records = frame(log), runlog.load(log)
    assert list(table["accuracy"]) == [record["accuracy"] for record in records]
    assert set(table.columns) == set(frames.RUN) | {f.name for f in fields(Recipe)}
    assert set(table["network"]) <= {"airbench", "resnet18"}
    assert table["accuracy_none"].notna().all()
    epochs = epochs_frame(log)
    assert len(epochs) == sum(len(record["epochs"]) for record in records)


def test_an_epoch_is_a_row_that_finds_its_run(records):
    table = epochs_frame(records)
    assert list(table.columns) == frames.EPOCH
    assert list(table["run"]) == [0, 0, 1, 1]
    assert list(table["epoch"]) == [1, 2, 1, 2]
    assert list(table["seed"]) == [3, 3, 4, 4]
    assert list(table["train_loss"]) == [e["train_loss"] for record in records for e in record["epochs"]]
    assert list(table["accuracy"].isna()) == [False, False, True, True]
    joined = table.merge(frame(records), on="run", suffixes=("", "_of_run"))
    assert list(joined["key"]) == list(joined["key_of_run"])
    assert list(joined["lookahead"]) == [True, True, False, False]


def test_no_column_is_there_twice():
    names = [*frames.RUN, *(f.name for f in fields(Recipe))]
    assert len(names) == len(set(names))


def test_a_log_with_nothing_in_it_makes_empty_tables(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert frame(tmp_path / "empty.jsonl").empty
    assert list(frame([]).columns) == [*frames.RUN, *(f.name for f in fields(Recipe))]
    assert epochs_frame([]).empty
    with pytest.raises(AirbenchError, match="cannot read the run log"):
        frame(tmp_path / "none.jsonl")


def test_a_field_of_a_newer_recipe_is_a_column_too(records):
    records[0]["recipe"]["sharpness_aware"] = True
    assert list(frame(records)["sharpness_aware"].isna()) == [False, True]


def test_runs_with_parts_of_somebody_s_own_are_told_by_their_column(records):
    records[0]["parts"] = ["flip", "whiten"]
    table = frame(records)
    assert list(table["parts"]) == [("flip", "whiten"), ()]
    assert {which: len(some) for which, some in table.groupby("parts")} == {("flip", "whiten"): 1, (): 1}


def test_pandas_is_loaded_only_for_a_table():
    code = "import sys, airbench_lab.study.frames; sys.exit('pandas' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
