"""One labelled widget for each thing that can be set: a switch, a list, a slider over a few values, a box."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import Field, fields
from typing import Any, get_args

import ipywidgets as widgets

from airbench_core import RECIPES, SCALES, Recipe
from airbench_core.fields import SEEDS, legal
from airbench_lab.panel.settings import MOST_SEEDS, Settings
from airbench_lab.study.names import nearest
from airbench_lab.study.settings import brief, read

FIELDS = {f.name: f for f in fields(Recipe)}

# Values on a slider, of fields whose legal range is too wide for one; a recipe's own value is put among them. So few
# that each is recorded at the laptop scale (benchmarks/recorded.py), changed in the recipe that its lesson starts from.
STEPS: dict[str, tuple] = {
    "whiten_eps": (1e-6, 1e-4, 5e-4, 1e-2, 1),
    "whiten_bias_epochs": (0, 1, 3, 6, None),
    "batchnorm_momentum": (0.3, 0.6, 0.9),
    "bias_scale": (1, 4, 16, 64, 256),
    "depth": (2, 3, 4),
    "translate": (0, 1, 2, 4),
    "cutout": (0, 4, 8, 12),
    "label_smoothing": (0, 0.1, 0.2, 0.4),
    "momentum": (0.5, 0.7, 0.85, 0.95),
    "muon_momentum": (0, 0.3, 0.6, 0.9),
    "newton_schulz_steps": (1, 2, 3, 5, 10),
    "lr_start": (0, 0.2, 1),
    "lr_peak_at": (0, 0.1, 0.23, 0.5, 0.8),
    "lr_end": (0, 0.07, 0.3, 1),
    "proxy_every": (1, 2, 4, 8),
}
ROUNDED = 6  # decimals of epochs: 15.84 is 9.9 times 1.6
WHOLE_LABEL = {"description_width": "initial"}


class Control:
    """A widget for one name of `Settings.value`. changed: called with the name and the value when somebody sets it.

    field: that of the recipe whose values the widget holds as they are written.
    """

    def __init__(
        self, name: str, widget: widgets.Widget, changed: Callable[[str, Any], object], field: Field | None = None
    ):
        self.name, self.widget = name, widget
        self._changed, self._field = changed, field
        widget.observe(self._set, "value")

    def written(self, settings: Settings) -> Any:
        """What the widget holds with these settings."""
        value = settings.value(self.name)
        return brief(value) if self._field else value

    def show(self, settings: Settings) -> None:
        """Set the widget to what was chosen elsewhere."""
        self.widget.unobserve(self._set, "value")  # other options, or another range, change it
        self._fit(settings)
        self.widget.value = self.written(settings)
        self.widget.observe(self._set, "value")

    def _fit(self, settings: Settings) -> None:
        """Make room for the value of these settings."""
        options = self.widget.options if isinstance(self.widget, widgets.SelectionSlider) else None
        if options and self.written(settings) not in options:
            there = [read(self._field, one) for one in options]
            self.widget.options = _options([*there, settings.value(self.name)])

    def _set(self, change: Mapping[str, Any]) -> None:
        self._changed(self.name, read(self._field, change["new"]) if self._field else change["new"])


class RecipeControl(Control):
    """A list of the published recipes: it shows the one from which the fewest values were changed."""

    def written(self, settings: Settings) -> str:
        return nearest(settings.recipe)

    def _set(self, change: Mapping[str, Any]) -> None:
        self._changed(self.name, RECIPES[change["new"]])


class EpochsControl(Control):
    """A box of the epochs that are trained, those on the axis of the plot: the recipe's times the scale's factor."""

    def __init__(self, settings: Settings, changed: Callable[[str, Any], object]):
        tooltip = "as many are trained: the recipe's times the scale's factor; names and calls state the recipe's"
        super().__init__("epochs", widgets.BoundedFloatText(step=0.1, **_about("epochs", tooltip, 135)), changed)
        self.meaning = widgets.HTML()
        self.show(settings)

    def written(self, settings: Settings) -> float:
        return round(settings.scaled.epochs, ROUNDED)

    def _fit(self, settings: Settings) -> None:
        self._factor = SCALES[settings.scale].epochs
        ends = FIELDS["epochs"].metadata
        self.widget.min, self.widget.max = 0, ends["high"] * self._factor  # in this order: a lower one never is above
        self.widget.min = ends["low"] * self._factor
        times = f" times the scale's {self._factor:g}" * (self._factor != 1)
        self.meaning.value = f"(the recipe's {brief(settings.recipe.epochs)}{times})"

    def _set(self, change: Mapping[str, Any]) -> None:
        self._changed(self.name, round(change["new"] / self._factor, ROUNDED))


def trick_control(name: str, settings: Settings, changed: Callable[[str, Any], object]) -> Control:
    """The widget for a field of the recipe, or for `compile`."""
    value = settings.value(name)
    if name == "recipe":
        options = _about("recipe", "a published recipe; what was switched before is forgotten", 220)
        return RecipeControl(name, widgets.Dropdown(options=list(RECIPES), value=nearest(value), **options), changed)
    if name == "compile":
        return Control(name, _checkbox(value, name, "the same mathematics by torch.compile, before the clock"), changed)
    field = FIELDS[name]
    title, tooltip = name.replace("_", " "), f"{name}: {field.metadata['doc']} ({legal(field)})"
    if isinstance(value, bool):
        return Control(name, _checkbox(value, title, tooltip), changed)
    if "choices" in field.metadata:
        options = field.metadata["choices"]
        return Control(name, widgets.Dropdown(options=options, value=value, **_about(title, tooltip, 200)), changed)
    if name in STEPS:
        options, about = _options([*STEPS[name], value]), _about(title, tooltip, 220 + 8 * len(title))
        slider = widgets.SelectionSlider(options=options, value=brief(value), continuous_update=False, **about)
        return Control(name, slider, changed, field)
    if "low" in field.metadata and type(None) not in get_args(field.type):
        kind = widgets.BoundedIntText if field.type is int else widgets.BoundedFloatText
        ends = {"min": field.metadata["low"], "max": field.metadata["high"]}
        return Control(name, kind(value, **ends, **_about(title, tooltip, 200)), changed)
    text = widgets.Text(brief(value), continuous_update=False, **_about(title, tooltip, 200))
    return Control(name, text, changed, field)


def run_controls(settings: Settings, names: Sequence[str], changed: Callable[[str, Any], object]) -> list[Control]:
    """What every panel has: epochs, runs, first seed, scale, data, race. names: of the data sets."""
    scales = "; ".join(f"{name}: {scale.about}" for name, scale in SCALES.items())
    boxes = {
        "seeds": widgets.BoundedIntText(
            settings.seeds, min=1, max=MOST_SEEDS, **_about("runs", "with seeds counted up from the first", 100)
        ),
        "first_seed": widgets.BoundedIntText(
            settings.first_seed,
            min=0,
            max=SEEDS - MOST_SEEDS,
            **_about("first seed", "the next press makes new runs if it is raised", 130),
        ),
        "scale": widgets.Dropdown(options=list(SCALES), value=settings.scale, **_about("scale", scales, 125)),
        "data": widgets.Dropdown(options=list(names), value=settings.data, **_about("data", "the data set", 200)),
        "race": _checkbox(settings.race, "race", "nothing drawn, nothing evaluated between epochs: the honest time"),
    }
    return [EpochsControl(settings, changed), *(Control(name, box, changed) for name, box in boxes.items())]


def _checkbox(value: bool, title: str, tooltip: str) -> widgets.Checkbox:
    about = {"description": title, "tooltip": tooltip, "style": WHOLE_LABEL}
    return widgets.Checkbox(value, indent=False, layout=widgets.Layout(width="auto"), **about)


def _about(title: str, tooltip: str, width: int) -> dict[str, Any]:
    """What all other widgets are given. width: in pixels, with the label."""
    layout = widgets.Layout(width=f"{width}px")
    return {"description": title, "tooltip": tooltip, "style": WHOLE_LABEL, "layout": layout}


def _options(values: Sequence[Any]) -> list[str]:
    """As they are written, each once, in order; none last."""
    numbers = sorted({value for value in values if value is not None})
    return [brief(value) for value in numbers] + ["none"] * (None in values)
