"""Fields of a frozen dataclass that check their values and print them.

A field is declared by `number`, `choice`, `switch` or `channels`; its metadata say what is legal (`legal`) and what it
means (`doc`). `None` is legal where the field's type says so.
"""

from dataclasses import Field, field
from numbers import Integral, Real
from typing import Any, get_args

from airbench_core.errors import UsageError


def number(default: float | None, low: float, high: float, doc: str) -> Any:
    """A number from `low` to `high`."""
    return field(default=default, metadata={"legal": f"{low:,} to {high:,}", "doc": doc, "low": low, "high": high})


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
    kind, may_be_none = _kind(f)
    return "a whole number, " * (kind is int) + f.metadata["legal"] + " or none" * may_be_none


def checked(f: Field, value: Any) -> Any:
    """`value` in the field's own type. Raises UsageError with the field, the value and what is legal."""
    kind, may_be_none = _kind(f)
    if value is None and may_be_none:
        return None
    if kind is str:
        ok = value in f.metadata["choices"]
    elif kind is bool:
        ok = isinstance(value, bool)
    elif kind is tuple:
        ok = isinstance(value, tuple | list) and all(_is(Integral, width) and 0 < width <= 4096 for width in value)
        value = tuple(map(int, value)) if ok else value
    else:
        ok = _is(Real, value) and f.metadata["low"] <= value <= f.metadata["high"]
        ok = ok and (kind is float or value == int(value))
    if not ok:
        raise UsageError(f"{f.name}={shown(value)} is not legal: {legal(f)}")
    return kind(value)


SEEDS = 2**31  # more would not be told apart: PyTorch's generator for the CPU looks at 32 bits, one is for the proxy


def whole(name: str, value: Any, low: int, high: int) -> int:
    """A whole number of any kind (Python's, numpy's) as an int. Raises UsageError for others, and beyond the limits."""
    if not _is(Integral, value) or not low <= value <= high:
        raise UsageError(f"{name}={value!r} is not legal: a whole number, {low:,} to {high:,}")
    return int(value)


def shown(value: Any) -> str:
    """A value as it is written on the command line."""
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    return "x".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _is(kind: type, value: Any) -> bool:
    return isinstance(value, kind) and not isinstance(value, bool)


def _kind(f: Field) -> tuple[type, bool]:
    """int, float, bool, str or tuple; and whether None is legal."""
    kinds = get_args(f.type) if type(None) in get_args(f.type) else (f.type,)
    return getattr(kinds[0], "__origin__", kinds[0]), len(kinds) > 1
