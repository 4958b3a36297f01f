import pandas as pd
import pytest
from airbench_lab.panel.runs import Partial

from airbench_core import AIRBENCH94, AirbenchError, Parts, UsageError, runlog


@pytest.fixture
def full(experiment, result):
    """An experiment with runs at two scales, one of them with two seeds."""
    one = experiment("cifar10", scale="laptop")
    smoke = one.settings.changed(scale="smoke", whiten=False)
    for settings, seed, accuracy in ((one.settings, 0, 0.51234567), (one.settings, 1, 0.6), (smoke, 0, 0.3)):
        one.runs.add(settings, Parts(), result(settings, accuracy, seed))
    return one


def test_the_table_is_a_csv_and_the_runs_are_a_log(full, recorded, made, tmp_path):
    """The log holds every run, also those of other scales; the table the recorded ones of what is chosen too."""
    recorded(made(AIRBENCH94, [0.7, 0.72]))
    csv, log = full.export(tmp_path)
    assert csv.parent == log.parent == tmp_path
    table = pd.read_csv(csv)
    assert table[["recipe", "scale", "n"]].values.tolist() == [
        ["airbench94", "laptop", 2],
        ["airbench94 whiten=false", "smoke", 1],
        ["airbench94", "laptop", 2],
    ]
    assert table["accuracy, %"][0] == pytest.approx(50 * (0.51234567 + 0.6), abs=1e-9)  # unrounded
    assert [where == "here" for where in table["where"]] == [True, True, False]
    assert table["95 % low"].isna().tolist() == [False, True, False]
    records = runlog.load(log)
    assert [(one["scale"], one["seed"], one["accuracy"]) for one in records] == [
        ("laptop", 0, 0.51234567),
        ("laptop", 1, 0.6),
        ("smoke", 0, 0.3),
    ]
    assert {csv.name, log.name} <= set(full.now()[2].text.replace(",", " ").split())


def test_the_table_has_the_same_columns_as_the_panel_s(full, recorded, tmp_path):
    csv, _ = full.export(tmp_path)
    assert list(pd.read_csv(csv)) == list(full.table())


def test_two_exports_are_two_pairs_of_files(full, recorded, tmp_path):
    """Also within a second: the log of the first is not written on."""
    files = [*full.export(tmp_path), *full.export(str(tmp_path))]
    assert len(set(files)) == 4
    assert [len(runlog.load(log)) for log in (files[1], files[3])] == [3, 3]


def test_what_was_stopped_is_in_no_export(full, recorded, tmp_path, some_epochs):
    full.runs.add_partial(full.settings.changed(lr=1.0), Parts(), Partial(some_epochs(2), "stopped"))
    csv, log = full.export(tmp_path)
    assert len(pd.read_csv(csv)) == 2
    assert len(runlog.load(log)) == 3


def test_nothing_to_export(experiment, tmp_path):
    """Recorded runs alone are nothing of one's own."""
    with pytest.raises(UsageError, match="nothing to export yet: press Run"):
        experiment("cifar10", scale="laptop").export(tmp_path)
    assert list(tmp_path.glob("airbench*")) == []


@pytest.mark.parametrize("there", [True, False])
def test_a_folder_that_cannot_be_written_is_named_with_the_reason(full, recorded, tmp_path, there):
    folder = tmp_path / "folder"
    if there:
        folder.write_text("a file")
    with pytest.raises(AirbenchError, match="name another folder") as error:
        full.export(folder)
    assert str(folder) in str(error.value)
    assert "None" not in str(error.value)
    assert full.now()[2].text == ""
