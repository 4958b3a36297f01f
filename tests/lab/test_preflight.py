import runpy

import pytest


@pytest.mark.parametrize("scale", ["smoke", "laptop"])
def test_one_import_gives_the_machine_the_scale_and_the_images_and_says_so(scale, monkeypatch, capsys):
    monkeypatch.setenv("AIRBENCH_SCALE", scale)
    monkeypatch.delenv("AIRBENCH_DATA", raising=False)
    made = runpy.run_module("airbench_lab.preflight")
    said, name = capsys.readouterr(), made["data"].name
    assert made["scale"] == scale
    assert said.out.startswith(f"{made['runtime'].device_name}, ")
    assert f"scale {scale}: " in said.out
    assert f"test images of {name}" in said.out
    assert ("nothing about a trick follows" in said.out) == (name == "builtin")
    assert ("mean nothing" in said.out) == (scale == "smoke")
    assert said.err == ""
