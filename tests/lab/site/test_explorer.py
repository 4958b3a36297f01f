"""What the explorer says is what the recorded runs and the paper say."""

import json
import statistics

import pytest
from airbench_lab import replay
from airbench_lab.lessons.regimes import Worth
from airbench_lab.panel import positions
from airbench_lab.site import build
from airbench_lab.site import explorer as made
from airbench_lab.study.settings import with_fields
from airbench_lab.study.statistics import Difference

from airbench_core import AIRBENCH94, BASELINE, AirbenchError


@pytest.fixture(scope="module")
def explored() -> dict:
    return made.explorer()


@pytest.fixture(scope="module")
def values(explored) -> dict:
    return explored["scales"]["laptop"]


def test_a_position_is_what_is_recorded_of_airbench94_with_its_switches_so(values):
    assert positions.key_of(AIRBENCH94) == positions.ALL == "111111"
    assert positions.key_of(BASELINE) == "000000"
    recipe = with_fields(AIRBENCH94, identity_init=False, tta="mirror")
    runs = replay.lookup(recipe, "laptop", "cifar10")
    found = values["positions"]["101101"]
    assert found["n"] == len(runs.records)
    assert found["accuracy"] == pytest.approx(100 * statistics.mean(runs.accuracies.values()), abs=1e-4)
    first = [record["epochs"][0]["accuracy"] for record in runs.records if record["epochs"]]  # not raced
    assert found["points_n"] == len(first)
    assert found["points"][0][:2] == [1, pytest.approx(100 * statistics.mean(first), abs=1e-4)]


def test_every_position_is_recorded(values):
    assert len(values["positions"]) == 2**6
    assert all(low < one["accuracy"] < high for one in values["positions"].values() for low, high in [one["interval"]])


def test_speedups_and_epochs_are_those_of_the_report(values):
    """As `airbench report laptop-epochs.jsonl laptop-regimes.jsonl --reference baseline` has them."""
    all_on, all_off = (values["positions"][key] for key in (positions.ALL, "000000"))
    assert values["target"] == 60.5  # of airbench94, of which n=50 are recorded, to half a point
    assert values["baseline"] == all_off["to_target"]["epochs"] == pytest.approx(28.4, abs=0.1)
    assert all_on["to_target"]["epochs"] == pytest.approx(15.5, abs=0.1)
    assert (all_on["to_target"]["of"], all_off["to_target"]["of"]) == (None, "baseline")
    assert values["positions"]["011000"]["to_target"] is None  # with one length alone
    assert all_on["speedup"] == pytest.approx(1.83, abs=0.01)
    assert all_on["speedup"] > all_off["speedup"]


def test_the_papers_values_are_multiples_of_its_baseline(values):
    paper = {key: one["paper"] for key, one in values["positions"].items()}
    assert paper["000000"] == 1
    assert paper["100000"] == pytest.approx(45 / 21)
    assert paper["111111"] == pytest.approx(45 / 9.9)
    assert paper["101111"] == pytest.approx(45 / 12.7)  # figure 4: identity initialization removed
    assert paper["100001"] == pytest.approx(45 / 20)  # alternating flip added
    assert paper["010000"] is None


def test_a_switch_says_how_it_is_off_on_the_command_line(explored):
    assert [one["off"] for one in explored["switches"]] == [
        *("whiten=false", "identity_init=false", "bias_scale=1", "lookahead=false", "tta=mirror", "flip=random")
    ]


def test_where_nothing_is_recorded_there_is_nothing():
    values = made.explorer(["smoke"])["scales"]["smoke"]
    assert (values["positions"], values["target"], values["baseline"]) == ({}, None, None)


def test_a_scale_at_which_one_position_alone_is_recorded_is_not_offered(monkeypatch):
    positions = {
        "smoke": {},
        "quarter": {"all on": {}},
        "full": {"all on": {}, "all off": {}},
        "laptop": {"a": 1, "b": 2},
    }
    monkeypatch.setattr(replay, "scales", lambda data: list(positions))
    monkeypatch.setattr(made, "_at_scale", lambda scale, data: {"positions": positions[scale]})
    assert list(made.explorer()["scales"]) == ["laptop", "full"]


def test_a_regime_is_in_points_or_says_only_what_it_would_be(monkeypatch):
    gain = Difference(n_a=50, n_b=50, paired=True, difference=0.02, std=0.01, low=0.015, high=0.025)
    worth = Worth(gain, 0.9, 0.5, 0.52, "a processor")
    monkeypatch.setattr(made.regimes, "worth", {"flip": worth}.get)
    whitening, *_, flip, muon = made.explorer([])["regimes"]
    assert (flip["gain"], flip["interval"], flip["n"], flip["lesson"]) == (2, [1.5, 2.5], 50, "07_alternating_flip")
    assert (whitening["name"], muon["name"], flip["hardware"]) == ("whitening", "Muon instead of SGD", "a processor")
    assert "gain" not in whitening


def test_the_page_holds_all_as_legal_json(explored):
    page = build.explorer_html(explored | {"hardware": "</script>"}, "notebooks/")
    model = page.partition("const model = ")[2].partition(";\nrender(")[0]
    json.dumps(explored, allow_nan=False)
    assert json.loads(model) == {"data": explored | {"hardware": "</script>"}, "lessons": "notebooks/"}
    assert page.count("</script>") == 1


def test_without_a_clone_of_the_repository_there_is_no_site(monkeypatch, tmp_path):
    monkeypatch.setattr(build, "ROOT", tmp_path)
    with pytest.raises(AirbenchError, match="no clone"):
        build.build(tmp_path / "site")
    assert not (tmp_path / "site").exists()


@pytest.mark.parametrize(("name", "embedded"), [("00_start_here", 1), ("09_all_together", 1), ("02_whitening", 0)])
def test_a_lesson_keeps_its_cells_and_two_hold_the_explorer(name, embedded):
    file = replay.FOLDER.parents[1] / f"{name}.ipynb"
    notebook = json.loads(file.read_text(encoding="utf-8"))
    shown = build.with_links(notebook, file.name)["cells"]
    assert shown[0]["source"].startswith("".join(notebook["cells"][0]["source"]).partition("\n")[0] + "\n\n")
    assert f'href="{file.name}"' in shown[0]["source"]
    own = [cell for cell in shown[1:] if cell.get("id") != "explorer"]
    assert [{**cell, "metadata": {}} for cell in own] == [{**cell, "metadata": {}} for cell in notebook["cells"][1:]]
    assert len(shown) == len(notebook["cells"]) + embedded


def test_a_picture_is_described_to_those_who_do_not_see_it():
    figure = {"data": {"image/png": "AAAA", "text/plain": "<Panel>"}, "metadata": {"image/png": {"alt": "A curve."}}}
    slider = {"data": {"image/png": "AAAA", "text/plain": ["One line ", "up."]}}
    outputs = [figure, slider, {"text": "1"}]
    cells = [{"source": "# Title\n"}, {"source": "curves()", "metadata": {}, "outputs": outputs}]
    _, shown = build.with_links({"cells": cells}, "02.ipynb")["cells"]
    assert shown["metadata"] == {"mystnb": {"image": {"alt": "A curve. One line up."}}}
