"""The panel as widgets, made once in the main thread; what changes in them is set by `paint`."""

from collections.abc import Callable, Sequence
from html import escape
from typing import Any

import ipywidgets as widgets

from airbench_core import AirbenchError
from airbench_lab.figures import LiveCurves, table_html
from airbench_lab.panel.controls import WHOLE_LABEL, Control, run_controls, trick_control
from airbench_lab.panel.experiment import Experiment, Message
from airbench_lab.panel.painter import DirectPainter, Painter
from airbench_lab.panel.snapshot import Snapshot, take_snapshot
from airbench_lab.panel.tables import rows_html

STEPS = 1000  # of the progress bar
MARKS = {"info": "", "warning": "Note: ", "error": "Error: "}  # colours alone would not do

# The page's own colours, so that the dark theme is readable too.
STYLE = """<style>
.airbench-panel { border: 1px solid var(--jp-border-color1, #bdbdbd); border-radius: 4px; padding: 8px; }
.airbench-panel .widget-html-content { line-height: 1.4; }
.airbench-panel table { border-collapse: collapse; font-size: 12px; margin: 0; }
.airbench-panel th, .airbench-panel td {
  text-align: left; padding: 2px 10px 2px 0; border-bottom: 1px solid var(--jp-border-color2, #ddd); }
.airbench-panel .airbench-error { border-left: 4px solid #D55E00; padding-left: 6px; font-weight: 600; }
.airbench-panel .airbench-warning { border-left: 4px solid #E69F00; padding-left: 6px; }
.airbench-panel .airbench-info { padding-left: 10px; }
.airbench-panel .airbench-unseen {
  position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
.airbench-panel img { max-width: 100%; height: auto; }
.airbench-panel :focus-visible { outline: 2px solid #0072B2; outline-offset: 1px; }
</style>"""


class View:
    """The widgets of an experiment. `root` is what is displayed.

    names: of the fields to be switched. foreground: whether all is painted by the thread that trains.
    """

    def __init__(self, experiment: Experiment, names: Sequence[str], foreground: bool):
        self._experiment = experiment
        self._last: Snapshot | None = None
        self._curves: tuple[Any, LiveCurves] | None = None
        settings = experiment.settings
        self.controls: dict[str, Control] = {
            control.name: control
            for control in (
                *(trick_control(name, settings, self._on_control) for name in names),
                *run_controls(settings, experiment.datasets.names, self._on_control),
            )
        }
        self.buttons = {
            "run": self._button("Run", "train with what is chosen", "primary", experiment.start),
            "stop": self._button("Stop", "end the run at its next step; its curve stays", "", experiment.stop),
            "reset": self._button("Reset", "the switches back to where they were", "", self._reset),
            "export": self._button("Export", "write the table and the run log", "", experiment.export),
        }
        self.title, self.cost, self.message = widgets.HTML(), widgets.HTML(), widgets.HTML()
        self.bar = widgets.IntProgress(0, 0, STEPS, description="progress", style=WHOLE_LABEL)
        self.progress = widgets.HTML()
        self.picture = widgets.Image(format="png", layout=widgets.Layout(max_width="100%", align_self="flex-start"))
        self.words = widgets.HTML()
        self.table = widgets.HTML(layout=widgets.Layout(overflow="auto"))
        self.numbers = widgets.HTML(layout=widgets.Layout(max_height="240px", overflow="auto"))
        folded = widgets.Accordion([self.numbers], titles=("The numbers of the curves as a table",))
        self.root = widgets.VBox(
            [
                self.title,
                _row([self.controls[name].widget for name in names]),
                _row([control.widget for name, control in self.controls.items() if name not in names]),
                _row([*self.buttons.values(), self.cost]),
                _row([self.bar, self.progress]),
                self.message,
                self.picture,
                self.words,
                self.table,
                folded,
            ],
            layout=widgets.Layout(width="100%"),
        )
        self.root.add_class("airbench-panel")
        self.paint()
        self.painter = (DirectPainter if foreground else Painter)(self.paint)
        experiment.on_change = self.painter.request
        if foreground:
            experiment.on_step = self.painter.poll

    def show_settings(self) -> None:
        """Set the controls to what was chosen by a call."""
        for name, control in self.controls.items():
            control.show(self._experiment.settings.value(name))

    def close(self) -> None:
        self.painter.close()
        for widget in self._widgets(self.root):
            widget.close()
        self._curves = self._last = None

    def paint(self) -> bool:
        """Set what has changed; whether something goes on. For one thread at a time."""
        try:
            return self._paint()
        except Exception as error:  # else it would never be painted again, and nobody would know why
            words = f"the panel cannot be drawn: {type(error).__name__}: {error}"
            self._set(self.message, "value", _line(Message("error", words)))
            return self._experiment.is_active

    def _paint(self) -> bool:
        now = take_snapshot(self._experiment)
        on = now.state in ("running", "stopping")
        # Never disabled: a button that is loses the keyboard's focus. A click that does not fit is refused in words.
        self._set(self.buttons["run"], "button_style", "" if on else "primary")
        self._set(self.buttons["stop"], "button_style", "warning" if now.state == "running" else "")
        self._set(self.title, "value", f"{STYLE}<b>{escape(now.title)}</b>")
        self._set(self.progress, "value", escape(now.progress))
        self._set(self.message, "value", _line(now.message))
        self._set(self.cost, "value", escape(now.cost))
        if now.racing:  # not looked at either, until a run is over or is to stop: looking takes time from the training
            return False
        self._set(self.bar, "value", round(STEPS * now.fraction_done))
        self._draw(now)
        if self._last is None or now.rows != self._last.rows or now.settings != self._last.settings:
            self._set(self.table, "value", rows_html(now.rows, self._experiment.reference_name))
        self._last = now
        return on

    def _draw(self, now: Snapshot) -> None:
        about = (now.epochs, now.others)
        if self._last is not None and about == (self._last.epochs, self._last.others) and now.live == self._last.live:
            return
        if self._curves is None or self._curves[0] != about:
            self._curves = about, LiveCurves(now.epochs, now.others)
        curves = self._curves[1]
        if now.live is not None:
            curves.update(now.live)
        self.picture.value = curves.png()
        self._set(self.words, "value", f'<span class="airbench-unseen">{escape(curves.figure.alt)}</span>')
        self._set(self.numbers, "value", table_html(curves.figure))

    def _button(self, text: str, tooltip: str, style: str, do: Callable[[], object]) -> widgets.Button:
        layout = widgets.Layout(width="80px")
        button = widgets.Button(description=text, tooltip=tooltip, button_style=style, layout=layout)
        button.on_click(lambda _: self._try(do))
        return button

    def _on_control(self, name: str, value: Any) -> None:
        if not self._try(lambda: self._experiment.set(**{name: value})):
            self.controls[name].show(self._experiment.settings.value(name))
        elif name == "recipe":  # all its fields with it
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


def _line(message: Message) -> str:
    text = escape(MARKS[message.kind] + message.text) or "&nbsp;"
    role = "alert" if message.kind == "error" else "status"
    return f'<div class="airbench-{message.kind}" role="{role}">{text}</div>'
