"""A lesson that is executed again is kept without what does not last; one that fails stays as it was."""

import base64
import json

import nbformat
import pytest
from airbench_lab import refresh


@pytest.fixture
def lesson(tmp_path, monkeypatch):
    monkeypatch.setattr(refresh, "LESSONS", tmp_path)
    monkeypatch.setenv("AIRBENCH_SCALE", "smoke")

    def write(*cells: str):
        notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
        path = tmp_path / "00_lesson.ipynb"
        nbformat.write(notebook, path)
        return path

    return write


def test_outputs_are_made_anew_and_widgets_are_not_kept(lesson, capsys):
    path = lesson("import ipywidgets\nipywidgets.IntSlider()", "import os\nprint(os.environ['AIRBENCH_SCALE'], 1 + 1)")
    assert refresh.main([]) == 0
    notebook = json.loads(path.read_text())
    slider, text = notebook["cells"]
    assert "".join(text["outputs"][0]["text"]) == "smoke 2\n"
    assert "application/vnd.jupyter.widget-view+json" not in slider["outputs"][0]["data"]
    assert slider["outputs"][0]["data"]["text/plain"]  # what a page without widgets shows instead
    assert "widgets" not in notebook["metadata"]
    assert [cell["id"] for cell in notebook["cells"]] == ["cell-00", "cell-01"]
    assert not any("execution" in cell["metadata"] for cell in notebook["cells"])
    assert "00_lesson.ipynb" in capsys.readouterr().out


def test_sliders_leave_the_picture_that_they_show_first(lesson):
    cells = [
        "import io\nimport ipywidgets as widgets\nfrom PIL import Image",
        "def drawn(width):\n    out = io.BytesIO()\n    Image.new('L', (width, 1)).save(out, 'png')\n"
        "    return out.getvalue()",
        "picture = widgets.Image(format='png', value=drawn(3))\nslider = widgets.IntSlider()\n"
        "slider.observe(lambda change: setattr(picture, 'value', drawn(9)), 'value')\n"
        "picture.value = drawn(5)\nwidgets.VBox([slider, widgets.HBox([picture])])",
    ]
    path = lesson(*cells)
    assert refresh.main([]) == 0
    data = json.loads(path.read_text())["cells"][-1]["outputs"][0]["data"]
    width = int.from_bytes(base64.b64decode("".join(data["image/png"]))[16:20])
    assert width == 5
    assert "".join(data["text/plain"]) == refresh.MOVE
    assert refresh.WIDGET not in data


def test_a_panel_leaves_its_picture_and_its_table_as_outputs_of_their_own(lesson):
    """Where both are one output, pages show the HTML alone."""
    path = lesson("from airbench_lab.panel import Panel\nPanel()")
    assert refresh.main([]) == 0
    picture, table = (output["data"] for output in json.loads(path.read_text())["cells"][0]["outputs"])
    assert picture.keys() == {"image/png", "text/plain"}
    assert table.keys() == {"text/html"}


def test_a_lesson_that_fails_stays_as_it_was(lesson, capsys):
    path = lesson("print(1)", "1 / 0")
    before = path.read_bytes()
    assert refresh.main(["00_lesson.ipynb"]) == 1
    assert path.read_bytes() == before
    assert "ZeroDivisionError" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("cell", "said"), [("import os; os._exit(1)", "died"), ("import time; time.sleep(99)", "timed")]
)
def test_a_kernel_that_dies_or_takes_too_long_fails_its_lesson_alone(cell, said, lesson, capsys, monkeypatch):
    monkeypatch.setattr(refresh, "CELL_SECONDS", 2)
    whole = lesson("print(1)")
    whole.rename(whole.with_name("01_whole.ipynb"))
    lesson(cell)
    assert refresh.main([]) == 1
    printed = capsys.readouterr()
    assert printed.err.startswith("00_lesson.ipynb: failed and left as it was\n")
    assert said in printed.err
    assert printed.out.startswith("01_whole.ipynb: ")
