"""Executes the lessons and keeps what they show: `python -m airbench_lab.refresh [NAME ...]`, or `make notebooks`.

At the scale that AIRBENCH_SCALE names, else the laptop scale. What does not last is left out: widgets, which live as
long as their kernel, and the times of cells. A lesson that fails stays as it was.
"""

import os
import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from airbench_lab.badges import for_colab

LESSONS = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
CELL_SECONDS = 600


def refresh(path: Path) -> None:
    """Execute the notebook at `path` in place. Raises CellExecutionError, and then leaves it as it was."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=False,
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    path.write_text(nbformat.writes(stripped(notebook)) + "\n", encoding="utf-8")


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what does not last, or differs from one machine to the next."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python"}
    for number, cell in enumerate(cell for cell in notebook.cells if not for_colab(cell)):
        cell["id"] = f"cell-{number:02d}"
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def main(names: list[str]) -> int:
    os.environ.setdefault("AIRBENCH_SCALE", "laptop")
    paths = [LESSONS / name for name in names] or sorted(LESSONS.glob("[0-9][0-9]_*.ipynb"))
    failed = 0
    for path in paths:
        started = time.monotonic()
        try:
            refresh(path)
        except CellExecutionError as error:
            failed += 1
            print(f"{path.name}: failed and left as it was\n{error}", file=sys.stderr)
        else:
            print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
