"""Fields of a frozen dataclass that check their values, print them and read them from text.

A field is declared by `number`, `choice`, `switch` or `channels`; its metadata say what is legal (`legal`) and what it
means (`doc`). `None` is legal where the field's type says so.
"""

from dataclasses import Field, field
from numbers import Integral, Real
from typing import Any, get_args

from airbench_core.errors import UsageError


def number(default: float | None, low: float, high: float, doc: str, *, below: bool = False) -> Any:
    """A number from `low` to `high`; `below` keeps it under `high`."""
    legal = f"{low:,} or more, below {high:,}" if below else f"{low:,} to {high:,}"
    return field(default=default, metadata={"legal": legal, "doc": doc, "low": low, "high": high, "below": below})


def choice(default: str, *choices: str, doc: str) -> Any:
    """One of a few words."""
    return field(default=default, metadata={"legal": " or ".join(choices), "doc": doc, "choices": choices})


def switch(default: bool, doc: str) -> Any:
    """True or false."""
    return field(default=default, metadata={"legal": "true or false", "doc": doc})


def channels(*default: int, doc: str) -> Any:
    """A few numbers of channels, written 64x256x256."""
    legal = f"whole numbers from 1 to 4096, such as {shown(default)}"
    return field(default=default, metadata={"legal": legal, "doc": doc})


def legal(f: Field) -> str:
    """What is legal for the field, in words."""
    whole = "a whole number, " * (_kind(f) is int)
    return whole + f.metadata["legal"] + " or none" * _may_be_none(f)


def checked(f: Field, value: Any) -> Any:
    """`value` in the field's own type. Raises UsageError with the field, the value and what is legal."""
    if value is None and _may_be_none(f):
        return None
    kind = _kind(f)
    if kind is str:
        ok = value in f.metadata["choices"]
    elif kind is bool:
        ok = isinstance(value, bool)
    elif kind in (int, float):
        low, high = f.metadata["low"], f.metadata["high"]
        ok = isinstance(value, Real) and not isinstance(value, bool) and low <= value <= high
        ok = ok and not (f.metadata["below"] and value == high) and (kind is float or value == int(value))
    else:
        ok = isinstance(value, tuple | list) and all(_is_width(width) for width in value)
    if not ok:
        raise UsageError(f"{f.name}={shown(value)} is not legal: {legal(f)}")
    if kind is str:
        return value
    return tuple(map(int, value)) if kind is tuple else kind(value)


def _is_width(value: Any) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool) and 0 < value <= 4096


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def brief(value: Any) -> str:
    """A value as `shown`, a number with nine digits at most: for the names of runs, 3.96 for 3.9600000000000004."""
    return f"{value:.9g}" if isinstance(value, float) else shown(value)


def read(f: Field, text: str) -> Any:
    """The value that `text` writes for the field, not yet checked. Raises UsageError where it writes none."""
    kind = _kind(f)
    if text.lower() == "none" and _may_be_none(f):
        return None
    try:
        if kind is str:
            return text
        if kind is bool:
            return {"true": True, "false": False}[text.lower()]
        if kind is tuple:
            return tuple(int(width) for width in text.split("x"))
        return int(text) if text.lstrip("-").isdigit() else float(text)
    except (ValueError, KeyError):
        raise UsageError(f"{f.name}={text} is not legal: {legal(f)}") from None


def _may_be_none(f: Field) -> bool:
    return type(None) in get_args(f.type)


def _kind(f: Field) -> type:
    """int, float, bool, str or tuple."""
    kinds = [kind for kind in get_args(f.type) if kind is not type(None)] if _may_be_none(f) else [f.type]
    return getattr(kinds[0], "__origin__", kinds[0])
