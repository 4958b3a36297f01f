import subprocess
import sys

import pytest


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_one_import_gives_the_machine_the_scale_and_the_images_and_says_so(scale, monkeypatch):
    monkeypatch.setenv("AIRBENCH_SCALE", scale)
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    code = "from airbench_lab.preflight import data, runtime, scale; print(data.name, runtime.device.type, scale)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    *said, last = done.stdout.splitlines()
    name = last.split()[0]
    assert last.endswith(scale)
    assert f"scale {scale}: " in said[0]
    assert f"test images of {name}" in said[0]
    assert any("nothing about a trick follows" in line for line in said) == (name == "builtin")
    assert any("mean nothing" in line for line in said) == (scale == "smoke")
    assert done.stderr == ""
