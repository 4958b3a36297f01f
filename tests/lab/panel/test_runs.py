import pytest
from airbench_lab.panel.runs import InterruptedRun, LatestRun, RunHistory, rows_frame, run_name

from airbench_core import Parts
from airbench_core.tricks.flip import flip_mask

OWN = Parts(flip=lambda *args: flip_mask(*args))
CURVE = {1.5: {0: 0.4, 1: 0.4}, 3.0: {0: 0.6, 1: 0.6}}


@pytest.fixture
def runs() -> RunHistory:
    return RunHistory(lambda settings: None)


@pytest.fixture
def add(runs, result):
    def put(settings, accuracy=0.5, seed=0, parts=None, **named):
        parts = parts or Parts()
        runs.add(settings, parts, result(settings, accuracy, seed, parts=parts.replaced, **named))

    return put


@pytest.fixture
def cut(runs, some_epochs):
    def put(settings, epochs=2, state="stopped", parts=None):
        runs.add_interrupted(settings, parts or Parts(), InterruptedRun(some_epochs(epochs), state))

    return put


def shown(runs: RunHistory, settings, latest=None) -> list[tuple]:
    """Label, state and how many runs of each line."""
    return [
        (line.label, line.state, len(line.accuracies) if line.state == "done" else 1)
        for line in runs.lines(settings, latest)
    ]


def test_the_seeds_of_a_recipe_are_one_row_and_one_line_and_what_was_run_last_is_last(runs, add, chosen):
    """However the presses were made; the plot draws the newest three."""
    plain = chosen.changed(whiten=False)
    add(chosen, 0.5, seed=0)
    add(plain, 0.4)
    add(chosen.changed(seeds=3), 0.6, seed=1)
    add(chosen.changed(first_seed=7), 0.1, seed=7)
    add(chosen.changed(first_seed=7), 0.7, seed=7)  # the same seed again counts once, the last time
    rows = runs.rows(chosen)
    assert [(row["recipe"], row["n"], round(row["accuracy"], 6)) for row in rows] == [
        ("airbench94 whiten=false", 1, 40.0),
        ("airbench94", 3, 60.0),
    ]
    assert rows[1]["low"] < 60 < rows[1]["high"]
    assert rows[0]["low"] is None is rows[0]["high"]
    assert shown(runs, chosen) == [("airbench94 whiten=false", "done", 1), ("airbench94", "done", 3)]
    assert [record["accuracy"] for record in runs.records] == [0.4, 0.5, 0.6, 0.7]


def test_the_seconds_are_a_race_s_where_there_was_one(runs, add, chosen):
    """Whoever is drawn is slower. Whichever came first: the curve of the one stays, and the time of the other."""
    race = chosen.changed(race=True)
    add(race.changed(lr=1.0))
    assert shown(runs, chosen) == []  # a race has no line
    add(chosen, 0.5, seconds=50.0)
    add(chosen, 0.6, seed=1, seconds=60.0)
    for settings, seed, seconds, expected in (
        (None, 0, 0, (55, "watched", 2)),
        (race, 2, 20.0, (20, "race", 3)),  # the accuracies of all
        (race, 1, 22.0, (21, "race", 3)),
        (chosen, 2, 70.0, (21, "race", 3)),
    ):
        if settings:
            add(settings, 0.7, seed=seed, seconds=seconds)
        row = runs.rows(chosen)[-1]
        assert (row["seconds"], row["timed"], row["n"]) == expected
    assert shown(runs, chosen) == [("airbench94", "done", 3)]
    assert [record["seconds"] for record in runs.records][1:] == [50, 60, 70, 20, 22]  # the log keeps them


def test_it_is_known_which_presses_only_repeat(runs, add, cut, chosen):
    two = chosen.changed(seeds=2, first_seed=4)
    add(two, seed=4)
    cut(two)
    assert not runs.has_all(two, Parts())
    add(two, seed=5)
    assert runs.has_all(two, Parts())
    assert runs.has_all(two.changed(seeds=1, first_seed=5), Parts())
    for other in ({"seeds": 3}, {"first_seed": 5}, {"race": True}, {"lr": 1.0}, {"scale": "laptop"}, {"compile": True}):
        assert not runs.has_all(two.changed(**other), Parts())
    assert not runs.has_all(two, OWN)
    assert [row["n"] for row in runs.rows()] == [2]  # to ask makes no rows


def test_what_did_not_come_to_its_end_is_drawn_and_in_no_mean(runs, add, cut, chosen):
    """All of them, until the panel goes: also when a run is finished, and when a race is."""
    cut(chosen)
    cut(chosen, 1, "failed")
    both = [("stopped", 2), ("failed", 1)]
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)] == both
    assert (runs.rows(chosen), runs.records) == ([], [])
    add(chosen.changed(whiten=False))
    add(chosen.changed(race=True))
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)[1:]] == both
    add(chosen, 0.6, seed=1)
    assert [(line.state, len(line.epochs)) for line in runs.lines(chosen)[1:]] == [("done", 3), *both]
    assert [(row["n"], round(row["accuracy"], 6)) for row in runs.rows(chosen)] == [(1, 50), (2, 55)]


def test_a_line_that_says_only_what_the_latest_run_says_is_left_out(runs, add, cut, chosen):
    plain = chosen.changed(whiten=False)
    add(plain)
    for seed in range(3):
        add(chosen, seed=seed)
    three, other = ("airbench94", "done", 3), ("airbench94 whiten=false", "done", 1)
    assert shown(runs, chosen, LatestRun("airbench94", 1)) == [other, three]  # a mean says more
    assert shown(runs, chosen, LatestRun(other[0], 0)) == [three]
    cut(plain)
    stopped = LatestRun(other[0], None)
    assert shown(runs, chosen, stopped) == [three, other]
    cut(plain, 1)
    assert [len(line.epochs) for line in runs.lines(chosen, stopped)] == [3, 3, 2]  # only the last is the latest
    assert (other[0], "stopped", 1) in shown(runs, chosen, LatestRun("airbench94", 1))


@pytest.mark.parametrize("changed", [{"scale": "laptop"}, {"data": "cifar10"}])
def test_another_scale_or_data_set_is_not_shown_and_not_lost(runs, add, chosen, changed):
    add(chosen, 0.5)
    other = chosen.changed(**changed)
    assert (runs.rows(other), shown(runs, other)) == ([], [])
    add(other, 0.7)
    assert [runs.rows(one)[0]["accuracy"] for one in (other, chosen)] == [70, 50]
    assert [(row["scale"], row["data"]) for row in runs.rows()] == [chosen.scale_and_data, other.scale_and_data]
    assert len(runs.records) == 2


def test_compiled_runs_and_those_with_parts_of_one_s_own_are_others_by_name(runs, add, cut, chosen):
    own = "airbench94 with own flip"
    add(chosen, 0.5)
    add(chosen.changed(compile=True), 0.6)
    add(chosen, 0.9, parts=OWN)
    cut(chosen, parts=OWN)
    rows = [("airbench94", 50), ("airbench94, compiled", 60), (own, 90)]
    assert [(row["recipe"], row["accuracy"]) for row in runs.rows(chosen)] == rows
    assert shown(runs, chosen)[2:] == [(own, "done", 1), (own, "stopped", 1)]
    assert [record.get("parts") for record in runs.records] == [None, None, ["flip"]]
    assert run_name(chosen, OWN) == own
    assert run_name(chosen.changed(seeds=3, race=True, scale="full")) == "airbench94"


def test_a_row_is_worth_epochs_of_the_baseline_at_its_scale(result, chosen):
    asked = []
    runs = RunHistory(lambda settings: asked.append(settings) or CURVE)
    for seed in range(2):
        runs.add(chosen, Parts(), result(chosen, 0.5 + (seed - 0.5) / 50, seed))
    (row,) = runs.rows()
    epochs = chosen.scaled.epochs
    assert 1.5 < row["worth"] < 3
    assert row["speedup"] == pytest.approx(row["worth"] / epochs)
    assert [row["speedup_low"], row["speedup_high"]] == pytest.approx(
        [row["worth_low"] / epochs, row["worth_high"] / epochs]
    )
    assert [one.scale_and_data for one in asked] == [chosen.scale_and_data]


def test_without_a_curve_of_the_baseline_worth_is_blank_and_says_why(runs, add, chosen):
    add(chosen.changed(lr=1.0))
    (row,) = runs.rows()
    assert row["worth"] is row["speedup"] is None
    assert row["note"]
    table = rows_frame(runs.rows())
    assert table["accuracy, %"].tolist() == [50]
    assert list(rows_frame([])) == list(table)  # as many columns where there is nothing
