"""The lessons as a reader meets them: in JupyterLab, in a browser, run from the menu."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

OPEN_SECONDS = 60
RUN_SECONDS = 240

# In the page: an input prompt reads "[ ]:" before a cell is run, "[*]:" while it waits or runs, "[3]:" after.
# JupyterLab shows tracebacks as it shows stderr.
PROMPTS = ".jp-Notebook .jp-CodeCell .jp-InputPrompt"
STDERR = '.jp-Notebook .jp-OutputArea-output[data-mime-type="application/vnd.jupyter.stderr"]'
FIGURES = ".jp-Notebook .jp-OutputArea-output img"

# In the status bar. (The notebook's own indicator says idle before there is a kernel, and a run asked for
# then comes to nothing.)
KERNEL_IS_IDLE = re.compile(r"^Python.* \| Idle$")

# Run All marks every cell with a star at once; an error takes the stars off the cells after it.
RUN_IS_OVER = f"""() => {{
    const prompts = [...document.querySelectorAll('{PROMPTS}')].map(prompt => prompt.textContent);
    return prompts.some(text => /\\d/.test(text)) && !prompts.some(text => text.includes('*'));
}}"""


ALL = sorted(path.name for path in (Path(__file__).parents[2] / "notebooks").glob("[0-9][0-9]_*.ipynb"))


@pytest.mark.slow
@pytest.mark.parametrize("notebook", ALL)
def test_lesson_runs_from_the_menu_and_shows_its_figure(jupyter, page: Page, notebook: str):
    cells = code_cells(jupyter.folder / notebook)
    page.goto(jupyter.lab_url(notebook))
    kernel = page.get_by_role("button", name=KERNEL_IS_IDLE)
    expect(kernel).to_be_visible(timeout=OPEN_SECONDS * 1000)

    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
    page.wait_for_function(RUN_IS_OVER, timeout=RUN_SECONDS * 1000)
    expect(kernel).to_be_visible()

    assert page.locator(STDERR).filter(has_text="Traceback").all_inner_texts() == []
    assert page.locator(PROMPTS).all_inner_texts() == [f"[{number}]:" for number in range(1, cells + 1)]

    figure = page.locator(FIGURES).first
    expect(figure).to_be_visible()
    figure.scroll_into_view_if_needed()
    assert figure.evaluate("image => image.naturalWidth") > 0, "the figure is an image that does not decode"


def code_cells(notebook: Path) -> int:
    """How many cells of `notebook` get an execution number: the code cells that are not empty."""
    cells = json.loads(notebook.read_text(encoding="utf-8"))["cells"]
    return sum(cell["cell_type"] == "code" and "".join(cell["source"]).strip() != "" for cell in cells)
