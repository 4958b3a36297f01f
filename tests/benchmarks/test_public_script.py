import difflib
from pathlib import Path

import pytest
import torch
from airbench_lab.data import load_dataset
from public_script import Run, parse_table, provide_data, rewrite_script, warms_up

from airbench_core import AirbenchError, DataError, UsageError
from airbench_core.dataset import Dataset

# In the form of the public scripts: a comprehension over two lines, a statement, loaders on one line and on several.
LISTED = """# CifarLoader('cifar10') is made in main, for run in range(25)
def main(run, model):
    test = CifarLoader('cifar10', train=False)  # not CifarLoader("cifar10")
    train = InfiniteCifarLoader('cifar10', train=True)
    seen.append((run, test, train))
    return 0.5
CifarLoader = InfiniteCifarLoader = lambda path, train: path
seen, note = [], "CifarLoader('cifar10') and [main(run) for run in range(25)]"
#main('warmup', None)
accs = [main(run, 1)
        for run in range(200)]
"""
STATED = """class CifarLoader:
    def __init__(self, path, **options):
        self.path = path
seen = []
def main(run):
    for step in range(3):
        é, b = CifarLoader("cifar10", train=True), CifarLoader(
            "cifar10", train=False
        )
    seen.append((run, é.path, b.path))
main("warmup")
for run in range(200):
    accuracy = main(run + 1)
"""


@pytest.mark.parametrize("data", ["/tmp/x/data", 'C:\\new\\it\'s "here"', "é"])
@pytest.mark.parametrize(("script", "names"), [(LISTED, [0, 1, 2]), (STATED, ["warmup", 1, 2, 3])])
def test_a_rewritten_script_runs_as_often_and_on_the_data_that_it_is_told(script, names, data):
    space: dict = {}
    exec(rewrite_script(script, 3, data), space)
    assert space["seen"] == [(name, data, data) for name in names]


@pytest.mark.parametrize("script", [LISTED, STATED])
def test_nothing_else_is_changed(script):
    changed = list(difflib.ndiff(script.splitlines(), rewrite_script(script, 3, "D").splitlines()))
    added = [line for line in changed if line.startswith("+ ")]
    assert len(added) == len([line for line in changed if line.startswith("- ")]) == 3
    restored = rewrite_script(script, 3, "D").replace("'D'", "'cifar10'" if "'cifar10'" in script else '"cifar10"')
    assert restored.replace("range(3)", "range(200)") == script.replace("range(3)", "range(200)")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("range(200)", "range(n)", "one loop that calls main .* and there are 0"),
        ("range(200)", "range(5, 200)", "there are 0"),
        ("main(run + 1)", "maine(run + 1)", "there are 0"),
        ('main("warmup")', "[main(run) for run in range(2)]", "there are 2"),
        ('CifarLoader("cifar10", train=True)', "CifarLoader(folder, train=True)", "1 of the 2 calls"),
        ("CifarLoader(", "Loader(", "0 of the 0 calls"),
        ("def main", "def def main", "no Python that can be read"),
    ],
)
def test_a_place_that_is_missing_is_named(old, new, message):
    assert old in STATED
    with pytest.raises(UsageError, match=message):
        rewrite_script(STATED.replace(old, new), 3, "data")


def test_a_warm_up_counts_only_where_it_is_made():
    assert warms_up(STATED)
    assert not warms_up(LISTED)  # there it is commented out


MUON = """---------------------------------------------------------------------
|  run     |  epoch  |  train_acc  |  val_acc  |  tta_val_acc  |  time_seconds  |
---------------------------------------------------------------------
|  warmup  |      0  |     0.1000  |   0.1000  |               |        9.0000  |
|          |   eval  |     0.1000  |   0.1000  |       0.1000  |       40.5124  |
|       0  |      0  |     0.5000  |   0.6000  |               |        0.3000  |
|          |      1  |     0.9000  |   0.9314  |               |        2.5000  |
|          |   eval  |     0.9000  |   0.9314  |       0.9401  |        2.5900  |
a | b
|       1  |   eval  |     0.9000  |   0.9314  |       0.9390  |        2.6100  |
"""


def test_the_last_row_of_every_run_and_no_warm_up():
    assert parse_table(MUON) == [Run(0.9401, 2.59), Run(0.9390, 2.61)]
    assert parse_table(MUON.replace(" time_seconds", " total_time_seconds")) == parse_table(MUON)


def test_columns_are_found_by_name_and_a_row_after_a_carriage_return():
    rows = ["|run|time_seconds|tta_val_acc|", "Mean accuracy | 2.0s\r|1|2.0133|0.9401|", "Mean accuracy\r|2|2.0|0.94|"]
    assert parse_table("\n".join(rows)) == [Run(0.9401, 2.0133), Run(0.94, 2.0)]


def test_accuracy_that_every_row_shows_counts_once_a_run():
    rows = ["|run|tta_val_acc|time_seconds|", "|0|0.5|1.0|", "||0.9|2.0|", "|1|0.8|3.0|"]
    assert parse_table("\n".join(rows)) == [Run(0.9, 2.0), Run(0.8, 3.0)]


@pytest.mark.parametrize(
    ("printed", "message"),
    [
        ("Mean: 0.94", "printed no table with a column tta_val_acc"),
        ("|run|tta_val_acc|\n|0|0.94|", "no column time_seconds or total_time_seconds, only run, tta_val_acc"),
        ("|run|tta_val_acc|time_seconds|\n|0|0.94|fast|", "no number.*'fast'"),
    ],
)
def test_a_table_of_another_kind_is_an_error(printed, message):
    with pytest.raises(AirbenchError, match=message):
        parse_table(printed)


def test_cifar10_is_linked_as_torchvision_wants_it_and_stays_as_it_was(cifar10: Dataset, tmp_path, monkeypatch):
    import torchvision

    def download(*_: object, **__: object) -> None:
        pytest.fail("torchvision was not satisfied and wants to download")

    monkeypatch.setattr(torchvision.datasets.cifar, "download_and_extract_archive", download)
    provide_data("cifar10", None, tmp_path / "data")
    split = torchvision.datasets.CIFAR10(tmp_path / "data", train=False, download=True)
    assert torch.equal(torch.from_numpy(split.data).permute(0, 3, 1, 2), cifar10.test_images)
    linked = tmp_path / "data" / split.base_folder
    (linked / "left by a script").write_text("")
    real = (linked / "test_batch").resolve()
    assert real.is_file()
    assert real.parent != linked.resolve()
    assert not (real.parent / "left by a script").exists()


def test_other_data_come_as_the_scripts_own_cache(tmp_path):
    provide_data("builtin", None, tmp_path / "data")
    data = load_dataset("builtin")
    for split in ("train", "test"):
        saved = torch.load(tmp_path / "data" / f"{split}.pt")
        assert torch.equal(saved["images"].permute(0, 3, 1, 2), getattr(data, f"{split}_images"))
        assert torch.equal(saved["labels"], getattr(data, f"{split}_labels"))


def test_without_cifar10_nothing_is_downloaded(tmp_path, monkeypatch):
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    monkeypatch.setattr("airbench_lab.data.sources.cache_folder", lambda: tmp_path / "cache")
    with pytest.raises(DataError, match="`airbench data cifar10`"):
        provide_data("cifar10", str(tmp_path / "nothing"), tmp_path / "data")
    assert not Path(tmp_path / "cache").exists()
