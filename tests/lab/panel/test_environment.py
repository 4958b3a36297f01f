import sys
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from airbench_lab.panel import Panel, environment

from airbench_core import UsageError
from airbench_core.scales import default_scale


@pytest.fixture
def shell(monkeypatch):
    """Puts IPython's shell, with or without a kernel, in the place of none; the request is that of a cell."""

    def put(request: dict | None = None, **parts) -> None:
        module = ModuleType("IPython")
        shell = SimpleNamespace(get_parent=lambda: request, **parts)
        module.get_ipython = lambda: shell
        monkeypatch.setitem(sys.modules, "IPython", module)

    return put


def request(message: str, code: str, **metadata) -> dict:
    return {"header": {"msg_id": message}, "content": {"code": code}, "metadata": metadata}


def test_a_terminal_is_no_notebook(shell, monkeypatch):
    monkeypatch.delitem(sys.modules, "IPython", raising=False)
    assert not environment.shows_widgets()
    assert environment.cell() is None
    shell(request("1", "Panel()"))  # IPython in a terminal has no kernel
    assert not environment.shows_widgets()
    assert environment.cell() is None
    assert not environment.needs_foreground()


def test_without_ipywidgets_a_notebook_shows_text(shell, monkeypatch):
    shell(kernel=object())
    assert environment.shows_widgets()
    monkeypatch.setattr(environment, "find_spec", lambda name: None)
    assert not environment.shows_widgets()


def test_a_cell_is_the_same_when_it_is_executed_again_though_its_text_is_another(shell):
    shell(request("1", "Panel()", cellId="a"), kernel=object())
    first = environment.cell()
    assert environment.cell() == first
    shell(request("2", "Panel(seeds=3)", cellId="a"), kernel=object())
    again = environment.cell()
    assert again.place == first.place
    assert again.execution != first.execution
    shell(request("3", "Panel()", cellId="b"), kernel=object())
    assert environment.cell().place != first.place  # the same text in another cell


def test_where_cells_have_no_identity_they_are_known_by_their_text(shell):
    places = []
    for message, code in (("1", "Panel()"), ("2", "Panel()"), ("3", "Panel(seeds=3)")):
        shell(request(message, code), kernel=object())
        places.append(environment.cell().place)
    assert places[0] == places[1] != places[2]
    shell(None, kernel=object())
    assert environment.cell() is not None


def test_the_scale_is_what_the_machine_is_fit_for_or_what_is_asked(monkeypatch, cpu, noise):
    monkeypatch.delenv("AIRBENCH_SCALE", raising=False)
    assert default_scale(cpu) == "laptop"
    assert default_scale(replace(cpu, device=torch.device("cuda"))) == "full"
    monkeypatch.setenv("AIRBENCH_SCALE", "smoke")
    assert "; scale smoke, noise; chosen: airbench94; idle" in str(Panel(data=noise, runtime=cpu))
    monkeypatch.setenv("AIRBENCH_SCALE", "tiny")
    with pytest.raises(UsageError, match="scale=tiny"):
        Panel(data=noise, runtime=cpu)
