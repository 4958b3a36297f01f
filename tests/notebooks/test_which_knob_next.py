"""The page `which_knob_next.md`: short, and its code runs from top to bottom on pictures of somebody's own."""

import re
from pathlib import Path

import torch
from PIL import Image

PAGE = (Path(__file__).parents[2] / "notebooks" / "which_knob_next.md").read_text(encoding="utf-8")
WORDS = 900
GAIN = r": [+-]\d+\.\d points, 95 % interval [+-]\d+\.\d to [+-]\d+\.\d, n=5"


def test_it_is_short():
    assert len(PAGE.split()) <= WORDS


def test_its_code_runs_on_a_folder_of_pictures(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    folder, generator = Path("my_pictures"), torch.Generator().manual_seed(0)
    for shade, name in (60, "dark"), (190, "light"):
        (folder / name).mkdir(parents=True)
        for i in range(100):
            pixels = (torch.rand(32, 32, 3, generator=generator) * 60 + shade).byte().numpy()
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    code = "\n".join(re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL))
    names = {}
    exec(compile(code.replace("epochs=10", "epochs=1"), "the page", "exec"), names)
    printed = capsys.readouterr().out
    for knob in "TTA", "alternating flip", "whitening":
        assert re.search(knob + GAIN, printed), printed
    assert re.search(r"to see half a point of alternating flip: \d+ pairs", printed)
    images, labels = names["train_set"].tensors
    assert (len(images), len(labels), len(names["held_out"])) == (160, 160, 40)
    torch.testing.assert_close(images.mean((0, 2, 3)), torch.zeros(3), atol=0.1, rtol=0)
    whitened = names["train"](0, whiten=True, epochs=1)[0].weight
    assert torch.equal(whitened, names["whitening_filters"](images, eps=5e-4))
