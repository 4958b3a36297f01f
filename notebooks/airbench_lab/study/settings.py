"""Settings of a recipe's fields as one writes them: flip=random, widths=64x256x256, whiten=false."""

import difflib
from collections.abc import Iterable
from dataclasses import Field, fields, replace
from typing import Any

from airbench_core.errors import UsageError
from airbench_core.fields import shown
from airbench_core.recipes import Recipe

WORDS = {"true": True, "false": False, "none": None}
_FIELDS: dict[str, Field] = {f.name: f for f in fields(Recipe)}


def with_fields(recipe: Recipe, /, **values: Any) -> Recipe:
    """`dataclasses.replace` that answers an unknown field with the known ones."""
    return replace(recipe, **{field_named(name).name: value for name, value in values.items()})


def field_named(name: str) -> Field:
    if name in _FIELDS:
        return _FIELDS[name]
    near = difflib.get_close_matches(name, _FIELDS, n=1, cutoff=0.5)
    guess = f"did you mean {near[0]}? " if near else ""
    raise UsageError(f"unknown recipe field {name!r}; {guess}The fields are {', '.join(_FIELDS)}")


def parse_field(setting: str) -> tuple[str, Any]:
    """The field and value of a setting such as "flip=random", "widths=64x256x256" or "whiten=false"."""
    ((name, text),) = split_settings([setting]).items()
    return name, read(field_named(name), text)


def split_settings(settings: Iterable[str]) -> dict[str, str]:
    """The texts of several settings by their fields. Raises UsageError for what is none, and for a field set twice."""
    found: dict[str, str] = {}
    for setting in settings:
        name, equals, text = setting.partition("=")
        if not equals:
            raise UsageError(f"cannot read {setting!r}: write FIELD=VALUE, such as flip=random")
        if name in found:
            raise UsageError(f"{name} is set twice, to {found[name]} and to {text}: set it once")
        found[name] = text
    return found


def read(f: Field, text: str) -> Any:
    """The value that `text` writes, not yet checked; the text itself where the field is one or it writes none."""
    if "choices" in f.metadata:
        return text
    if text.lower() in WORDS:
        return WORDS[text.lower()]
    for kind in int, float, _widths:
        try:
            return kind(text)
        except ValueError:
            pass
    return text


def _widths(text: str) -> tuple[int, ...]:
    return tuple(map(int, text.split("x")))


def brief(value: Any) -> str:
    """A value as `shown`, a number with nine digits at most: for the names of runs, 3.96 for 3.9600000000000004."""
    return f"{value:.9g}" if isinstance(value, float) else shown(value)
