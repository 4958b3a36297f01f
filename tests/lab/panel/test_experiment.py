import traceback

import pytest

from airbench_core import AIRBENCH94, AirbenchError, DataError, Parts, Stopped, UsageError
from airbench_core.tricks.flip import flip_mask


def said(experiment) -> tuple[str, str]:
    return tuple(experiment.now()[2])


def broken(*_):
    raise ValueError("the filters have the wrong shape\nof 24")


def test_idle_running_stopping_stopped(experiment, started):
    one = experiment()
    assert one.state == "idle"
    hold = started(one, epochs=1)
    assert one.state == "running"
    one.stop()
    assert one.state == "stopping"
    hold.let_go()
    one.wait()
    assert one.state == "stopped"
    with pytest.raises(Stopped):
        one.result()
    assert said(one) == ("warning", "stopped: the run, after 1.0 of 2.97 epochs")


def test_done_and_again_with_other_values(experiment, recorded):
    one = experiment(seeds=2)
    one.start()
    assert [result.seed for result in one.result()] == [0, 1]
    assert one.state == "done"
    assert said(one) == ("info", "")
    one.set(whiten=False, seeds=1)
    assert one.state == "done"
    one.start()
    assert [result.recipe.whiten for result in one.result()] == [False]
    assert one.table()[["recipe", "n", "where"]].values.tolist() == [
        ["airbench94", 2, "here"],
        ["airbench94 whiten=false", 1, "here"],
    ]


def test_nothing_was_run(experiment):
    one = experiment()
    one.stop()
    one.wait()
    assert one.state == "idle"
    with pytest.raises(UsageError, match="nothing was run yet"):
        one.result()
    assert len(one.table()) == 0


def test_a_second_start_is_refused_and_does_nothing_to_the_run(experiment, started):
    one = experiment()
    hold = started(one)
    one.set(whiten=False)
    for state in ("running", "stopping"):
        assert one.state == state
        with pytest.raises(UsageError, match="a run is on: stop it first"):
            one.start()
        one.stop()
    hold.let_go()
    one.wait()
    assert one.state == "stopped"


def test_what_is_set_during_a_run_is_for_the_next(experiment, started):
    one = experiment()
    hold = started(one, epochs=1)
    one.set(whiten=False)
    hold.let_go()
    (result,) = one.result()
    assert result.recipe.whiten
    assert not one.settings.recipe.whiten
    assert [row["recipe"] for row in one.runs.rows()] == ["airbench94"]


def test_a_stop_keeps_the_partial_curve_and_the_runs_before_it(experiment, started):
    one = experiment(seeds=3)
    one.look = lambda: one.stop() if len(one.runs.records) == 1 and len(one.now()[3].moment.epochs) == 2 else None
    one.start()
    one.wait()
    assert said(one) == ("warning", "stopped: run 2 of 3, after 2.0 of 2.97 epochs; the 1 before it is kept")
    assert [row["n"] for row in one.runs.rows()] == [1]
    drawn = [(line.label, line.state, len(line.epochs)) for line in one.runs.lines(one.settings)]
    assert drawn == [("airbench94", "done", 3), ("airbench94", "stopped", 2)]


def test_a_part_of_one_s_own_that_fails(experiment, cpu):
    """A student reads what went wrong, sees where, mends it and runs again."""
    one = experiment(parts=Parts(whiten=broken))
    one.start()
    one.wait()
    assert one.state == "failed"
    kind, text = said(one)
    assert kind == "error"
    assert text == (
        "the run failed: ValueError: the filters have the wrong shape (panel.result() shows where)"  # one line of it
    )
    with pytest.raises(ValueError, match="wrong shape") as raised:
        one.result()
    assert "in broken" in "".join(traceback.format_exception(raised.value))
    assert one._trainers._last is None  # who knows in what state it is
    one.set(whiten=False)  # so that it is not asked
    one.start()
    assert one.result()
    assert one.state == "done"
    assert said(one) == ("info", "")


def test_a_run_that_fails_on_its_way_keeps_its_curve_and_the_runs_before_it(experiment):
    calls = []

    def flip(kind, epoch, *rest):
        calls.append(epoch)
        if calls.count(2) == 2:  # the third epoch of the second run
            raise ValueError("mine")
        return flip_mask(kind, epoch, *rest)

    one = experiment(seeds=3, parts=Parts(flip=flip))
    one.start()
    one.wait()
    text = "run 2 of 3 failed: ValueError: mine (panel.result() shows where); the 1 before it is kept"
    assert said(one) == ("error", text)
    drawn = [(line.state, len(line.epochs)) for line in one.runs.lines(one.settings)]
    assert drawn == [("done", 3), ("failed", 2)]
    assert [row["n"] for row in one.runs.rows()] == [1]
    now = one.snapshot()
    assert (now.live.label, now.live.state) == ("airbench94 with own flip, seed 1", "failed")
    assert [line.state for line in now.others] == ["done"]  # not drawn twice


def test_a_press_that_only_repeats_says_so(experiment):
    """While it goes on, and when it is over; a race of the same seeds is something new."""
    one = experiment(seeds=2)
    again = "these seeds were run before: the same comes out again. For new runs raise `first seed`"
    for changed, text in (({}, ""), ({"seeds": 1}, again), ({"race": True}, ""), ({"seeds": 2, "race": False}, again)):
        one.set(**changed)
        messages = []
        one.look = lambda messages=messages: messages.append(said(one))
        one.start()
        one.wait()
        assert said(one) == ("info", text)
        assert set(messages) <= {("info", text)}
        assert bool(messages) != one.settings.race
    one.set(first_seed=1)
    one.start()
    one.wait()
    assert said(one) == ("info", "")  # one of two is new


def test_the_price_of_a_watched_run_is_what_one_waits_that_of_a_race_its_clock(experiment, prices):
    one = experiment()
    asked, learn = [], prices.learn

    def noted(*about) -> None:
        asked.append(about[-1])
        learn(*about)

    prices.learn = noted
    for race in (False, True):
        one.set(race=race)
        one.start()
        (result,) = one.result()
        assert (asked[-1] == result.seconds) == race
        assert asked[-1] >= result.seconds
        assert one.snapshot().cost.startswith("cost here: ")


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (AirbenchError("lower lr"), "the run failed: lower lr"),
        (AssertionError(), "the run failed: AssertionError: no message (panel.result() shows where)"),
        (SystemExit("bye"), "the run failed: SystemExit: bye (panel.result() shows where)"),
    ],
)
def test_what_is_said_of_a_failure(experiment, error, text):
    def failing(*_):
        raise error

    one = experiment(parts=Parts(flip=failing))
    one.start()
    one.wait()
    assert said(one) == ("error", text)
    with pytest.raises(type(error)) as raised:
        one.result()
    assert raised.value is error


def test_a_set_that_is_refused_changes_nothing(experiment):
    one = experiment()
    before = one.settings
    painted = []
    one.changed = lambda: painted.append(True)
    for values in ({"whiten": False, "epochs": -1}, {"seeds": 3, "data": "mnist"}, {"scale": "huge"}, {"whitn": True}):
        with pytest.raises(UsageError):
            one.set(**values)
        assert one.settings == before
    assert not painted
    one.set(whiten=False, data="builtin")
    assert painted
    assert one.settings == before.changed(whiten=False, data="builtin")


def test_a_message_stays_until_it_is_no_longer_true(experiment):
    one = experiment()
    one.say(UsageError("epochs=-1 is not legal"))
    assert said(one) == ("error", "epochs=-1 is not legal")
    one.set(whiten=True)  # as it is
    assert said(one)[0] == "error"
    one.set(whiten=False)
    assert said(one) == ("info", "")


def test_reset_takes_back_what_was_chosen_and_nothing_that_was_run(experiment):
    one = experiment(epochs=5.0)
    start = one.settings
    one.start()
    one.wait()
    one.set(whiten=False, seeds=3, race=True, scale="laptop", data="builtin")
    one.reset()
    assert one.settings == start
    assert "stays" in said(one)[1]
    assert len(one.runs.rows()) == 1


def test_auto_is_a_data_set_and_a_scale_to_be_set(experiment):
    one = experiment()
    one.set(data="builtin", scale="laptop")
    one.set(data="auto")
    assert one.settings.place == ("laptop", "noise")
    one.set(scale="auto")
    assert one.settings.place == ("smoke", "noise")


def test_parts_are_what_trains_and_never_under_the_plain_name(experiment):
    asked = []

    def flip(*args):
        asked.append(args[1])
        return flip_mask(*args)

    one = experiment(parts=Parts(flip=flip))
    one.start()
    assert [result.parts for result in one.result()] == [("flip",)]
    assert {0, 1, 2} <= set(asked)
    assert one.name == "airbench94 with own flip"
    assert one.reference_name == "airbench94"
    assert [row["recipe"] for row in one.runs.rows()] == ["airbench94 with own flip"]


def test_a_run_of_images_that_are_not_here_is_refused_and_recorded_ones_are_found(
    experiment, recorded, made, monkeypatch, tmp_path
):
    monkeypatch.setenv("AIRBENCH_DATA", str(tmp_path))
    for name in ("XDG_CACHE_HOME", "HOME"):
        monkeypatch.setenv(name, str(tmp_path))
    recorded(made(AIRBENCH94, [0.7, 0.71]))
    one = experiment("cifar10", scale="laptop")
    with pytest.raises(DataError, match=r"cifar10 is not on this machine.*`airbench data cifar10`"):
        one.start()
    assert one.state == "idle"
    assert one.table()["n"].tolist() == [2]
    one.measure()  # nothing to be measured with
    assert not one.measuring
    assert one.snapshot().cost.startswith("cifar10 is not on this machine")
