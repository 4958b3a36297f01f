"""What differs between an answer and the right one, in one line; the same for all exercises."""

from typing import Any

import torch
from torch import Tensor

TOLERANCE = 1e-3  # relative to the largest entry: rounding, not mistakes


def difference(yours: dict[str, Any], right: dict[str, Any], tolerance: float = TOLERANCE) -> str:
    """The first of the named values of `right` that `yours` has not, or has otherwise; "" if there is none.

    Numbers, tensors, arrays and lists of numbers are compared up to rounding, and must have the shape and kind of the
    right ones (bool, integer or real, complex). All else must be equal.
    """
    for name, value in right.items():
        try:
            found = _compared(name, yours.get(name), value, tolerance)
        except Exception as error:  # an answer holds anything, such as a tensor on the device meta
            found = f"{name} cannot be compared: {error}".partition("\n")[0]
        if found:
            return found[0].upper() + found[1:]
    return ""


def values(answer: Any, *names: str) -> dict[str, Any]:
    """The values of an answer that should be a tuple, list or array of so many, for `difference`."""
    if not isinstance(answer, tuple | list) and not getattr(answer, "ndim", 0):
        return {"the answer": answer if answer is None else kind(answer)}
    return {"the answer": f"{len(answer)} value{'s' * (len(answer) != 1)}", **dict(zip(names, answer, strict=False))}


def kind(value: Any) -> str:
    """What an answer is, in a few words."""
    if isinstance(value, Tensor):
        return f"a tensor {tuple(value.shape)} of {_kind(value)}"
    if isinstance(value, list | tuple) and value and all(type(one) in (int, float) for one in value):
        return f"a {type(value).__name__} of {len(value)} numbers"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"the number {value:.6g}"
    return repr(value)[:40] if isinstance(value, bool | str) else f"of the type {type(value).__name__}"


def _compared(name: str, yours: Any, right: Any, tolerance: float) -> str:
    if yours is None or right is None:
        return "" if yours is right else f"{name} is None: is there a `return`?"
    if isinstance(right, str | dict) or isinstance(yours, str):
        return "" if yours == right else f"{name}: yours is {yours}, right is {right}."
    if isinstance(right, Tensor) and not isinstance(yours, Tensor):
        return f"{name}: yours is {kind(yours)}, right is {kind(right)}."
    try:
        x, y = torch.as_tensor(yours), torch.as_tensor(right)
    except (TypeError, ValueError, RuntimeError):
        shown = right if isinstance(right, list | tuple) else torch.as_tensor(right)
        return f"{name}: yours is {kind(yours)}, right is {kind(shown)}."
    if x.shape != y.shape:
        if x.ndim == y.ndim == 1:
            return f"{name}: yours has {len(x)} entries, right are {len(y)}."
        return f"{name}: yours has the shape {tuple(x.shape)}, right is {tuple(y.shape)}."
    if _kind(x) != _kind(y):
        return f"{name}: yours holds {_kind(x)}, right holds {_kind(y)}."
    return _entries(name, x.detach().cpu().double(), y.detach().cpu().double(), y.dtype == torch.bool, tolerance)


def _kind(value: Tensor) -> str:
    return "bools" if value.dtype == torch.bool else "complex numbers" if value.is_complex() else "numbers"


def _entries(name: str, x: Tensor, y: Tensor, are_bool: bool, tolerance: float) -> str:
    """x, y: float64 of one shape."""
    wrong = ~_close(x, y, tolerance)
    if not wrong.any():
        return ""
    at = tuple(wrong.nonzero()[0].tolist())
    shown = [str(bool(value[at])) if are_bool else f"{float(value[at]) + 0:.6g}" for value in (x, y)]  # no -0
    one = f"yours is {shown[0]}, right is {shown[1]}."
    if x.numel() == 1:
        return f"{name}: {one}"
    count = "all" if wrong.all() else f"{int(wrong.sum())} of"
    more = _relation(x, y, tolerance) if not are_bool else " Each is the opposite." if wrong.all() else ""
    return f"{name}: {count} {x.numel()} entries differ. The first is {list(at)}: {one}{more}"


def _relation(x: Tensor, y: Tensor, tolerance: float) -> str:
    """How all entries stand to the right ones, where that can be said in a few words."""
    if not torch.isfinite(x).all():
        return " Is something divided by 0, or a root taken of less than 0?"
    if not x.any():
        return " All of yours are 0."
    times = float((x * y).sum() / (y * y).sum().clamp(min=1e-30))
    if abs(times - 1) > 10 * tolerance and _close(x, times * y, tolerance).all():
        return " All have the wrong sign." if abs(times + 1) < tolerance else f" All are {times:.4g} times the right."
    more = float((x - y).mean())
    if abs(more) > 10 * tolerance * float(y.abs().max()) and _close(x, y + more, tolerance).all():
        return f" All are {abs(more):.4g} too {'large' if more > 0 else 'small'}."
    if _close(x.flatten().sort().values, y.flatten().sort().values, tolerance).all():
        return " They are the right numbers in another order."
    return ""


def _close(x: Tensor, y: Tensor, tolerance: float) -> Tensor:
    """Entry by entry; what is no number is like what is none either."""
    scale = float(y.nan_to_num(0.0).abs().max()) if y.numel() else 0.0
    return ((x - y).abs() <= tolerance * scale + 1e-12) | (x == y) | (x.isnan() & y.isnan())
