from dataclasses import asdict, fields, replace
from pathlib import Path

import pandas
import pytest
from airbench_lab import runlog
from airbench_lab.study import frames
from airbench_lab.study.frames import frame, of_recipe, one_setting
from airbench_lab.study.keys import key

from airbench_core import AIRBENCH94, SCALES, AirbenchError, Recipe, UsageError, train

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
        assert asdict(row["trained"]) == record["recipe"]
        assert asdict(row["asked"]) == record["asked"]
        assert (row["flip"], row["widths"]) == (record["recipe"]["flip"], record["recipe"]["widths"])
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


@pytest.mark.parametrize("log", LOGS, ids=lambda path: path.name)
def test_recorded_runs_make_tables(log):
    """Also those from before there were graphs, or all fields of today's recipe."""
    table, records = frame(log), runlog.load(log)
    assert list(table["accuracy"]) == [record["accuracy"] for record in records]
    assert set(table.columns) == set(frames.RUN) | {f.name for f in fields(Recipe)}
    assert set(table["network"]) <= {"airbench", "resnet18"}
    assert table["accuracy_none"].notna().all()


def test_a_log_with_nothing_in_it_makes_empty_tables(tmp_path):
    (tmp_path / "empty.jsonl").touch()
    assert frame(tmp_path / "empty.jsonl").empty
    assert list(frame([]).columns) == [*frames.RUN, *(f.name for f in fields(Recipe))]
    with pytest.raises(AirbenchError, match="cannot read the run log"):
        frame(tmp_path / "none.jsonl")


def test_failed_runs_are_rows_where_asked_for(record):
    failed = record(seed=1) | {"failed": {"kind": "died", "message": "killed"}}
    table = frame([record(), failed], failed=True)
    assert list(table["failed"].isna()) == [True, False]
    assert (table["failed"][1], table["message"][1]) == ("died", "killed")


def test_the_runs_of_a_recipe_answer_for_its_lower_levels_of_tta(record):
    scaled = SCALES["laptop"].recipe(AIRBENCH94)
    none = replace(AIRBENCH94, tta="none")
    runs = frame(
        [
            record(accuracy=0.7, seed=0),
            record(accuracy=0.6, seed=0),
            record(none, accuracy=0.5, seed=1),
            record(accuracy=0.8, seed=1),
            record(accuracy=0.9, seed=2, compile=True),
            record(accuracy=0.9, seed=3) | {"parts": ["whiten"]},
            record(replace(AIRBENCH94, epochs=5), accuracy=0.9, seed=4),
            record(replace(AIRBENCH94, flip="random"), accuracy=0.9, seed=5),
        ]
    )
    found = of_recipe(runs, scaled)
    assert dict(zip(found["seed"], found["accuracy"], strict=True)) == {0: 0.6, 1: 0.8}  # of two runs the last
    lower = of_recipe(runs, replace(scaled, tta="none")).set_index("seed")
    assert lower["accuracy"].to_dict() == {0: pytest.approx(0.59), 1: 0.5}  # the run at just this level, if there is
    assert lower["seconds"].isna().to_dict() == {0: True, 1: False}
    assert of_recipe(runs, scaled, compile=True)["seed"].tolist() == [2]
    assert sorted(of_recipe(runs, scaled, any_epochs=True)["seed"]) == [0, 1, 4]


@pytest.mark.parametrize(
    ("other", "device", "told"),
    [
        ({"scale": "smoke"}, False, "these 3 runs mix scales (laptop: 2, smoke: 1): compare runs of one"),
        ({"data": "d"}, False, "these 3 runs mix data sets (cifar10 (cifar10): 2, d (d): 1): compare runs of one"),
        ({"name": "a GPU"}, True, "these 3 runs mix devices (a processor: 2, a GPU: 1): compare runs of one"),
    ],
)
def test_mixed_settings_are_refused_in_one_line(other, device, told, record):
    with pytest.raises(UsageError) as error:
        one_setting(frame([record(), record(**other), record()]), device=device)
    assert str(error.value) == told
    one_setting(frame([record(), record(name="a GPU")]), device=False)
    with pytest.raises(UsageError, match="no runs to compare"):
        one_setting(frame([]))
