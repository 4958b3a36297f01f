import faulthandler
import importlib.util
import os
import sys
import time
from pathlib import Path

import pytest

FILE = Path(__file__).parents[2] / "benchmarks" / "convolutions.py"


@pytest.fixture
def convolutions(monkeypatch):
    spec = importlib.util.spec_from_file_location("convolutions", FILE)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "convolutions", module)
    spec.loader.exec_module(module)
    return module


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes cannot be forked here")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_crashes_hangs_and_wrong_numbers_are_told_apart_and_the_rest_goes_on(convolutions, monkeypatch):
    shape = convolutions.Shape("1x1", 1, 1, 1, 1)
    todo = [convolutions.Case(shape._replace(into=n), "float32", "contiguous") for n in range(7)]

    def work(_, first, last, say):
        faulthandler.disable()  # in this child: its crash is meant
        for number in range(first, last):
            say(f"at {number}")
            if number == 1:
                os.abort()
            if number == 3:
                time.sleep(60)
            if number in (4, 6):
                say(f"wrong {number} output off by 1")
        say("done")

    monkeypatch.setattr(convolutions, "work", work)
    found = [(what, said, case.shape.into) for what, said, case in convolutions.check(todo, patience=1)]
    assert found == [
        ("crash", "by SIGABRT", 1),
        ("hang", "hung", 3),
        ("wrong", "output off by 1", 4),
        ("wrong", "output off by 1", 6),
    ]


def test_wrong_gradients_are_found(convolutions, monkeypatch):
    todo = convolutions.cases([convolutions.Shape("3x3", 3, 5, 4, 2), convolutions.Shape("2x2", 3, 24, 25, 2, True)])
    said = []
    convolutions.work(todo, 0, len(todo), said.append)
    assert said == [*(f"at {number}" for number in range(len(todo))), "done"]
    plain = convolutions.results

    def results(case, *given):
        found = plain(case, *given)
        if case.layout == "channels_last":
            found[2] = found[2] * (1.1 if given[0].dtype.itemsize < 8 else 1)
        return found

    monkeypatch.setattr(convolutions, "results", results)
    said.clear()
    convolutions.work(todo, 0, len(todo), said.append)
    wrong = [line.split()[1:5] for line in said if line.startswith("wrong")]
    assert wrong == [[str(n), "gradient", "of", "weight"] for n, c in enumerate(todo) if c.layout == "channels_last"]


def test_all_pairs_of_few_channels_and_all_sides_are_there(convolutions):
    shapes = convolutions.shapes()
    for kind in convolutions.KINDS:
        some = [shape for shape in shapes if shape.kind == kind]
        assert {(s.into, s.out) for s in some} > {(a, b) for a in range(1, 41) for b in range(1, 41)}
        assert {(s.into, s.side) for s in some} > {(a, side) for a in range(1, 8) for side in range(1, 33)}
    assert {s.side for s in shapes if s.kind == "2x2"} == set(range(25, 49))


@pytest.mark.parametrize("isa", ["AVX2", None])
def test_what_networks_ask_for_is_right_on_this_processor(isa, convolutions):
    """A hundredth of the shapes, as on an ordinary processor and with all that this one has."""
    if isa not in (None, *convolutions.here()):
        pytest.skip("this processor has no AVX2, or does not say so")
    told = convolutions.under(isa or (convolutions.here() or ["DEFAULT"])[-1], "--sample", "0.01")
    assert sum(row[3] for row in told["rows"]) > 400
    assert told["offenders"] == []
