"""A function compiled for a lesson, with what it cost; and what a lesson gets where nothing can be compiled."""

import math
import os
from pathlib import Path

import pytest
import torch
from airbench_lab.lessons import compiling
from airbench_lab.lessons.compiling import CACHE, compile_first_call, nothing_kept


def test_a_compiled_function_says_what_it_cost():
    x = torch.linspace(-3, 3, 64)
    made = compile_first_call(lambda x: torch.relu(x * 2 + 1), x)
    if not made:
        pytest.skip(made.why)
    torch.testing.assert_close(made.function(x), torch.relu(x * 2 + 1))
    assert made.seconds > 0
    assert made.kernels == 1
    assert len(made.code) > 200


def test_where_nothing_can_be_compiled_the_function_stays_and_the_reason_is_said(monkeypatch):
    def broken(function, **_):
        def call(*arguments):
            raise RuntimeError("cannot compile: no C++ compiler")

        return call

    monkeypatch.setattr(torch, "compile", broken)
    made = compile_first_call(torch.relu, torch.ones(3))
    assert not made
    assert made.function is torch.relu
    assert math.isnan(made.seconds)
    assert "no C++ compiler" in made.why
    assert "run without compile" in made.why


def test_another_error_is_no_reason_to_go_on(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: lambda *arguments: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        compile_first_call(torch.relu, torch.ones(3))


@pytest.mark.parametrize("before", [None, "/somewhere"])
def test_the_compiler_s_folder_is_empty_and_then_as_before(before, monkeypatch):
    monkeypatch.delenv(CACHE, raising=False)
    if before:
        monkeypatch.setenv(CACHE, before)
    with compiling.nothing_kept():
        folder = Path(os.environ[CACHE])
        assert not list(folder.iterdir())
    assert os.environ.get(CACHE) == before
    assert not folder.exists()


def test_the_folder_is_put_back_after_an_error(monkeypatch):
    monkeypatch.setenv(CACHE, "/somewhere")
    with pytest.raises(ZeroDivisionError), nothing_kept():
        raise ZeroDivisionError
    assert os.environ[CACHE] == "/somewhere"
