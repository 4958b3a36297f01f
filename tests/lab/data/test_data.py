"""Data sets by their names."""

import pytest
from airbench_lab.data import load_dataset

from airbench_core.errors import AirbenchWarning, UsageError


def test_auto_takes_the_built_in_pictures_where_there_is_no_cifar10(tmp_path, capsys, monkeypatch):
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    for module in ("airbench_core.cache", "airbench_lab.data.sources"):
        monkeypatch.setattr(f"{module}.cache_folder", lambda: tmp_path / "cache")
    monkeypatch.setattr("airbench_lab.data.builtin.TRAIN", 20)
    monkeypatch.setattr("airbench_lab.data.builtin.TEST", 10)
    assert load_dataset("auto").name == "builtin"
    (line,) = capsys.readouterr().err.splitlines()
    for words in ("built-in", "airbench data cifar10", f"no CIFAR-10 in {tmp_path / 'cache'} "):
        assert words in line
    for named, root in ((None, tmp_path), (str(tmp_path), None)):  # somebody said where it is
        monkeypatch.setenv("AIRBENCH_DATA", named or "")
        with pytest.warns(AirbenchWarning, match=rf"built-in.*no CIFAR-10 in {tmp_path}, {tmp_path / 'cache'} "):
            assert load_dataset("auto", root).name == "builtin"
        assert capsys.readouterr().err == ""


def test_unknown_name():
    with pytest.raises(UsageError, match=r"cifar11.*auto, cifar10, cifar100, svhn, fashionmnist, builtin"):
        load_dataset("cifar11")
