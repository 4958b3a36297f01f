import re
import subprocess
import sys
from pathlib import Path

import pytest

LESSONS = Path(__file__).parents[2] / "notebooks"


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_one_import_gives_the_machine_the_scale_and_the_images_and_says_so(scale, monkeypatch):
    monkeypatch.setenv("AIRBENCH_SCALE", scale)
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    code = (
        "from airbench_lab.preflight import RUNS, data, run_all, runtime, scale\n"
        "run_all('02'), print(*RUNS), print(data.name, runtime.device.type, scale)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, cost, lessons, last = done.stdout.splitlines()
    name = last.split()[0]
    assert last.endswith(scale)
    assert f"scale {scale}: " in said[0]
    assert f"test images of {name}" in said[0]
    assert any("nothing about a trick follows" in line for line in said) == (name == "builtin")
    assert any("mean nothing" in line for line in said) == (scale == "smoke")
    assert done.stderr == ""
    assert cost.startswith("Run All of this lesson: ")
    if scale == "laptop":
        minutes, run = map(float, re.search(r"about ([\d.]+) minutes here \((\d+) s a run", cost).groups())
        assert minutes == pytest.approx(6.4 * run / 60, rel=0.1, abs=0.1)
    assert lessons.split() == sorted(path.name[:2] for path in LESSONS.glob("[0-9]*.ipynb"))


def test_each_lesson_asks_for_its_own_cost():
    for path in LESSONS.glob("[0-9]*.ipynb"):
        assert f'run_all(\\"{path.name[:2]}\\")' in path.read_text()
