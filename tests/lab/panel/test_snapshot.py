import pytest
from airbench_lab.panel.snapshot import take
from airbench_lab.worker import Foreground

from airbench_core import Parts


def test_the_cost_is_that_of_what_is_chosen(experiment, prices, noise, cpu, chosen):
    one = experiment(seeds=5)
    assert take(one).cost == "cost: known after the first run"
    prices.learn(chosen, cpu, noise, 40.0)
    assert take(one).cost == "cost here: about 40 s a run, 5 runs: about 3 min"
    one.set(seeds=1)
    assert take(one).cost == "cost here: about 40 s a run"
    one.set(epochs=2 * chosen.recipe.epochs)
    assert take(one).cost == "cost here: about 71 s a run"  # the inference is not twice as long
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
    assert now.progress.startswith("run 1 of 3 (seed 7), 2.0 of 2.97 epochs, about ")
    assert 0.15 < now.done < 0.33
    hold.let_go()


def test_what_waits_says_so(experiment, started):
    first, second = experiment(), experiment()
    started(first)
    second.start()
    assert take(second).progress == "waiting: another panel is at work"
    second.stop()
    assert take(second).progress == "stopped"


def test_a_race_is_still_until_it_is_over(experiment, started):
    one = experiment(race=True, seeds=2)
    hold = started(one)
    now = take(one)
    assert now.still
    assert now.progress == "racing: run 1 of 2 (seed 0), nothing is drawn until it is over"
    assert now.live is None
    one.stop()
    assert not take(one).still  # to say that it stops
    hold.let_go()
    one.wait()
    assert not take(one).still


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


def test_own_parts_are_in_the_name_of_what_is_live(experiment, started):
    one = experiment(parts=Parts(whiten=lambda *args: Parts().whiten(*args)))
    started(one, epochs=1)
    assert take(one).live.label == "airbench94 with own whiten"
