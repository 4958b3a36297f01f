"""A panel by its calls: in a terminal, in a notebook's cell that is executed again, in the foreground."""

import sys
import threading
from dataclasses import replace
from types import ModuleType, SimpleNamespace

import pytest
import torch
from airbench_lab import panel as panels
from airbench_lab.panel import Panel, environment, painter
from airbench_lab.panel.experiment import STUCK
from airbench_lab.speed import default_scale

from airbench_core import RECIPES, Parts, Stopped, UsageError


@pytest.fixture
def panel(noise, cpu, run_costs):
    """Makes panels on `noise`."""
    made = []

    def make(**named) -> Panel:
        made.append(Panel(**{"scale": "smoke", "data": noise, "runtime": cpu, **named}))
        return made[-1]

    yield make
    for one in made:
        one.stop()
        one._experiment.wait()
        one.close()


def test_in_a_terminal_it_is_text(panel, cpu, capsys):
    one = panel(tricks=["whiten", "lookahead"])
    head, *rest = str(one).splitlines()
    assert head.startswith(f"airbench94 on {cpu.device_name}, float32;")
    assert head.endswith("; scale smoke, noise; chosen: airbench94; idle")
    assert rest[0].startswith("of this setting: no runs are recorded at scale smoke on noise")
    assert rest[1:] == ["no runs yet"]
    assert one._repr_mimebundle_() == {"text/plain": str(one)}
    one.set(whiten=False)
    (result,) = one.run(wait=True)
    printed = capsys.readouterr().out
    assert printed == f"{one}\n"
    head, *table = printed.splitlines()
    assert head.endswith("; scale smoke, noise; chosen: airbench94 whiten=false; done")
    assert "accuracy" in table[1]
    assert "effective speedup" not in table[1]  # of which nothing is known
    assert f"{100 * result.accuracy:.2f} %" in printed
    assert (one.state, one.recipe.whiten) == ("done", False)


def test_a_part_of_the_training_images_can_be_held_out(panel, noise):
    one = panel(holdout=64)
    (result,) = one.run(wait=True)
    assert result.data_name == "noise-holdout64"
    assert one._experiment.datasets.load("noise-holdout64").digest == noise.holdout(64).digest
    with pytest.raises(UsageError, match="holdout=192 is not legal: a whole number, 1 to 191"):
        panel(holdout=192)
    with pytest.raises(UsageError, match="parts: a dict is not legal"):
        panel(parts={"whiten": 1})


@pytest.mark.parametrize("holdout", [None, 64])
def test_of_drawn_pictures_its_title_says_what_they_are_worth_held_out_or_not(panel, noise, holdout):
    one = panel(data=replace(noise, name="builtin"), holdout=holdout)
    assert "; drawn pictures: they say nothing about a trick; scale smoke, builtin" in str(one)


def test_run_goes_on_beside_the_notebook_until_it_is_waited_for_or_stopped(panel, capsys):
    one = panel(seeds=2)
    assert one.run() is None
    assert one.state == "running"
    with pytest.raises(UsageError, match="a run is on"):
        one.run()
    assert [result.seed for result in one.result()] == [0, 1]
    assert one.table()["n"].tolist() == [2]
    one.run()
    one.stop()
    with pytest.raises(Stopped):
        one.result()
    assert "stopped" in str(one)
    assert capsys.readouterr().out == ""


def test_what_fails_is_raised_where_it_is_waited_for_and_an_interrupt_stops(panel, capsys, monkeypatch):
    def whiten(*_):
        raise ZeroDivisionError("mine")

    one = panel(parts=Parts(whiten=whiten))
    with pytest.raises(ZeroDivisionError, match="mine"):
        one.run(wait=True)
    assert "ZeroDivisionError: mine" in capsys.readouterr().out
    one = panel(seeds=100)
    wait = one._experiment.wait

    def interrupted() -> None:
        assert "to stop it, interrupt the kernel" in str(one)
        monkeypatch.setattr(one._experiment, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(one._experiment, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.run(wait=True)
    assert one.state == "stopped"


def test_a_part_that_never_ends_is_told_in_text_as_it_is_by_the_widgets(panel, monkeypatch, capsys):
    go, entered = threading.Event(), threading.Event()

    def whiten(*_):
        entered.set()
        go.wait(60)
        raise ZeroDivisionError

    monkeypatch.setattr("airbench_lab.worker.STUCK_SECONDS", 0.05)
    monkeypatch.setattr(panels, "INTERRUPT_SECONDS", 0.3)
    one = panel(parts=Parts(whiten=whiten))
    wait = one._experiment.wait

    def interrupted() -> None:
        assert entered.wait(60)
        monkeypatch.setattr(one._experiment, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(one._experiment, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.run(wait=True)
    assert f"\n{STUCK}\n" in capsys.readouterr().out
    assert f"\n{STUCK}\n" in str(one)
    with pytest.raises(UsageError, match="the step does not end"):
        one.run()
    go.set()
    wait()
    assert STUCK not in str(one)


@pytest.mark.parametrize(
    "named", [{"tricks": ["whitening"]}, {"scale": "huge"}, {"data": "mnist"}, {"seeds": 0}, {"recipe": "none"}]
)
def test_what_is_not_legal_is_refused_at_once(panel, named):
    with pytest.raises(UsageError):
        panel(**named)


def test_a_published_recipe_goes_by_its_name(panel):
    assert panel(recipe="airbench95").recipe == RECIPES["airbench95"]


def test_the_scale_is_what_the_machine_is_fit_for_or_what_is_asked(panel, monkeypatch, cpu):
    monkeypatch.delenv("AIRBENCH_SCALE", raising=False)
    assert default_scale(cpu) == "laptop"
    assert default_scale(replace(cpu, device=torch.device("cuda"))) == "full"
    monkeypatch.setenv("AIRBENCH_SCALE", "smoke")
    assert "; scale smoke, noise; chosen: airbench94; idle" in str(panel(scale="auto"))
    monkeypatch.setenv("AIRBENCH_SCALE", "tiny")
    with pytest.raises(UsageError, match="scale=tiny"):
        panel(scale="auto")


@pytest.fixture
def colab(monkeypatch) -> None:
    """A notebook in which nothing is shown of what a thread does."""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(environment, "shows_widgets", lambda: True)
    monkeypatch.setattr(painter, "PAUSE", 0.0)


def test_in_the_foreground_all_is_painted_by_the_thread_that_runs(panel, colab):
    """While it runs: the bar moves, and a thread would not be seen."""
    one = panel(seeds=2)
    seen, paint = [], one._view.painter._paint

    def noted() -> bool:
        again = paint()
        seen.append((threading.current_thread(), one._view.bar.value, one._view.progress.value))
        return again

    one._view.painter._paint = noted
    threads = set(threading.enumerate())
    assert len(one.run(wait=True)) == 2
    assert set(threading.enumerate()) <= threads
    assert {thread for thread, *_ in seen} == {threading.current_thread()}
    bar = [value for _, value, _ in seen]
    assert bar == sorted(bar)
    assert len(set(bar)) > 10
    assert bar[-1] == 1000
    assert "run 2 of 2, " in " ".join(progress for *_, progress in seen)
    assert "done" in seen[-1][2]


def test_an_interrupt_in_the_foreground_stops_the_run_and_keeps_its_epochs(panel, colab):
    one = panel()
    experiment = one._experiment

    def look() -> None:
        if len(experiment.status().runner.progress.epochs) == 2:
            raise KeyboardInterrupt

    experiment.on_step = look
    with pytest.raises(KeyboardInterrupt):  # the cells below it are not run
        one.run(wait=True)
    assert one.state == "stopped"
    assert [len(line.epochs) for line in experiment.runs.lines(experiment.settings)] == [2]
    assert "the run was stopped after 2.0 of 2.97 epochs" in one._view.message.value
    experiment.on_step = None
    assert len(one.run(wait=True)) == 1


@pytest.fixture
def cell(monkeypatch):
    """Puts IPython's shell in the place of none: cell(message, code, ...) is being executed; no kernel without."""
    monkeypatch.setattr(panels, "_open", {})

    def executed(message: str = "", code: str = "Panel()", kernel: bool = True, **metadata) -> environment.Cell | None:
        request = {"header": {"msg_id": message}, "content": {"code": code}, "metadata": metadata}
        module = ModuleType("IPython")
        shell = SimpleNamespace(get_parent=lambda: request if message else None, **({"kernel": 1} if kernel else {}))
        module.get_ipython = lambda: shell
        monkeypatch.setitem(sys.modules, "IPython", module)
        monkeypatch.setattr(environment, "find_spec", lambda name: None)  # as without ipywidgets
        return environment.cell()

    return executed


def test_where_widgets_show(cell, monkeypatch):
    find_spec = environment.find_spec
    cell("1", kernel=False)  # IPython in a terminal
    monkeypatch.setattr(environment, "find_spec", find_spec)
    assert not environment.shows_widgets()
    assert environment.cell() is None
    cell("1")
    assert not environment.shows_widgets()
    monkeypatch.setattr(environment, "find_spec", find_spec)
    assert environment.shows_widgets()
    monkeypatch.delitem(sys.modules, "IPython")
    assert not environment.shows_widgets()
    assert environment.cell() is None
    assert not environment.needs_foreground()


def test_a_cell_is_known_by_its_identity_or_else_by_its_text(cell):
    first, again = cell("1", cellId="a"), cell("2", "Panel(seeds=3)", cellId="a")
    assert again.place == first.place
    assert again.execution != first.execution
    assert cell("3", cellId="b").place != first.place  # the same text in another cell
    one, same, other = (cell(*of).place for of in (("1",), ("2",), ("3", "Panel(seeds=3)")))
    assert one == same != other
    assert cell() is not None


def test_a_cell_that_is_executed_again_closes_its_older_panels(panel, cell):
    cell("1", cellId="a")
    first = panel(seeds=100)
    first.run()
    beside, job = panel(), first._experiment._job  # two of one execution live side by side
    assert first.state == "running"
    cell("2", cellId="b")
    elsewhere = panel()
    elsewhere.run()
    assert first.state == "running"  # another cell's is none of its business
    cell("3", cellId="a")
    with pytest.raises(UsageError):
        panel(tricks=["whitening"])
    assert first.state == "running"  # nor that of one that could not be made
    newest = panel()
    assert job.wait(20)
    assert (job.state, first.state, beside.state) == ("stopped", "idle", "idle")
    assert elsewhere.result()
    assert newest.run(wait=True)
    assert [len(kept) for kept in panels._open.values()] == [1, 1]
    cell("4", kernel=False)
    newest.set(seeds=100)
    newest.run()
    panel()
    assert newest.state == "running"  # outside a notebook no panel replaces another
