import sys
import threading
import time
from types import ModuleType

import pytest
from airbench_lab import panel as panels
from airbench_lab.panel import Panel, environment, painter
from airbench_lab.panel.environment import Cell

from airbench_core import Parts, Stopped, UsageError


@pytest.fixture
def panel(noise, cpu, prices):
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
    assert rest == ["no runs yet, and none recorded"]
    assert one._repr_mimebundle_() == {"text/plain": str(one)}
    one.set(whiten=False)
    (result,) = one.run(wait=True)
    printed = capsys.readouterr().out
    assert printed == f"{one}\n"
    head, *table = printed.splitlines()
    assert head.startswith("airbench94 on ")
    assert head.endswith("; scale smoke, noise; chosen: airbench94 whiten=false; done")
    assert "worth epochs of airbench94" in table[0]
    assert f"{100 * result.accuracy:.2f} %" in printed
    assert one.state == "done"
    assert not one.recipe.whiten


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


def test_what_fails_is_raised_where_it_is_waited_for(panel, capsys):
    def whiten(*_):
        raise ZeroDivisionError("mine")

    one = panel(parts=Parts(whiten=whiten))
    with pytest.raises(ZeroDivisionError, match="mine"):
        one.run(wait=True)
    assert "ZeroDivisionError: mine" in capsys.readouterr().out
    assert one.state == "failed"


def test_an_interrupt_while_a_cell_waits_stops_the_run(panel, monkeypatch):
    one = panel(seeds=100)
    wait = one._experiment.wait

    def interrupted() -> None:
        monkeypatch.setattr(one._experiment, "wait", wait)
        raise KeyboardInterrupt

    monkeypatch.setattr(one._experiment, "wait", interrupted)
    with pytest.raises(KeyboardInterrupt):
        one.run(wait=True)
    assert one.state == "stopped"


@pytest.mark.parametrize("named", [{"tricks": ["whitening"]}, {"scale": "huge"}, {"data": "mnist"}, {"seeds": 0}])
def test_what_is_not_legal_is_refused_at_once(panel, named):
    with pytest.raises(UsageError):
        panel(**named)


@pytest.fixture
def colab(monkeypatch) -> None:
    """A notebook in which nothing is shown of what a thread does."""
    monkeypatch.setitem(sys.modules, "google.colab", ModuleType("google.colab"))
    monkeypatch.setattr(environment, "shows_widgets", lambda: True)
    monkeypatch.setattr(painter, "PAUSE", 0.0)


def test_in_the_foreground_all_is_painted_by_the_thread_that_runs(panel, colab, monkeypatch):
    """While it runs: the bar moves, the picture grows, and a thread would not be seen."""
    one = panel(seeds=2)
    seen, paint = [], one._view.painter._paint

    def noted() -> bool:
        again = paint()
        seen.append((threading.current_thread(), one._view.bar.value, one._view.progress.value))
        return again

    one._view.painter._paint = noted
    threads = set(threading.enumerate())
    results = one.run(wait=True)
    assert len(results) == 2
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
        if len(experiment.now()[3].moment.epochs) == 2:
            raise KeyboardInterrupt

    experiment.look = look
    with pytest.raises(KeyboardInterrupt):  # the cells below it are not run
        one.run(wait=True)
    assert one.state == "stopped"
    assert [len(line.epochs) for line in experiment.runs.lines(experiment.settings)] == [2]
    assert "stopped: the run, after 2.0 of 2.97 epochs" in one._view.message.value
    assert not one._view.buttons["run"].disabled
    experiment.look = None
    assert len(one.run(wait=True)) == 1


@pytest.fixture
def cell(monkeypatch):
    """Says which cell is being executed: cell(place, execution)."""
    monkeypatch.setattr(panels, "_open", {})

    def executed(*where: str) -> None:
        monkeypatch.setattr(environment, "cell", lambda: Cell(*where) if where else None)

    return executed


def test_a_cell_that_is_executed_again_closes_its_older_panels(panel, cell):
    cell("a", "1")
    first, beside = panel(seeds=100), panel()
    first.run()
    job = first._experiment._job
    assert first.state == "running"
    cell("b", "2")
    elsewhere = panel()
    elsewhere.run()
    assert first.state == "running"  # another cell's is none of its business
    cell("a", "3")
    newest = panel()
    assert job.wait(20)
    assert job.state == "stopped"
    assert (first.state, beside.state) == ("idle", "idle")
    assert elsewhere.result()
    assert newest.run(wait=True)
    assert [len(kept) for kept in panels._open.values()] == [1, 1]


def test_two_panels_of_one_execution_live_side_by_side(panel, cell):
    cell("a", "1")
    first = panel(seeds=2)
    first.run()
    second = panel()
    second.run()
    assert len(first.result()) == 2
    assert second.result()


def test_outside_a_notebook_no_panel_replaces_another(panel, cell):
    cell()
    first = panel(seeds=100)
    first.run()
    panel()
    time.sleep(0.05)
    assert first.state == "running"


def test_a_panel_that_cannot_be_made_closes_no_other(panel, cell):
    cell("a", "1")
    first = panel(seeds=100)
    first.run()
    cell("a", "2")
    with pytest.raises(UsageError):
        panel(tricks=["whitening"])
    assert first.state == "running"
