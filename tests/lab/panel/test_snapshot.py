import threading
from types import SimpleNamespace

import pytest
from airbench_lab.panel.snapshot import take
from airbench_lab.worker import Foreground, Job

from airbench_core import AIRBENCH96, Parts


def test_the_cost_is_that_of_what_is_chosen(experiment, prices, noise, cpu, chosen):
    one = experiment(seeds=5)
    assert take(one).cost == "cost: known after the first run"
    prices.learn(chosen, cpu, noise, 40.0)
    assert take(one).cost == "cost here: about 40 s a run of 2.97 epochs, 5 runs: about 3 min"
    one.set(seeds=1)
    assert take(one).cost == "cost here: about 40 s a run of 2.97 epochs"
    one.set(epochs=2 * chosen.recipe.epochs)
    assert take(one).cost == "cost here: about 71 s a run of 5.94 epochs"  # the inference is not twice as long
    one.set(scale="laptop")
    assert take(one).cost == "cost: known after the first run"
    one.set(compile=True)
    assert "compiles before its clock starts" in take(one).cost


def test_a_cost_that_is_being_measured(experiment, started, monkeypatch, prices):
    """By the worker, when it has time; once."""
    first, second = experiment(), experiment()
    asked = []
    monkeypatch.setattr(prices, "measure", lambda *about: asked.append(about))
    hold = started(first)
    for _ in range(2):
        second.measure()
    assert take(second).cost == "cost: being measured"
    job = second._measuring
    hold.let_go()
    assert job.wait(20)
    assert len(asked) == 1
    assert take(second).cost.startswith("cost here: ")  # of the first's run
    second.measure()
    assert second._measuring is job


@pytest.fixture
def measuring(prices, monkeypatch):
    """Measurements that take until they are let go; each notes its place."""
    places, entered, go = [], threading.Event(), threading.Event()

    def measure(settings, *_) -> None:
        places.append(settings.place)
        entered.set()
        assert go.wait(20)

    monkeypatch.setattr(prices, "measure", measure)
    yield SimpleNamespace(places=places, entered=entered, go=go)
    go.set()


def test_a_run_that_waits_for_the_measurement_says_so(experiment, measuring):
    one = experiment()
    one.measure()
    assert measuring.entered.wait(20)
    one.start()
    assert take(one).progress == "first this machine is measured"
    measuring.go.set()
    assert one.result()


def test_what_is_chosen_during_a_measurement_is_measured_after_it(experiment, measuring, worker):
    one = experiment()
    one.measure()
    assert measuring.entered.wait(20)
    one.set(data="builtin")
    one.measure()  # as the widgets do
    one.set(whiten=False)
    first = one._measuring
    measuring.go.set()
    assert first.wait(20)
    for _ in range(2):  # the second is put when the first is over
        after = Job(lambda _: None)
        worker.put(after)
        assert after.wait(20)
    assert measuring.places == [("smoke", "noise"), ("smoke", "builtin")]
    assert not one.measuring


@pytest.mark.parametrize("begun", [True, False])
def test_a_closed_panel_measures_nothing_more(experiment, measuring, worker, gate, begun):
    if not begun:
        before = experiment(parts=gate.parts)
        before.start()
    one = experiment()
    one.measure()
    assert measuring.entered.wait(20 if begun else 0) == begun
    one.set(data="builtin")
    one.close()
    measuring.go.set()
    gate.go.set()
    for _ in range(2):
        after = Job(lambda _: None)
        worker.put(after)
        assert after.wait(20)
    assert measuring.places == [("smoke", "noise")] * begun


@pytest.mark.parametrize("changed", [{"compile": True}, {"on": Foreground()}])
def test_a_cost_that_is_not_measured(experiment, prices, monkeypatch, changed):
    """A compiled run would take minutes; in the foreground, the notebook would wait."""
    monkeypatch.setattr(prices, "measure", lambda *_: pytest.fail("measured"))
    one = experiment(**changed)
    one.measure()
    assert not one.measuring


def test_progress_in_words(experiment, started, prices, noise, cpu):
    one = experiment()
    assert (take(one).progress, take(one).done) == ("", 0)
    hold = started(one)
    assert take(one).progress == "0.0 of 2.97 epochs"
    prices.learn(one.settings, cpu, noise, 1000.0)
    assert take(one).progress.endswith(" epochs, about 17 min left")
    one.stop()
    assert take(one).progress == "stopping at the next step"
    hold.let_go()
    one.wait()
    assert take(one).progress == "stopped"
    assert take(one).done < 1
    one.start()
    one.wait()
    assert (take(one).progress, take(one).done) == ("done", 1)


def test_progress_of_several_runs_says_which(experiment, started):
    one = experiment(seeds=3, first_seed=7)
    hold = started(one, epochs=2)
    now = take(one)
    assert now.progress.startswith("run 1 of 3, 2.0 of 2.97 epochs, about ")
    assert 0.15 < now.done < 0.33
    hold.let_go()


def test_what_waits_says_so(experiment, started):
    first, second = experiment(), experiment()
    started(first)
    second.start()
    assert take(second).progress == "waiting: another panel is at work"
    second.stop()
    assert take(second).progress == "stopped"


def test_between_two_runs_nothing_wrong_is_said(experiment):
    """A panel is painted whenever it likes: the bar never goes back, and there is no third run of two."""
    one = experiment(seeds=2)
    seen = []

    def paint() -> None:
        now = take(one)
        if now.state == "running":
            seen.append((now.done, now.progress.split(" epochs")[0], now.live.label, now.live.state, len(now.rows)))

    one.look = one.changed = paint
    one.start()
    one.wait()
    done, progress, labels, *_ = zip(*seen, strict=True)
    assert list(done) == sorted(done)
    assert done[-1] == 1
    assert list(progress) == sorted(progress)  # "run 1 of 2, 2.97 of 2.97" and "run 2 of 2, 0.0 of 2.97"
    assert {text.split(",")[0] for text in progress} == {"run 1 of 2", "run 2 of 2"}
    assert set(labels) == {"airbench94, seed 0", "airbench94, seed 1"}
    between = [about[1:4] for about in seen if about[0] == 0.5]
    assert ("run 2 of 2, 0.0 of 2.97", "airbench94, seed 0", "done") in between
    assert ("run 2 of 2, 0.0 of 2.97", "airbench94, seed 1", "running") in between
    assert seen[-1][1:4] == ("run 2 of 2, 2.97 of 2.97", "airbench94, seed 1", "done")


def test_in_the_foreground_it_is_said_how_to_stop(experiment):
    for race in (False, True):
        one = experiment(on=Foreground(), race=race)
        seen = []
        one.changed = lambda one=one, seen=seen: seen.append(take(one))
        one.start()
        on = [now.progress for now in seen if now.state == "running"]
        assert on
        assert all(text.endswith("; to stop, interrupt the cell") for text in on)
        assert take(one).progress == "done"


def test_a_race_is_still_until_it_is_over(experiment, gate):
    one = experiment(race=True, seeds=2, parts=gate.parts)
    one.start()
    assert gate.entered.wait(20)
    now = take(one)
    assert now.still
    assert now.progress == "racing: run 1 of 2, nothing is drawn until it is over"
    assert now.live is None
    one.stop()
    assert not take(one).still  # to say that it stops
    gate.go.set()
    one.wait()
    assert not take(one).still
    assert take(one).live is None  # stopped before one of its runs was over


def test_a_race_is_named_when_it_is_over_and_has_no_curve(experiment):
    one = experiment(race=True, seeds=2)
    one.start()
    one.wait()
    live = take(one).live
    assert (live.label, live.state, list(live.epochs)) == ("airbench94", "race", [])


def test_the_newest_run_is_live_and_the_others_are_beside_it(experiment, started):
    one = experiment()
    hold = started(one, epochs=2)
    now = take(one)
    assert (now.live.label, now.live.state, list(now.live.epochs)) == ("airbench94", "running", [1, 2])
    assert (now.others, now.rows) == ((), ())
    hold.let_go()
    one.wait()
    now = take(one)
    assert (now.live.state, len(now.live.epochs)) == ("done", 3)
    assert (len(now.others), len(now.rows)) == (0, 1)  # not drawn twice
    one.set(whiten=False)
    one.start()
    one.wait()
    now = take(one)
    assert now.live.label == "airbench94 whiten=false"
    assert [line.label for line in now.others] == ["airbench94"]


def test_of_several_seeds_the_last_is_live(experiment):
    one = experiment(seeds=2)
    one.start()
    one.wait()
    now = take(one)
    assert now.live.label == "airbench94, seed 1"
    assert [(line.label, len(line.accuracies)) for line in now.others] == [("airbench94", 2)]  # their mean
    assert [row["n"] for row in now.rows] == [2]


def test_a_stopped_run_is_drawn_once(experiment, started):
    one = experiment()
    hold = started(one, epochs=1)
    one.stop()
    hold.let_go()
    one.wait()
    now = take(one)
    assert (now.live.state, len(now.live.epochs), now.others) == ("stopped", 1, ())
    one.set(whiten=False)
    one.start()
    one.wait()
    assert [(line.label, line.state) for line in take(one).others] == [("airbench94", "stopped")]


def test_a_run_in_progress_is_not_drawn_among_those_of_another_scale(experiment, started):
    one = experiment()
    started(one, epochs=1)
    room = take(one).epochs
    one.set(epochs=40.0)
    assert take(one).epochs == room == one.now()[3].settings.scaled.epochs  # of what runs
    one.set(scale="laptop")
    now = take(one)
    assert now.live is None
    assert now.epochs == one.settings.scaled.epochs
    assert now.state == "running"


def test_the_title_names_the_reference_whatever_is_chosen(experiment):
    one = experiment()
    title = take(one).title
    assert title.startswith(f"airbench94 on {one.device}; ")
    one.set(whiten=False)
    assert take(one).title == title
    one = experiment(reference=AIRBENCH96)
    assert take(one).title.startswith(f"{one.reference_name} on ")
    assert one.reference_name == "airbench96"


def test_a_race_takes_no_curve_away(experiment):
    """The watched curve of the same seed is drawn beside the press that races."""
    one = experiment()
    for race in (False, True):
        one.set(race=race)
        one.start()
        one.wait()
    now = take(one)
    assert now.live.state == "race"
    assert [(line.label, line.state) for line in now.others] == [("airbench94", "done")]
    assert [(row["n"], row["timed"]) for row in now.rows] == [(1, "race")]


def test_own_parts_are_in_the_name_of_what_is_live(experiment, started):
    one = experiment(parts=Parts(whiten=lambda *args: Parts().whiten(*args)))
    started(one, epochs=1)
    assert take(one).live.label == "airbench94 with own whiten"
