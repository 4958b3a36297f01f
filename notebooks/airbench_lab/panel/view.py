"""The panel as widgets, made once in the main thread; what changes in them is set by `paint`."""

import math
from collections.abc import Callable, Sequence
from html import escape
from pathlib import Path
from typing import Any

import anywidget
import ipywidgets as widgets
import traitlets

from airbench_core import AirbenchError
from airbench_lab.figures import Line
from airbench_lab.panel.controls import WHOLE_LABEL, Control, run_controls, trick_control
from airbench_lab.panel.experiment import Experiment, Message
from airbench_lab.panel.painter import DirectPainter, Painter
from airbench_lab.panel.positions import rounded
from airbench_lab.panel.recorded import entry, points
from airbench_lab.panel.runs import HERE
from airbench_lab.panel.settings import Settings
from airbench_lab.panel.snapshot import Snapshot, take_snapshot

STEPS = 1000  # of the progress bar
LOOK_UP_SECONDS = 0.4  # at a time
MARKS = {"info": "", "warning": "Note: ", "error": "Error: "}  # colours alone would not do

KINDS_OF_ROWS = {
    "Switches": widgets.Checkbox,
    "Lists": widgets.Dropdown,
    "Sliders": widgets.SelectionSlider,
    "Values": (widgets.BoundedIntText, widgets.BoundedFloatText, widgets.Text),
}
FOLDER = Path(__file__).parent


class Picture(anywidget.AnyWidget):
    """The curves, the bars and the numbers, drawn by panel.js: also without the kernel, which may be busy.

    controls: the widgets by whose values a recorded setting is found. recorded: `RecordedRuns.near`, as far as it is
    looked up. chosen: of the controls, as the kernel has them. own: the runs made here; live: the latest of them.
    """

    _esm = "\n".join((FOLDER / name).read_text(encoding="utf-8") for name in ("drawing.js", "panel.js"))
    _css = (FOLDER / "drawing.css").read_text(encoding="utf-8")

    controls = traitlets.List().tag(sync=True, **widgets.widget_serialization)
    recorded = traitlets.Dict().tag(sync=True)
    chosen = traitlets.List().tag(sync=True)
    own = traitlets.Dict().tag(sync=True)
    live = traitlets.Dict().tag(sync=True)


class View:
    """The widgets of an experiment. `root` is what is displayed.

    names: of the fields to be switched. foreground: whether all is painted by the thread that trains.
    """

    def __init__(self, experiment: Experiment, names: Sequence[str], foreground: bool):
        self._experiment = experiment
        self._last: Snapshot | None = None
        self._near: Settings | None = None  # of which all that is recorded beside it was looked up
        self._seconds = math.inf if foreground else LOOK_UP_SECONDS
        settings = experiment.settings
        tricks = [trick_control(name, settings, self._on_control) for name in names if name != "epochs"]
        of_run = {one.name: one for one in run_controls(settings, experiment.datasets.names, self._on_control)}
        self.controls: dict[str, Control] = {one.name: one for one in tricks} | of_run
        self._keys = [*tricks, *(of_run[name] for name in ("epochs", "scale", "data"))]
        self.buttons = {
            "run": self._button("Run", "train with what is chosen", "primary", experiment.start),
            "stop": self._button("Stop", "end the run at its next step; its curve stays", "", experiment.stop),
            "reset": self._button("Reset", "the switches back to where they were", "", self._reset),
            "export": self._button("Export", "write the table and the run log", "", experiment.export),
        }
        self.title, self.cost, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.bar = widgets.IntProgress(0, 0, STEPS, description="progress", style=WHOLE_LABEL)
        self.progress = widgets.HTML()
        self.picture = Picture(controls=[one.widget for one in self._keys])
        rows = {
            row: [one.widget for one in tricks if isinstance(one.widget, kinds)] for row, kinds in KINDS_OF_ROWS.items()
        }
        rows |= {
            "Training": [of_run["epochs"].widget, of_run["epochs"].meaning]
            + [of_run[name].widget for name in ("seeds", "first_seed")],
            "Where": [of_run["scale"].widget, of_run["data"].widget],
            "": [*self.buttons.values(), of_run["race"].widget, self.cost],
        }
        self.root = widgets.VBox(
            [
                self.title,
                *(_row([_label(name), *some]) for name, some in rows.items() if some),
                _row([_label(""), self.bar, self.progress, self.message]),
                self.picture,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.root.add_class("airbench-panel")
        self.paint()
        self.painter = (DirectPainter if foreground else Painter)(self.paint)
        experiment.on_change = self.painter.request
        if foreground:
            experiment.on_step = self.painter.poll
        self.painter.request()  # all that is recorded

    def show_settings(self) -> None:
        """Set the controls to what was chosen by a call."""
        for control in self.controls.values():
            control.show(self._experiment.settings)

    def close(self) -> None:
        self.painter.close()
        for widget in self._widgets(self.root):
            widget.close()
        self._last = None

    def paint(self) -> bool:
        """Set what has changed; whether something goes on. For one thread at a time."""
        try:
            return self._paint()
        except Exception as error:  # else it would never be painted again, and nobody would know why
            words = f"the panel cannot be drawn: {type(error).__name__}: {error}"
            self._set(self.message, "value", _said(Message("error", words)))
            return self._experiment.is_active

    def _paint(self) -> bool:
        now = take_snapshot(self._experiment)
        on = now.state in ("running", "stopping")
        # Never disabled: a button that is loses the keyboard's focus. A click that does not fit is refused in words.
        self._set(self.buttons["run"], "button_style", "" if on else "primary")
        self._set(self.buttons["stop"], "button_style", "warning" if now.state == "running" else "")
        self._set(self.title, "value", f"<b>{escape(now.title)}</b>")
        self._set(self.progress, "value", escape(now.progress))
        self._set(self.message, "value", _said(now.message))
        self._set(self.cost, "value", escape(now.cost))
        if now.racing:  # not looked at either, until a run is over or is to stop: looking takes time from the training
            return False
        self._set(self.bar, "value", round(STEPS * now.fraction_done))
        self._draw(now)
        first, self._last = self._last is None, now
        return on if first else not self._look_up(now.settings) or on

    def _draw(self, now: Snapshot) -> None:
        picture = self.picture
        with picture.hold_sync():  # what belongs together arrives together
            rows = [entry(row) for row in now.rows if row["where"] == HERE]
            lines = [_line(one) for one in now.others if not one.recorded]
            self._set(picture, "own", {"rows": rows, "lines": lines})
            losses = [[rounded(one) for one in point] for point in now.losses]
            self._set(picture, "live", {"line": now.live and _line(now.live), "losses": losses, "epochs": now.epochs})
            self._set(picture, "chosen", self._at(now.settings))

    def _look_up(self, settings: Settings) -> bool:
        """Show more of what is recorded of all that the controls can be set to; whether that is all of it.

        A second or two for all: so not at the first painting, and then bit by bit, the nearest first.
        """
        names = {control.name for control in self._keys}
        of = self._near
        if of and settings.scale_and_data == of.scale_and_data and settings.recipe.changes(of.recipe).keys() <= names:
            return True
        now = self._experiment.recorded.near(settings, names, self._at, self._seconds)
        self.picture.recorded = now
        self._near = settings if now["complete"] else None
        return now["complete"]

    def _at(self, settings: Settings) -> list[Any]:
        """What the controls hold with these settings."""
        return [control.written(settings) for control in self._keys]

    def _button(self, text: str, tooltip: str, style: str, do: Callable[[], object]) -> widgets.Button:
        layout = widgets.Layout(width="80px")
        button = widgets.Button(description=text, tooltip=tooltip, button_style=style, layout=layout)
        button.on_click(lambda _: self._try(do))
        return button

    def _on_control(self, name: str, value: Any) -> None:
        done = self._try(lambda: self._experiment.set(**{name: value}))
        if not done or name in ("recipe", "scale", "epochs"):  # which others depend on
            self.show_settings()
        self._experiment.measure_cost()

    def _reset(self) -> None:
        self._experiment.reset()
        self.show_settings()
        self._experiment.measure_cost()

    def _try(self, do: Callable[[], object]) -> bool:
        try:
            do()
        except AirbenchError as error:
            self._experiment.show_error(error)
            return False
        return True

    @staticmethod
    def _set(widget: widgets.Widget, name: str, value: Any) -> None:
        if getattr(widget, name) != value:
            setattr(widget, name, value)

    def _widgets(self, widget: widgets.Widget) -> list[widgets.Widget]:
        children = [one for child in getattr(widget, "children", ()) for one in self._widgets(child)]
        return [*children, widget]


def _row(children: Sequence[widgets.Widget]) -> widgets.Box:
    return widgets.Box(children, layout=widgets.Layout(flex_flow="row wrap", align_items="center", grid_gap="0 14px"))


def _label(text: str) -> widgets.HTML:
    return widgets.HTML(f"<b>{text}</b>", layout=widgets.Layout(width="64px"))


def _line(line: Line) -> dict[str, Any]:
    return {"name": line.label, "state": line.state, "points": points(line)}


def _said(message: Message) -> str:
    text = escape(MARKS[message.kind] + message.text)
    role = "alert" if message.kind == "error" else "status"
    return f'<div class="airbench-{message.kind}" role="{role}">{text}</div>'
