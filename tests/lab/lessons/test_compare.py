from dataclasses import replace

import pytest
from airbench_lab.data import load_dataset
from airbench_lab.figures.differences import differences
from airbench_lab.lessons import compare as module
from airbench_lab.lessons.compare import compare
from airbench_lab.speed import random_dataset

from airbench_core import AIRBENCH94, Parts, train

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
    assert "Recorded on a CPU, n=3 pairs." in note(drawing)
    assert not drawing.legends  # one series alone


def test_the_rows_stand_as_they_were_given_and_the_note_says_how_many_pairs_they_have():
    three, five = ({seed: (0.7 + 0.01 * seed) * (1 + side) / 2 for seed in range(n)} for n, side in ((3, 0), (5, 1)))
    recorded = {"a": (three, five), "b": ({}, {}), "c": (five, five)}
    live = {"a": ({}, {}), "b": ({0: 0.7}, {0: 0.6}), "c": ({0: 0.7}, {0: 0.6}), "d": ({}, {})}
    drawing = differences(recorded, live, where="a CPU", live_where="another")
    assert drawing.table["change"].tolist() == ["a", "b", "c", "c"]
    assert [label.get_text() for label in drawing.axes[0].get_yticklabels()] == ["a", "b", "c"]
    assert "Recorded on a CPU, n=3 to 5 pairs." in note(drawing)
    assert "Live: another, n=1 pair; a single pair has no interval" in note(drawing)
    assert [text.get_text() for text in drawing.legends[0].get_texts()] == ["recorded", "live"]


def test_a_single_pair_has_no_interval_and_none_at_all_is_left_out():
    drawing = differences({"gone": ({0: 0.7}, {1: 0.6})}, {"off": ({0: 0.7}, {0: 0.6})}, where="", live_where="a CPU")
    (row,) = drawing.table.to_dict("records")
    assert (row["change"], row["source"], row["n"]) == ("off", "live", 1)
    assert row["low"] != row["low"]
    assert row["clear of 0"] == "one pair: not known"


def note(drawing):
    return " ".join(drawing.get_supxlabel().split())


class Recorded:
    def __init__(self, accuracies, hardware="another CPU"):
        self.accuracies, self.hardware = accuracies, hardware


def test_runs_of_two_kinds_of_hardware_are_never_a_pair(monkeypatch):
    shorter = replace(AIRBENCH94, epochs=5)
    found = {
        AIRBENCH94: Recorded({0: 0.7, 1: 0.72}),
        OFF: Recorded({0: 0.6, 1: 0.63}, "a GPU"),
        shorter: Recorded({0: 0.5, 1: 0.51}),
    }
    folders = []
    monkeypatch.setattr(module, "lookup", lambda recipe, scale, data, folder: folders.append(folder) or found[recipe])
    changes = {"off": (AIRBENCH94, OFF), "shorter": (AIRBENCH94, shorter)}
    drawing = compare(changes, scale="smoke", data="cifar10", folder="somewhere")
    assert drawing.table["change"].tolist() == ["shorter"]
    said = "Recorded on another CPU, n=2 pairs. Left out, since the two sides were recorded on different hardware: off."
    assert note(drawing) == said
    assert set(folders) == {"somewhere"}
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="smoke", data="cifar10")
    assert "different hardware: off." in drawing.alt
    assert "Nothing of this is recorded" not in drawing.alt


def test_recorded_and_live_runs_are_two_rows_never_one_mean(monkeypatch):
    data = random_dataset(256, 64)
    live = [train(recipe, data, seed=0, scale="smoke") for recipe in (AIRBENCH94, OFF)]
    own = Parts(whiten=lambda images, eps: Parts().whiten(images, eps))
    live.append(train(OFF, data, seed=1, scale="smoke", parts=own))  # another training: not one of these
    live += [
        train(recipe, data, seed=2, scale="smoke", seeds={"order": 1}) for recipe in (AIRBENCH94, OFF)
    ]  # nor these

    found = {AIRBENCH94: Recorded({0: 0.7, 1: 0.72}), OFF: Recorded({0: 0.6, 1: 0.63})}
    monkeypatch.setattr(module, "lookup", lambda recipe, scale, data, folder: found[recipe])
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="smoke", data=data, live=live)
    recorded, ours = drawing.table.to_dict("records")
    assert (recorded["source"], recorded["n"]) == ("recorded", 2)
    assert (ours["source"], ours["n"]) == ("live", 1)
    assert ours["difference, points"] == pytest.approx(100 * (live[1].accuracy - live[0].accuracy))


def test_at_a_scale_of_which_nothing_is_recorded_the_laptop_s_runs_stand_beside_the_live_ones(noise):
    """As on a GPU, whose lessons run at full scale."""
    drawing = compare({"off": (AIRBENCH94, OFF)}, scale="full", data="cifar10")
    assert drawing.table["source"].tolist() == ["recorded"]
    assert "at the laptop scale, since nothing of this is recorded at scale full, n=" in note(drawing)
    assert compare({"off": (AIRBENCH94, OFF)}, scale="full", data=noise).table.empty  # other images


def test_beside_runs_on_drawn_pictures_stand_those_on_cifar10_and_each_says_what_it_was_made_on():
    pairs, drawn = {"off": (AIRBENCH94, OFF)}, load_dataset("builtin")
    live = [train(recipe, drawn, seed=0, scale="smoke") for recipe in (AIRBENCH94, OFF)]
    [recorded] = compare(pairs, scale="laptop", data="cifar10").table.to_dict("records")
    drawing = compare(pairs, scale="laptop", data=drawn, live=live)
    assert drawing.table.to_dict("records") == [recorded]  # the live ones are of another scale
    assert note(drawing).startswith("Recorded on CIFAR-10, ")
    said = note(compare(pairs, scale="smoke", data=drawn, live=live))
    assert "Live: drawn pictures, which say nothing about a trick, on " in said


def test_where_nothing_is_recorded_it_says_so():
    drawing = compare({"off": (AIRBENCH94, replace(OFF, lr=1.0))}, scale="full", data="cifar10")
    assert drawing.table.empty
    assert "none known" in drawing.alt
    (said,) = (text.get_text() for text in drawing.texts)
    assert said == "Nothing of this is recorded at this scale on these images."
    assert said in drawing.alt
    assert not drawing.axes
