from dataclasses import replace

import pytest
from airbench_lab import compare as module
from airbench_lab.compare import company, compare
from airbench_lab.figures.differences import differences

from airbench_core import AIRBENCH94, Parts, train
from airbench_core.speed import random_dataset

OFF = replace(AIRBENCH94, whiten=False)


def test_a_difference_is_paired_by_seed_with_its_interval_in_points():
    drawing = differences(
        {"off": ({0: 0.70, 1: 0.72, 2: 0.74}, {2: 0.72, 0: 0.69, 1: 0.69, 9: 0.1})}, {}, where="a CPU"
    )
    (row,) = drawing.table.to_dict("records")
    assert (row["change"], row["source"], row["n"]) == ("off", "recorded", 3)
    assert row["difference, points"] == pytest.approx(-2.0)
    # Student's t: the differences are -1, -3, -2, their deviation 1, t(2) is 4.303.
    assert (row["low"], row["high"]) == pytest.approx((-2 - 4.3027 / 3**0.5, -2 + 4.3027 / 3**0.5), abs=1e-3)
    assert row["clear of 0"] == "no"
    assert "off, recorded: -2.0 points (n=3)" in drawing.alt


def test_a_single_pair_has_no_interval_and_none_at_all_is_left_out():
    drawing = differences({"gone": ({0: 0.7}, {1: 0.6})}, {"off": ({0: 0.7}, {0: 0.6})}, where="", live_where="a CPU")
    (row,) = drawing.table.to_dict("records")
    assert (row["change"], row["source"], row["n"]) == ("off", "live", 1)
    assert row["low"] != row["low"]
    assert row["clear of 0"] == "one pair: not known"


def test_recorded_and_live_runs_are_two_rows_never_one_mean(monkeypatch):
    data = random_dataset(256, 64)
    live = [train(recipe, data, seed=0, scale="smoke") for recipe in (AIRBENCH94, OFF)]
    own = Parts(whiten=lambda images, eps: Parts().whiten(images, eps))
    live.append(train(OFF, data, seed=1, scale="smoke", parts=own))  # another training: not one of these

    class Recorded:
        hardware = "another CPU"

        def __init__(self, accuracies):
            self.accuracies = accuracies

    found = {AIRBENCH94: Recorded({0: 0.7, 1: 0.72}), OFF: Recorded({0: 0.6, 1: 0.63})}
    monkeypatch.setattr(module, "lookup", lambda recipe, scale, data: found[recipe])
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="smoke", data=data, live=live)
    recorded, ours = drawing.table.to_dict("records")
    assert (recorded["source"], recorded["n"]) == ("recorded", 2)
    assert (ours["source"], ours["n"]) == ("live", 1)
    assert ours["difference, points"] == pytest.approx(100 * (live[1].accuracy - live[0].accuracy))


def test_in_all_company_on_the_recorded_toggles():
    table = company("whiten", False, scale="laptop", data="cifar10").table
    assert len(table) == 16
    assert set(table["n"]) == {3, 5}
    assert table["change"].iloc[0] == "with all others"
    assert table["change"].iloc[-1] == "with none of the others"
    assert table["difference, points"].iloc[0] == pytest.approx(-2.72, abs=0.01)  # as in recorded/README.md


def test_where_nothing_is_recorded_it_says_so():
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="full", data="cifar10")
    assert drawing.table.empty
    assert "none known" in drawing.alt
