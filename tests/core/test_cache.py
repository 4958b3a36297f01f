"""The folder for what is kept, by each system's custom."""

import os
import sys
import tempfile

import pytest
from airbench_lab.data.sources import places

from airbench_core.cache import cache_folder


@pytest.mark.parametrize(
    ("platform", "environ", "expected"),
    [
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/airbench"),
        ("linux", {}, "/home/me/.cache/airbench"),
        ("darwin", {"XDG_CACHE_HOME": "/x"}, "/home/me/Library/Caches/airbench"),
        ("win32", {"LOCALAPPDATA": "/local"}, "/local/airbench"),
    ],
)
@pytest.mark.skipif(sys.platform == "win32", reason="paths are written as POSIX has them")
def test_cache_folder(monkeypatch, platform, environ, expected):
    monkeypatch.setattr(sys, "platform", platform)
    for name in ("XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": "/home/me", **environ}.items():
        monkeypatch.setenv(name, value)
    assert str(cache_folder()) == expected


@pytest.mark.skipif(sys.platform == "win32", reason="paths are written as POSIX has them")
def test_cache_folder_of_a_user_without_a_home(monkeypatch):
    """As in a container that runs under a number which no passwd entry names."""
    pwd = pytest.importorskip("pwd")

    def nobody(uid):
        raise KeyError(f"getpwuid(): uid not found: {uid}")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert str(cache_folder()).startswith(f"{tempfile.gettempdir()}/airbench-{os.getuid()}/")
    monkeypatch.setenv("AIRBENCH_DATA", "~/data")
    assert len(places(None)) == 2
