import dataclasses

import pytest
from airbench_lab.panel.runs import Newest, Partial, Runs, frame, name_of

from airbench_core import AIRBENCH94, Parts
from airbench_core.tricks.flip import flip_mask

OWN = Parts(flip=lambda *args: flip_mask(*args))


@pytest.fixture
def runs() -> Runs:
    return Runs(AIRBENCH94, lambda settings: None)


@pytest.fixture
def add(runs, result):
    def put(settings, accuracy=0.5, seed=0, parts=None, **named):
        parts = parts or Parts()
        runs.add(settings, parts, result(settings, accuracy, seed, parts=parts.replaced, **named))

    return put


def shown(runs: Runs, settings, newest=None) -> list[tuple]:
    """Label, state and how many runs of each line."""
    return [
        (line.label, line.state, len(line.accuracies) if line.state == "done" else 1)
        for line in runs.lines(settings, newest)
    ]


def test_the_seeds_of_a_recipe_are_one_row_and_one_line(runs, add, chosen):
    plain = chosen.changed(whiten=False)
    for seed, accuracy in enumerate((0.5, 0.6, 0.7)):
        add(chosen, accuracy, seed)
    add(plain, 0.4)
    rows = runs.rows(chosen)
    assert [(row["recipe"], row["n"], round(row["accuracy"], 6)) for row in rows] == [
        ("airbench94", 3, 60.0),
        ("airbench94 whiten=false", 1, 40.0),
    ]
    assert rows[0]["low"] < 60 < rows[0]["high"]
    assert rows[1]["low"] is None is rows[1]["high"]
    assert shown(runs, chosen) == [("airbench94", "done", 3), ("airbench94 whiten=false", "done", 1)]


def test_how_a_press_is_made_does_not_part_runs_of_one_recipe(runs, add, chosen):
    add(chosen.changed(seeds=3), seed=0)
    add(chosen.changed(first_seed=7, race=True), seed=7)
    assert [row["n"] for row in runs.rows(chosen)] == [2]


def test_the_same_seed_again_counts_once_the_last_time(runs, add, chosen):
    add(chosen, 0.5)
    assert runs.rows(chosen)[0]["accuracy"] == 50
    add(chosen, 0.6)
    (row,) = runs.rows(chosen)
    assert (row["n"], row["accuracy"]) == (1, 60)
    assert [record["accuracy"] for record in runs.records] == [0.6]
    assert shown(runs, chosen) == [("airbench94", "done", 1)]


def test_the_seconds_are_a_race_s_where_there_was_one(runs, add, chosen):
    """Whoever is drawn is slower."""
    race = chosen.changed(race=True)
    add(chosen, 0.5, seconds=50.0)
    add(chosen, 0.6, seed=1, seconds=60.0)
    (row,) = runs.rows(chosen)
    assert (row["seconds"], row["timed"]) == (55, "watched")
    add(race, 0.7, seed=2, seconds=20.0)
    (row,) = runs.rows(chosen)
    assert (row["seconds"], row["timed"], row["n"]) == (20, "race", 3)  # the accuracies of all
    add(race, 0.7, seed=1, seconds=22.0)
    (row,) = runs.rows(chosen)
    assert (row["seconds"], row["timed"], row["n"]) == (21, "race", 3)
    assert [record["seconds"] for record in runs.records] == [50, 60, 20, 22]  # the log keeps them


def test_a_seed_that_was_watched_and_raced_is_kept_twice_and_counted_once(runs, add, chosen):
    """Whichever came first: the curve of the one stays, and the time of the other."""
    race = chosen.changed(race=True)
    for first, second, lr in ((chosen, race, 1.0), (race, chosen, 2.0)):
        seconds = {False: 50.0, True: 20.0}
        for one in (first, second):
            add(one.changed(lr=lr), 0.6, seed=3, seconds=seconds[one.race])
        row = runs.rows(chosen)[-1]
        assert (row["n"], row["accuracy"], row["seconds"], row["timed"]) == (1, 60, 20, "race")
        assert shown(runs, chosen)[-1][1:] == ("done", 1)
    assert [record["seconds"] for record in runs.records] == [50, 20, 50, 20]


def test_it_is_known_which_presses_only_repeat(runs, add, chosen, some_epochs):
    two = chosen.changed(seeds=2, first_seed=4)
    add(two, seed=4)
    runs.add_partial(two, Parts(), Partial(some_epochs(2), "stopped"))
    assert not runs.has(two, Parts())
    add(two, seed=5)
    assert runs.has(two, Parts())
    assert runs.has(two.changed(seeds=1, first_seed=5), Parts())
    for other in ({"seeds": 3}, {"first_seed": 5}, {"race": True}, {"lr": 1.0}, {"scale": "laptop"}, {"compile": True}):
        assert not runs.has(two.changed(**other), Parts())
    assert not runs.has(two, OWN)
    assert [row["n"] for row in runs.rows()] == [2]  # to ask makes no rows


def test_a_race_has_no_line(runs, add, chosen):
    add(chosen.changed(race=True))
    assert shown(runs, chosen) == []
    add(chosen, seed=1)
    assert shown(runs, chosen) == [("airbench94", "done", 1)]


def test_what_did_not_come_to_its_end_is_drawn_and_in_no_mean(runs, add, chosen, some_epochs):
    """All of them, until the panel goes: also when a run is finished, and when a race is."""
    runs.add_partial(chosen, Parts(), Partial(some_epochs(2), "stopped"))
    assert shown(runs, chosen) == [("airbench94", "stopped", 1)]
    assert runs.rows(chosen) == []
    assert runs.records == []
    runs.add_partial(chosen, Parts(), Partial(some_epochs(1), "failed"))
    both = [("stopped", 2), ("failed", 1)]
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)] == both
    add(chosen.changed(whiten=False))
    add(chosen.changed(race=True))
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)[1:]] == both
    add(chosen, 0.6, seed=1)
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)[1:]] == [("done", 3), *both]
    assert [(row["n"], round(row["accuracy"], 6)) for row in runs.rows(chosen)] == [(1, 50), (2, 55)]


def test_what_was_finished_before_a_stop_stays(runs, add, chosen, some_epochs):
    add(chosen)
    runs.add_partial(chosen, Parts(), Partial(some_epochs(2), "stopped"))
    assert shown(runs, chosen) == [("airbench94", "done", 1), ("airbench94", "stopped", 1)]
    assert [row["n"] for row in runs.rows(chosen)] == [1]


def test_a_line_that_says_only_what_the_newest_run_says_is_left_out(runs, add, chosen, some_epochs):
    plain = chosen.changed(whiten=False)
    add(plain)
    for seed in range(3):
        add(chosen, seed=seed)
    other = ("airbench94 whiten=false", "done", 1)
    assert shown(runs, chosen, Newest("airbench94", 1)) == [other, ("airbench94", "done", 3)]  # a mean says more
    assert shown(runs, chosen, Newest(other[0], 0)) == [("airbench94", "done", 3)]
    runs.add_partial(plain, Parts(), Partial(some_epochs(2), "stopped"))
    stopped = Newest("airbench94 whiten=false", None)
    assert shown(runs, chosen, stopped) == [("airbench94", "done", 3), other]
    runs.add_partial(plain, Parts(), Partial(some_epochs(1), "stopped"))
    assert [len(line.epochs) for line in runs.lines(chosen, stopped)] == [3, 3, 2]  # only the last of them is `newest`
    assert (*other[:1], "stopped", 1) in shown(runs, chosen, Newest("airbench94", 1))


def test_a_recipe_with_nothing_but_the_newest_run_has_no_line(runs, add, chosen):
    add(chosen)
    assert shown(runs, chosen, Newest("airbench94", 0)) == []
    assert len(runs.rows(chosen)) == 1


def test_the_recipe_that_was_run_last_is_the_last(runs, add, chosen):
    """The plot draws the newest three."""
    plain = chosen.changed(whiten=False)
    for settings, seed in ((chosen, 0), (plain, 0), (chosen, 1)):
        add(settings, seed=seed)
    assert [label for label, *_ in shown(runs, chosen)] == ["airbench94 whiten=false", "airbench94"]
    assert [row["n"] for row in runs.rows(chosen)] == [1, 2]


@pytest.mark.parametrize("changed", [{"scale": "laptop"}, {"data": "cifar10"}])
def test_another_scale_or_data_set_is_not_shown_and_not_lost(runs, add, chosen, changed):
    add(chosen, 0.5)
    other = chosen.changed(**changed)
    assert runs.rows(other) == []
    assert shown(runs, other) == []
    add(other, 0.7)
    assert [row["accuracy"] for row in runs.rows(other)] == [70]
    assert [row["accuracy"] for row in runs.rows(chosen)] == [50]
    assert [(row["scale"], row["data"]) for row in runs.rows()] == [chosen.place, other.place]
    assert len(runs.records) == 2


def test_compiled_runs_are_others(runs, add, chosen):
    add(chosen)
    add(chosen.changed(compile=True))
    assert [(row["recipe"], row["n"]) for row in runs.rows(chosen)] == [
        ("airbench94", 1),
        ("airbench94, compiled", 1),
    ]


def test_runs_with_parts_of_one_s_own_are_apart_and_never_under_the_plain_name(runs, add, chosen, some_epochs):
    own = "airbench94 with own flip"
    add(chosen, 0.5)
    add(chosen, 0.9, parts=OWN)
    runs.add_partial(chosen, OWN, Partial(some_epochs(1), "stopped"))
    assert name_of(chosen, OWN) == own
    assert [(row["recipe"], row["accuracy"]) for row in runs.rows(chosen)] == [("airbench94", 50), (own, 90)]
    assert shown(runs, chosen) == [("airbench94", "done", 1), (own, "done", 1), (own, "stopped", 1)]
    assert [record.get("parts") for record in runs.records] == [None, ["flip"]]


def test_a_row_states_the_reference_s_epochs_at_the_scale_of_the_row(result, chosen):
    asked = []
    runs = Runs(AIRBENCH94, lambda settings: asked.append(settings) or {1.5: {0: 0.4, 1: 0.4}, 3.0: {0: 0.6, 1: 0.6}})
    settings = chosen.changed(lr=5.0)
    for seed in range(2):
        runs.add(settings, Parts(), result(settings, 0.5 + (seed - 0.5) / 50, seed))
    (row,) = runs.rows()
    assert 1.5 < row["worth"] < 3
    assert row["speedup"] == pytest.approx(row["worth"] / settings.scaled.epochs)
    assert asked[0].place == settings.place


def test_the_reference_is_itself_whatever_its_epochs(result, chosen):
    """Its curve knows nothing else than it."""
    curve = {1.5: {0: 0.4, 1: 0.4}, 3.0: {0: 0.6, 1: 0.6}}
    runs = Runs(AIRBENCH94, lambda settings: curve)

    def notes(settings, parts=None) -> tuple:
        parts = parts or Parts()
        for seed in range(2):
            runs.add(settings, parts, result(settings, 0.5 + (seed - 0.5) / 50, seed, parts=parts.replaced))
        row = runs.rows()[-1]
        return row["note"], row["worth"] is None, row["speedup"] is None

    for same in ({}, {"epochs": 5.0}, {"compile": True}):
        assert notes(chosen.changed(**same)) == ("the reference itself", True, True)
    assert notes(chosen.changed(lr=5.0, epochs=5.0))[0] != "the reference itself"
    assert notes(chosen, OWN)[1:] == (False, False)  # a part of one's own is not it


def test_without_a_curve_of_the_reference_worth_is_blank_and_says_why(runs, add, chosen):
    add(chosen.changed(lr=1.0))
    (row,) = runs.rows()
    assert row["worth"] is row["speedup"] is None
    assert row["note"] != "the reference itself"
    assert row["note"]
    table = frame(runs.rows())
    assert table["accuracy, %"].tolist() == [50]
    assert list(frame([])) == list(table)  # as many columns where there is nothing


def test_names_do_not_depend_on_how_the_press_is_made(chosen):
    assert name_of(chosen.changed(seeds=3, race=True)) == name_of(chosen) == "airbench94"
    assert name_of(chosen.changed(scale="full")) == "airbench94"
    assert name_of(dataclasses.replace(chosen, compile=True)) == "airbench94, compiled"
