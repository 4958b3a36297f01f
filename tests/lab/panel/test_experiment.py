import traceback

import pytest

from airbench_core import AIRBENCH94, AirbenchError, DataError, Parts, Stopped, UsageError
from airbench_core.augmentation import flip_mask


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
    assert said(one) == ("warning", "stopped: the run, after 1 complete epoch")


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
    one.look = lambda: one.stop() if len(one.runs.records) == 1 and len(one.now()[3].epochs) == 2 else None
    one.start()
    one.wait()
    assert said(one) == ("warning", "stopped: run 2 of 3, after 2 complete epochs; the 1 before it is kept")
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


def test_auto_is_a_data_set_to_be_set(experiment, monkeypatch):
    one = experiment()
    one.set(data="builtin")
    one.set(data="auto")
    assert one.settings.data == "noise"


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
