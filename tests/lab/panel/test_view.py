"""The widgets, without a browser: what is set in them, by whom, how often."""

import json
import threading
import time
from base64 import b64decode
from dataclasses import replace
from time import monotonic as clock

import ipywidgets as widgets
import pytest
from airbench_lab.panel import Panel, environment, runner
from airbench_lab.panel.painter import PAUSE

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, Parts, UsageError

TRICKS = ["recipe", "whiten", "bias_scale", "lookahead", "flip", "tta", "lr", "whiten_bias_epochs", "widths", "compile"]


@pytest.fixture
def make(monkeypatch, noise):
    """Makes panels as in a notebook; they are closed in the end."""
    monkeypatch.setattr(environment, "shows_widgets", lambda: True)
    made = []

    def panel(*args, **kinds) -> Panel:
        made.append(Panel(*args, scale="smoke", data=noise, **kinds))
        return made[-1]

    yield panel
    for one in made:
        one.close()


def soon(what, seconds: float = 10) -> bool:
    """Whether `what` comes true in time: painting is done by another thread."""
    end = time.monotonic() + seconds
    while not (true := what()) and time.monotonic() < end:
        time.sleep(0.02)
    return true


def everything(widget: widgets.Widget) -> list[widgets.Widget]:
    return [widget, *(one for child in getattr(widget, "children", ()) for one in everything(child))]


def test_every_control_has_a_label_and_a_change_of_either_side_is_one_of_both(make):
    panel = make(TRICKS)
    view = panel._view
    kinds = (widgets.Checkbox, widgets.Dropdown, widgets.SelectionSlider, widgets.Text, widgets.Button)
    kinds += (widgets.BoundedFloatText, widgets.BoundedIntText)
    controls = [one for one in everything(view.root) if isinstance(one, kinds)]
    assert len(controls) == len(TRICKS) + 1 + 6 + 4  # Lookahead brings the BatchNorm momentum along
    assert all(control.description and control.tooltip and control.tabbable is not False for control in controls)
    for name, shown, chosen in (
        ("whiten", False, False),
        ("bias_scale", "4", 4.0),
        ("batchnorm_momentum", "0.9", 0.9),
        ("flip", "random", "random"),
        ("lr", 9.0, 9.0),
        ("whiten_bias_epochs", "none", None),
        ("widths", "32x64x64", (32, 64, 64)),
        ("epochs", 3.0, 10.0),  # at this scale 0.3 of the recipe's are trained, and the box shows those
    ):
        control = view.controls[name].widget
        before = control.value
        control.value = shown
        assert getattr(panel.recipe, name) == chosen
        panel.reset()
        assert control.value == before
        panel.set(**{name: chosen})
        assert control.value == shown
    panel.set(bias_scale=37)  # a value that is not on the slider is put there
    slider, published = view.controls["bias_scale"].widget, view.controls["recipe"].widget
    assert slider.value == "37"
    assert list(slider.options) == sorted(slider.options, key=float)
    assert published.value == "airbench94"  # that from which the fewest values were changed
    published.value = "airbench94_muon"
    assert panel.recipe == AIRBENCH94_MUON
    panel.set(recipe=AIRBENCH94)
    assert (published.value, slider.value) == ("airbench94", "64")


def test_what_is_not_legal_is_refused_with_the_reason_and_the_control_goes_back(make):
    panel = make(TRICKS)
    widths = panel._view.controls["widths"].widget
    widths.value = "64x256"
    assert widths.value == "64x256x256"
    assert soon(lambda: "widths=64x256 is not legal" in panel._view.message.value)
    assert 'role="alert"' in panel._view.message.value
    assert "Error: " in panel._view.message.value  # not by its colour alone
    with pytest.raises(UsageError, match="seeds=0"):
        panel.set(seeds=0)


def test_a_click_trains_and_a_second_one_is_refused_and_one_thread_paints_four_times_a_second_at_most(
    make, monkeypatch
):
    monkeypatch.setattr(runner.Trainer, "STEP", 0.02)
    panel = make(["whiten"], seeds=4)
    view = panel._view
    threads, times = set(), {"bar": [], "picture": []}
    for name, trait in ("bar", "value"), ("picture", "live"):
        getattr(view, name).observe(
            lambda _, at=times[name]: (threads.add(threading.current_thread()), at.append(clock())), trait
        )

    def styles() -> tuple[str, str]:
        return view.buttons["run"].button_style, view.buttons["stop"].button_style

    view.buttons["run"].click()
    assert panel.state == "running"
    view.buttons["run"].click()
    assert soon(lambda: "a run is on" in view.message.value and styles() == ("", "warning"))
    assert len(panel.result()) == 4
    assert soon(lambda: styles() == ("primary", "") and view.bar.value == view.bar.max)
    assert soon(lambda: [row["n"] for row in view.picture.own["rows"]] == [4])
    assert threads == {view.painter._thread}
    for of in times.values():
        assert len(of) > 3
        assert max(sum(first <= at < first + 1 - PAUSE / 2 for at in of) for first in of) <= 4
    live = view.picture.live
    assert (live["line"]["name"], live["line"]["state"]) == ("airbench94, seed 3", "done")
    assert len(live["line"]["points"]) == 3
    assert live["epochs"] == panel._experiment.settings.scaled.epochs
    assert live["losses"]
    page, metadata = panel._repr_mimebundle_()
    assert "application/vnd.jupyter.widget-view+json" in page
    assert b64decode(page["image/png"]).startswith(b"\x89PNG")
    assert "<caption>The runs made here" in page["text/html"]
    assert metadata["image/png"]["alt"].startswith("Test accuracy")
    assert make(holdout=64)._repr_mimebundle_()[1]["image/png"]["alt"].startswith("Held-out accuracy")


def test_a_failure_is_shown(make):
    def broken(*_):
        raise ValueError("a matrix is <singular>")

    panel = make(["whiten"], parts=Parts(whiten=broken))
    panel._view.buttons["run"].click()
    assert soon(lambda: "ValueError: a matrix is &lt;singular&gt;" in panel._view.message.value)


def test_nothing_is_drawn_while_a_race_is_on(make, monkeypatch):
    monkeypatch.setattr(runner.Trainer, "STEP", 0.01)
    panel = make(["whiten"])
    view = panel._view
    assert soon(lambda: panel._experiment.is_measuring is False)
    panel.set(race=True, seeds=3)
    time.sleep(2 * PAUSE)
    changes, during = [], []
    view.picture.observe(changes.append)
    view.bar.observe(changes.append, "value")
    view.buttons["run"].click()
    while panel.state == "running":
        during = list(changes)
        time.sleep(0.01)
    assert during == []
    assert soon(lambda: [row["timed"] for row in view.picture.own["rows"]] == ["race"])
    assert soon(lambda: view.picture.live["line"] and view.picture.live["line"]["state"] == "race")
    assert view.picture.live["losses"] == []


def test_a_setting_is_found_among_the_recorded_ones_by_what_the_controls_hold(
    made, trained, recorded, cpu, run_costs, monkeypatch
):
    """As the page finds it, without the kernel: whatever kind the controls are of."""
    monkeypatch.setattr(environment, "shows_widgets", lambda: True)
    plain = replace(AIRBENCH94, whiten=False, bias_scale=1, tta="mirror", epochs=20)
    recorded([*made(AIRBENCH94, [0.7, 0.71]), *made(plain, [0.6, 0.61])])
    panel = Panel(["recipe", *TRICKS[1:]], scale="laptop", data="cifar10", runtime=cpu)
    picture = panel._view.picture
    assert soon(lambda: picture.recorded.get("complete"))

    def page() -> dict | None:
        held = [getattr(one, "label", one.value) for one in picture.controls]
        found = [one for one in picture.recorded["positions"] if json.dumps(one["at"]) == json.dumps(held)]
        return found[0] if found else None

    assert page()["name"] == "airbench94"
    json.dumps(picture.recorded, allow_nan=False)
    for name, value in ("whiten", False), ("bias_scale", "1"), ("tta", "mirror"), ("epochs", 32.0):
        panel._view.controls[name].widget.value = value
    assert page()["name"] == "airbench94 whiten=false epochs=20 bias_scale=1 tta=mirror"
    panel._view.controls["lookahead"].widget.value = False
    assert page() is None
    assert soon(lambda: picture.chosen == panel._view._at(panel._experiment.settings))
    panel.set(scale="smoke")
    assert soon(lambda: picture.recorded["scale"] == "smoke" and picture.recorded["positions"] == [])
    panel.close()


def test_a_closed_panel_leaves_no_widget_and_no_thread(make):
    panel = make(["whiten"])
    painter, root = panel._view.painter._thread, panel._view.root
    panel.run()
    panel.close()
    painter.join(10)
    assert not painter.is_alive()
    assert root.comm is None
    panel.close()  # once more does no harm
