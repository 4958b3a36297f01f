"""Executes the lessons and keeps what they show: `python -m airbench_lab.refresh [NAME ...]`, or `make notebooks`.

At the scale that AIRBENCH_SCALE names, else the laptop scale. What does not last is left out: widgets, which live as
long as their kernel, and the times of cells. Of sliders that move a picture, the picture stays, as they first show it.
A lesson that fails stays as it was.
"""

import os
import sys
import time
from base64 import b64decode, b64encode
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, DeadKernelError

from airbench_lab.figures.drawing import fewer_colours

LESSONS = Path(__file__).parents[1]
WIDGET = "application/vnd.jupyter.widget-view+json"
MOVE = "what the sliders show first; run the cell to move them"
CELL_SECONDS = 600


def refresh(path: Path) -> None:
    """Execute the notebook at `path` in place. Raises CellControlSignal or DeadKernelError, and leaves it as it was."""
    notebook = nbformat.read(path, as_version=4)
    client = NotebookClient(
        notebook,
        timeout=CELL_SECONDS,
        kernel_name="python3",
        record_timing=False,
        store_widget_state=True,  # for their pictures; `stripped` takes it out
        resources={"metadata": {"path": str(path.parent)}},
    )
    client.execute()
    _keep_pictures(notebook, client)
    path.write_text(nbformat.writes(stripped(notebook)) + "\n", encoding="utf-8")


def _keep_pictures(notebook: nbformat.NotebookNode, client: NotebookClient) -> None:
    """Put the picture that a widget shows beside it, for pages that show no widgets, such as GitHub's."""
    for cell in notebook.cells:
        for output in list(cell.get("outputs", [])):
            data = output.get("data", {})
            if WIDGET not in data:
                continue
            if found := _picture(data[WIDGET]["model_id"], client):
                small = b64encode(fewer_colours(b64decode(found))).decode()
                data |= {"image/png": small, "text/plain": MOVE}
            elif "image/png" in data:  # a panel's: as an output of its own, or HTML beside it is all that is shown
                beside = nbformat.v4.new_output("display_data", {"text/html": data.pop("text/html")})
                cell.outputs.insert(cell.outputs.index(output) + 1, beside)


def _picture(model: str, client: NotebookClient) -> str | None:
    """The PNG, in base64, of the widget `model` or of the first of its children that has one."""
    state = client.widget_state.get(model, {})
    if state.get("_model_name") == "ImageModel" and state.get("format") == "png":
        buffers = client.widget_buffers.get(model, {}).values()
        return next((buffer["data"] for buffer in buffers if buffer["path"] == ["value"]), None)
    children = (child.removeprefix("IPY_MODEL_") for child in state.get("children", []))
    return next((found for child in children if (found := _picture(child, client))), None)


def stripped(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """Without what does not last, or differs from one machine to the next."""
    notebook.metadata.pop("widgets", None)
    notebook.metadata["language_info"] = {"name": "python", "file_extension": ".py"}  # nbconvert writes scripts by it
    for number, cell in enumerate(notebook.cells):
        cell["id"] = f"cell-{number:02d}"
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            output.get("data", {}).pop(WIDGET, None)
    return notebook


def main(names: list[str]) -> int:
    os.environ.setdefault("AIRBENCH_SCALE", "laptop")
    os.environ["AIRBENCH_RUNS"] = ""  # a page shows what itself has trained
    paths = [LESSONS / name for name in names] or sorted(LESSONS.glob("[0-9][0-9]_*.ipynb"))
    failed = 0
    for path in paths:
        started = time.monotonic()
        try:
            refresh(path)
        except (CellControlSignal, DeadKernelError) as error:
            failed += 1
            print(f"{path.name}: failed and left as it was\n{error}", file=sys.stderr)
        else:
            print(f"{path.name}: {time.monotonic() - started:.0f} s, {path.stat().st_size / 1000:.0f} kB", flush=True)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
