"""Where the panel runs: what can be shown there, and which cell is being executed."""

import hashlib
import sys
from importlib.util import find_spec
from typing import Any, NamedTuple


class Cell(NamedTuple):
    """A cell that is being executed: `place` is the same when it is executed again, `execution` is not."""

    place: str
    execution: str


def shows_widgets() -> bool:
    """Whether this is a notebook's kernel, and what makes widgets is installed."""
    return getattr(_ipython(), "kernel", None) is not None and all(map(find_spec, ("ipywidgets", "anywidget")))


def needs_foreground() -> bool:
    """Whether the front end shows nothing of what a thread does: Colab (googlecolab/colabtools#3373)."""
    return "google.colab" in sys.modules


def cell() -> Cell | None:
    """The cell that is being executed; None outside a notebook.

    Known by the identity that JupyterLab, Notebook and VS Code send along; where there is none, by its text.
    """
    shell = _ipython()
    if getattr(shell, "kernel", None) is None:
        return None
    request = shell.get_parent() or {}
    text = request.get("content", {}).get("code", "")
    place = request.get("metadata", {}).get("cellId") or hashlib.sha256(text.encode()).hexdigest()
    return Cell(place, request.get("header", {}).get("msg_id", ""))


def _ipython() -> Any:
    module = sys.modules.get("IPython")  # where it is not even imported, nobody is in it
    return module.get_ipython() if module else None
