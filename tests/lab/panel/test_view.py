"""The widgets, without a browser: what is set in them, by whom, how often."""

import gc
import re
import threading
import time
from time import monotonic as clock

import ipywidgets as widgets
import psutil
import pytest
from airbench_lab.panel import Panel, environment
from airbench_lab.panel.painter import PAUSE

from airbench_core import AIRBENCH94, AIRBENCH94_MUON, Parts, UsageError

SMALL = {"scale": "smoke", "data": "builtin"}
TRICKS = ["whiten", "bias_scale", "lookahead", "flip", "tta", "lr", "whiten_bias_epochs", "widths", "compile"]


@pytest.fixture
def make(monkeypatch):
    """Makes panels as in a notebook; they are closed in the end."""
    monkeypatch.setattr(environment, "shows_widgets", lambda: True)
    made = []

    def panel(*args, **kinds) -> Panel:
        made.append(Panel(*args, **SMALL | kinds))
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


def click(panel: Panel, name: str) -> None:
    panel._view.buttons[name].click()


def test_every_control_has_a_label_and_says_what_it_is(make):
    panel = make(TRICKS)
    kinds = (widgets.Checkbox, widgets.Dropdown, widgets.SelectionSlider, widgets.Text, widgets.Button)
    kinds += (widgets.BoundedFloatText, widgets.BoundedIntText)
    controls = [one for one in everything(panel._view.root) if isinstance(one, kinds)]
    assert len(controls) == len(TRICKS) + 1 + 6 + 4  # Lookahead brings the BatchNorm momentum along
    for control in controls:
        assert control.description
        assert control.tooltip
        assert control.tabbable is not False


@pytest.mark.parametrize(
    ("name", "shown", "chosen"),
    [
        ("whiten", False, False),
        ("bias_scale", "8", 8.0),
        ("batchnorm_momentum", "0.9", 0.9),
        ("flip", "random", "random"),
        ("lr", 9.0, 9.0),
        ("whiten_bias_epochs", "none", None),
        ("widths", "32x64x64", (32, 64, 64)),
        ("epochs", 5.0, 5.0),
    ],
)
def test_a_control_changes_the_recipe_and_a_call_the_control(make, name, shown, chosen):
    panel = make(TRICKS)
    control = panel._view.controls[name].widget
    before = control.value
    control.value = shown
    assert getattr(panel.recipe, name) == chosen
    panel.reset()
    assert control.value == before
    panel.set(**{name: chosen})
    assert control.value == shown


def test_a_value_that_is_not_on_the_slider_is_put_there(make):
    panel = make(TRICKS)
    panel.set(bias_scale=37)
    slider = panel._view.controls["bias_scale"].widget
    assert slider.value == "37"
    assert list(slider.options) == sorted(slider.options, key=float)
    assert panel.recipe.bias_scale == 37


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


def test_a_click_trains_and_a_second_one_is_refused(make):
    panel = make(["whiten"])
    view = panel._view
    picture = view.picture.value
    panel.set(seeds=2)
    click(panel, "run")
    assert panel.state == "running"
    click(panel, "run")
    assert soon(lambda: "a run is on" in view.message.value)
    assert soon(lambda: (view.buttons["run"].button_style, view.buttons["stop"].button_style) == ("", "warning"))
    assert len(panel.result()) == 2
    assert soon(lambda: (view.buttons["run"].button_style, view.buttons["stop"].button_style) == ("primary", ""))
    assert soon(lambda: ">2<" in view.table.value)
    assert view.bar.value == view.bar.max
    assert view.picture.value != picture
    assert bytes(view.picture.value[:4]) == b"\x89PNG"
    assert re.search(r"airbench94, seed 1, done: [\d.]+ % after", view.words.value)
    assert "<td" in view.numbers.value


def test_a_published_recipe_can_be_chosen_with_all_its_fields(make):
    panel = make(["recipe", "bias_scale"])
    chosen = panel._view.controls["recipe"].widget
    assert chosen.value == "airbench94"
    panel.set(bias_scale=1)
    assert chosen.value == "airbench94"  # that from which the fewest values were changed
    chosen.value = "airbench94_muon"
    assert panel.recipe == AIRBENCH94_MUON
    panel.set(recipe=AIRBENCH94)
    assert chosen.value == "airbench94"
    assert panel._view.controls["bias_scale"].widget.value == "64"


def test_a_failure_is_shown(make):
    def broken(*_):
        raise ValueError("a matrix is <singular>")

    panel = make(["whiten"], parts=Parts(whiten=broken))
    click(panel, "run")
    assert soon(lambda: "ValueError: a matrix is &lt;singular&gt;" in panel._view.message.value)
    with pytest.raises(ValueError, match="singular"):
        panel.result()


def test_nothing_is_drawn_while_a_race_is_on(make):
    panel = make(["whiten"])
    view = panel._view
    assert soon(lambda: panel._experiment.measuring is False)
    panel.set(race=True)
    time.sleep(3 * PAUSE)
    drawn = view.picture.value
    changes = []
    view.picture.observe(changes.append, "value")
    view.bar.observe(changes.append, "value")
    during = []
    panel.set(seeds=3)
    click(panel, "run")
    while panel.state == "running":
        during = list(changes)
        time.sleep(0.01)
    assert during == []
    assert soon(lambda: "(race)" in view.table.value)
    assert soon(lambda: "airbench94, race: no curve." in view.words.value)
    assert view.picture.value != drawn  # its legend says so, too
    assert all(result.epochs[0].accuracy is None for result in panel.result())


def test_it_is_painted_by_one_thread_and_at_most_four_times_a_second(make):
    panel = make(["whiten"], seeds=4)
    view = panel._view
    threads, times = set(), {"bar": [], "picture": []}
    for name, at in times.items():
        getattr(view, name).observe(
            lambda _, at=at: (threads.add(threading.current_thread()), at.append(clock())), "value"
        )
    panel.run(wait=True)
    assert soon(lambda: view.bar.value == view.bar.max)
    assert threads == {view.painter._thread}
    for of in times.values():
        assert len(of) > 3
        assert max(sum(first <= at < first + 1 - PAUSE / 2 for at in of) for first in of) <= 4


def test_fifty_short_runs_need_no_more_memory_than_ten(make):
    panel = make(["whiten"])
    panel.set(epochs=1)
    process = psutil.Process()

    def memory(runs: int) -> int:
        for seed in range(runs):
            panel.set(first_seed=seed, whiten=seed % 2 == 0)
            panel.run(wait=True)
        assert soon(lambda: panel._view.bar.value == panel._view.bar.max)
        gc.collect()
        return process.memory_info().rss

    before = memory(10)
    assert memory(50) <= 1.05 * before


def test_a_closed_panel_leaves_no_widget_and_no_thread(make):
    panel = make(["whiten"])
    painter, root = panel._view.painter._thread, panel._view.root
    panel.run()
    panel.close()
    painter.join(10)
    assert not painter.is_alive()
    assert root.comm is None
    panel.close()  # once more does no harm
