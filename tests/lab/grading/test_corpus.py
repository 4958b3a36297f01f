"""Notebooks as people save them: our marks are those of otter's own grader, in a kernel."""

import json
import subprocess
import sys
import zipfile

import nbformat
import pytest
from airbench_lab.grading.process import Limits
from airbench_lab.grading.submissions import find

RIGHT = "def add(a, b):\n    return a + b"
NUMBERS = "from airbench_lab.grading import personal\nmine = personal(student_id, 'adding')"
CORPUS = {
    "plain": [RIGHT],
    "half right": ["def add(a, b):\n    return 5"],
    "no answer": ["x = 1"],
    "timed": [f"%%time\n{RIGHT}"],
    "magics in lines": [f"%matplotlib inline\n%time x = 1\n{RIGHT}"],
    "shell": [f"!echo 'def add(a, b): return a + b' > helper.py\n{RIGHT}"],
    "a file written": [f"%%writefile airbench_corpus_helper.py\n{RIGHT}", "from airbench_corpus_helper import add"],
    "captured": [f"%%capture\nprint('x')\n{RIGHT}"],
    "await": ["import asyncio\nawait asyncio.sleep(0)", RIGHT],
    "an error before": ["1 / 0", RIGHT],
    "an unknown magic": ["%no_such_magic", RIGHT],
    "numpy's numbers": ["import numpy as np\ndef add(a, b):\n    return np.int64(a + b)"],
    "written twice": ["def add(a, b):\n    return 0", RIGHT],
}


OTTERS = """
import json, sys
from pathlib import Path
from otter.execute import grade_notebook
marks = {}
for place in sorted(Path("work").iterdir()):
    tests = str(Path("tests").resolve())
    made = grade_notebook(
        str(place / "one.ipynb"), tests_glob=[tests + "/q1.py"], cwd=str(place.resolve()), test_dir=tests
    )
    marks[place.name] = made.total, made.possible
Path("marks.json").write_text(json.dumps(marks))
"""


@pytest.mark.slow  # a kernel for each
@pytest.mark.timeout(1800)
def test_marks_are_those_that_otter_gives(adding, assignments, hand_in, tmp_path):
    for name, cells in CORPUS.items():
        first = "import otter\ngrader = otter.Notebook('adding.ipynb')"
        folder = hand_in(f"{name}.ipynb", first, NUMBERS, *cells, student=name)
        place = tmp_path / "work" / name
        place.mkdir(parents=True)
        notebook = nbformat.read(folder / f"{name}.ipynb", as_version=4)
        notebook.cells.insert(0, nbformat.v4.new_code_cell(f"%cd {place}"))
        notebook.metadata["kernelspec"] = {"name": "python3", "display_name": "Python 3", "language": "python"}
        nbformat.write(notebook, place / "one.ipynb")
    with zipfile.ZipFile(next((assignments / "adding" / "autograder").glob("*.zip"))) as archive:
        archive.extractall(tmp_path)
    # In a process of its own: it leaves sockets open, of which Python warns.
    subprocess.run([sys.executable, "-c", OTTERS], cwd=tmp_path, check=True, capture_output=True)
    theirs = json.loads((tmp_path / "marks.json").read_text())
    ours = {}
    for one in find(folder, ["adding"]):
        marks = adding.mark(one, Limits(seconds=20, training=60))
        ours[one.student] = [marks.points, marks.possible]
    assert ours == theirs
    assert ours["timed"] == [3, 3]
