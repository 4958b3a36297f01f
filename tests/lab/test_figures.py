"""What holds for every figure: it can be read, by whoever sees it and by whoever does not."""

import io
import itertools
import subprocess
import sys
from base64 import b64decode
from pathlib import Path

import matplotlib
import numpy as np
import pandas as pd
import pytest
import torch
from airbench_lab import figures
from airbench_lab.figures import STYLES, Drawing, Line, LiveCurves, png, table_html
from airbench_lab.figures.curves import EARLIER, RECORDED
from airbench_lab.speedrun import chance_to_pass
from airbench_lab.study.frames import frame
from airbench_lab.study.studies import WHITENED, ablation
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from PIL import Image

from airbench_core.published import LADDER, RECIPES
from airbench_core.tricks.flip import flip_mask

SOURCES = sorted((Path(figures.__file__).parent).glob("*.py"))
HARDWARE = "Intel(R) Xeon(R) Processor, bfloat16, 1 thread"


def gallery() -> list[str]:
    return list(_DRAW)


def _ladder(made, trained):
    rungs = [run for rung in LADDER[2:] for run in made(rung.recipe, [0.7, 0.72, 0.71], compile=rung.compile)]
    return figures.ladder(frame([*rungs, *made(LADDER[0].recipe, [0.7])]))


def _ladder_epochs(made, trained):
    return figures.ladder(frame([run for rung in LADDER[:6] for run in trained(rung.recipe)]), 0.76)


def _add_remove(made, trained):
    runs = [run for variant in ablation()[:8] for run in trained(variant.recipe)]
    return figures.add_remove(frame([*runs, *trained(WHITENED, 0.9)]), 0.8)


def _flops(made, trained):
    names = ("baseline", "airbench94", "airbench94_muon", "airbench95", "airbench96", "airbench96_faster")
    return figures.flops_against_error(
        frame([run for i, name in enumerate(names) for run in made(RECIPES[name], [0.7 + i / 50, 0.72 + i / 50])])
    )


def _lines(made) -> list[Line]:
    long = "baseline whiten=true whiten_bias_epochs=1.2 identity_init=true epochs=5.4 bias_scale=64"
    own = [Line(label=long, epochs=[1, 2, 3], accuracies=[0.5, 0.6, 0.7 + i / 50], state="stopped") for i in range(4)]
    many = [[0.5, 0.6, 0.65], [0.52, 0.61, 0.66]]
    return [*own, *(Line(label=long, epochs=[1, 2, 3], accuracies=many, recorded=HARDWARE) for _ in range(4))]


def _live(made, trained):
    live = LiveCurves(9.9, _lines(made))
    live.update(Line(label=_lines(made)[0].label, epochs=[1, 2], accuracies=[0.5, 0.6], state="running"))
    return live.figure


def _filters(made, trained):
    weights = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    return figures.filters(torch.cat([weights, -weights]))


def _covariances(made, trained):
    patches = np.random.default_rng(0).normal(size=(50, 12)) @ np.diag(np.geomspace(100, 1, 12))
    return figures.covariances(patches.T @ patches / 50, np.eye(12))


def _flips(made, trained):
    first, generator = torch.rand(1000) < 0.5, torch.Generator().manual_seed(0)
    ways = ("random", "alternating")
    return figures.flip_calendar(
        {way: torch.stack([flip_mask(way, epoch, first, generator) for epoch in range(16)]) for way in ways}
    )


def _sides(made, trained):
    images = torch.linspace(0, 255, 5 * 3 * 32 * 32).to(torch.uint8).reshape(5, 3, 32, 32)
    masks = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    return figures.sides(images, {"random": masks[0], "alternating": masks[1]})


def _singular(made, trained):
    values = np.geomspace(0.5, 0.01, 64)
    return figures.singular_values({"before": values, "after 1 step": values**0.5, "after 3 steps": values**0.1})


def _depths(made, trained):
    maps = np.random.default_rng(0).random((2, 7, 31, 31))
    return figures.depths(dict(zip(("random", "identity"), maps, strict=True)))


def _by_layer(made, trained):
    lines = {"random": [0.2, 0.1, 0.15, 0.2, 0.3, 0.2], "identity": [0.5, 0.1, 0.1, 0.2, 0.1, 0.1]}
    return figures.by_layer({"norm of the gradient": lines, "agreement of 8 batches (cosine)": lines}, "convolution")


def _sums(made, trained):
    names = ("whiten + identity_init + bias_scale", "all five", "lookahead + flip")
    effects = {name: ({0: -6.0, 1: -7.0 - i}, {0: -3.0, 1: -1.0}) for i, name in enumerate(names)}
    return figures.sums(effects, where=f"Recorded at the laptop scale on CIFAR-10, {HARDWARE}")


def _board(made, trained):
    row = {"rank": "1", "entry": "airbench94_muon with 6 epochs", "seconds": 10.0, "seconds, low": 9.5}
    row |= {"seconds, high": 11.0, "sure": 0.9375, "accuracy, %": 71.0, "accuracy, low": 70.4, "accuracy, high": 71.6}
    low = row | {"rank": "fails", "entry": "too short a training", "accuracy, %": 67.0, "accuracy, low": 66.0}
    rows = [row | {"n": 5}, row | {"rank": "2", "seconds": 10.5, "n": 5}, low | {"accuracy, high": 68.0, "n": 25}]
    return figures.board(rows, target=70.5, where="scale laptop, cifar10")


def _schedules(made, trained):
    names = ("triangle: up to 20 %, then down to 0", "no way up", "constant")
    return figures.schedules(
        dict(zip(names, (np.linspace(0.2, 1, 40), np.linspace(1, 0, 40), np.ones(40)), strict=True))
    )


def _epochs_to(made, trained):
    curve = {epochs: {seed: 0.6 + epochs / 100 + seed / 200 for seed in range(5)} for epochs in (2, 4, 8, 18)}
    later = {epochs: {seed: value - 0.05 for seed, value in of.items()} for epochs, of in curve.items()}
    return figures.epochs_to({"airbench94": curve, "baseline": later}, 0.65, f"scale laptop, cifar10, {HARDWARE}")


def _seconds(made, trained):
    parts = {"augmentation": 0.1, "forward, backward, optimizer, schedule": 13.2, "inference": 2.0}
    return figures.seconds(parts, f"Estimated from half a second of each on this machine: {HARDWARE}.")


def _titled(made, trained):
    titles = [f"epoch {epoch}: mirrored, down 2, right 1" for epoch in range(1, 9)]
    return figures.titled(np.random.default_rng(0).random((8, 3, 32, 32)), titles)


def _trajectories(made, trained):
    values = np.cumsum(np.random.default_rng(0).normal(size=(80, 64)), axis=0)
    panels = {"bias scale 1": values / 64, "bias scale 64": values}
    return figures.trajectories(panels, value="bias of the last BatchNorm", mark=63, marked="whitening bias frozen")


_DRAW = {
    "ladder": _ladder,
    "ladder epochs": _ladder_epochs,
    "add_remove": _add_remove,
    "flops": _flops,
    "curves": lambda made, trained: figures.curves(_lines(made)),
    "live": _live,
    "live, nothing yet": lambda made, trained: LiveCurves(3.96).figure,
    "filters": _filters,
    "covariances": _covariances,
    "flips": _flips,
    "sides": _sides,
    "views": lambda made, trained: figures.views(np.random.default_rng(0).random((3, 32, 32))),
    "singular values": _singular,
    "depths": _depths,
    "by layer": _by_layer,
    "sums": _sums,
    "pictures": lambda made, trained: figures.pictures(
        {name: np.random.default_rng(0).random((8, 3, 32, 32)) for name in ("as stored", "dropped: the easiest")},
        {"as stored": ["automobile"] * 8},
    ),
    "board": _board,
    "board, nothing yet": lambda made, trained: figures.board([], target=70.5, where="scale laptop, cifar10"),
    "passing": lambda made, trained: figures.passing(chance_to_pass, 0.78, (5, 10, 25, 100)),
    "schedules": _schedules,
    "smoothed losses": lambda made, trained: figures.smoothed_losses([0, 0.2, 0.5]),
    "epochs to": _epochs_to,
    "seconds": _seconds,
    "break even": lambda made, trained: figures.break_even(1.2, 30, 0.9),
    "break even, never": lambda made, trained: figures.break_even(0.9, 30, 1.2),
    "launches": lambda made, trained: figures.launches(5, [3] * 12),
    "launches, long work": lambda made, trained: figures.launches(5, [400] * 12),
    "titled": _titled,
    "trajectories": _trajectories,
}


@pytest.fixture(params=gallery(), scope="module")
def drawing(request, made, trained) -> Drawing:
    return _DRAW[request.param](made, trained)


def test_no_text_is_cut_off_or_lies_on_another_or_is_small(drawing, shown):
    texts = shown(drawing)
    width, height = drawing.bbox.size
    assert len(texts) > 5
    for one in texts:
        assert one.points >= 9, one
        assert 0 <= one.box.x0 <= one.box.x1 <= width, one
        assert 0 <= one.box.y0 <= one.box.y1 <= height, one
    for one, other in itertools.combinations(texts, 2):
        across = min(one.box.x1, other.box.x1) - max(one.box.x0, other.box.x0)
        along = min(one.box.y1, other.box.y1) - max(one.box.y0, other.box.y0)
        assert min(across, along) <= 1, (one, other)  # lines of text may touch


def test_it_is_a_figure_of_its_shown_size_on_opaque_white(drawing):
    assert isinstance(drawing, Figure)
    assert drawing.get_figwidth() * drawing.dpi <= 800  # what JupyterLab has room for, so that points stay points
    picture = Image.open(io.BytesIO(png(drawing)))
    assert picture.size == tuple(round(side) for side in drawing.bbox.size)
    pixels = np.asarray(picture.convert("RGBA"))
    assert (pixels[..., 3] == 255).all()
    for corner in (0, 0), (0, -1), (-1, 0), (-1, -1):
        assert tuple(pixels[corner][:3]) == (255, 255, 255)
    assert 0.005 < (pixels[..., :3] < 200).any(-1).mean() < 0.6  # neither blank nor black


def test_its_table_is_there_for_a_screen_reader(drawing):
    page = drawing._repr_html_()
    assert f'alt="{drawing.alt[:20]}' in page
    assert table_html(drawing) in page
    assert "<details><summary>" in page
    assert page.count('<th scope="col"') == len(drawing.table.columns)
    assert page.count("<tr>") == len(drawing.table) + 1
    assert len(drawing.alt) > 40
    assert drawing.alt.endswith(".")
    assert "nan" not in page.replace("NVIDIA", "").lower().split("<details>")[1]


def test_a_notebook_gets_twice_the_pixels_that_it_shows():
    drawing = LiveCurves(3.96).figure
    page = drawing._repr_html_()
    picture = Image.open(io.BytesIO(b64decode(page.partition("base64,")[2].partition('"')[0])))
    assert 'width="800"' in page
    assert picture.width == 1600


def test_what_a_notebook_has_set_changes_nothing(made, trained):
    plain = [png(_DRAW[name](made, trained)) for name in ("ladder", "live")]
    with matplotlib.style.context(["dark_background", {"font.size": 22, "font.family": "serif", "lines.linewidth": 9}]):
        assert [png(_DRAW[name](made, trained)) for name in ("ladder", "live")] == plain
        assert matplotlib.rcParams["font.size"] == 22


def test_markup_in_a_label_is_text():
    evil = Line(label='<b>"run" for $x^$', epochs=[1], accuracies=[0.5])
    page = figures.curves([evil])._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;run&quot;" in page


def test_the_cells_of_a_table_say_what_is_missing():
    drawing = Drawing(pd.DataFrame({"a": [float("nan"), float("inf"), 12.3456], "n": [1, 2, 3]}), "words", 2)
    page = table_html(drawing)
    for cell in ("none", "not bounded", "12.35", "3"):
        assert f">{cell}</td>" in page


def test_pyplot_is_nowhere():
    code = "import sys, airbench_lab.figures; sys.exit('matplotlib.pyplot' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
    for source in SOURCES:
        assert "import matplotlib.pyplot" not in source.read_text()
        assert "plt." not in source.read_text()


# Machado, Oliveira and Fernandes, IEEE Transactions on Visualization and Computer Graphics 15 (2009), severity 1
SIGHT = {
    "all colours": np.eye(3),
    "no red": [[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]],
    "no green": [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]],
    "no blue": [[1.255528, -0.076749, -0.178779], [-0.078411, 0.930809, 0.147602], [0.004733, 0.691367, 0.303900]],
}


def _lab(colour: str, sight) -> np.ndarray:
    """CIELAB of a colour as it is seen; a difference of 2 is just noticed."""
    srgb = np.array(to_rgb(colour))
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    seen = np.clip(np.array(sight) @ linear, 0, 1)
    to_xyz = [[0.4124564, 0.3575761, 0.1804375], [0.2126729, 0.7151522, 0.0721750], [0.0193339, 0.1191920, 0.9503041]]
    x, y, z = np.cbrt(to_xyz @ seen / [0.95047, 1, 1.08883])
    return np.array([116 * y - 16, 500 * (x - y), 200 * (y - z)])


@pytest.mark.parametrize("sight", SIGHT.values(), ids=SIGHT)
def test_any_two_colours_can_be_told_apart(sight):
    for a, b in itertools.combinations([*(style.colour for style in STYLES), "white"], 2):
        assert np.linalg.norm(_lab(a, sight) - _lab(b, sight)) > 15, (a, b)


def test_no_two_series_share_dashes_or_a_marker():
    assert len({style.dashes for style in STYLES}) == len({style.marker for style in STYLES}) == len(STYLES) == 7
    assert len({"solid", *EARLIER, *RECORDED}) == 1 + len(EARLIER) + len(RECORDED)


def test_the_lines_of_a_figure_are_drawn_so(made, trained):
    for name in "curves", "live", "singular values", "flips", "by layer":
        for axes in _DRAW[name](made, trained).findobj(matplotlib.axes.Axes):
            series = [line for line in axes.lines if len(line.get_xdata()) > 1 and line.get_linestyle() != "None"]
            series = [line for line in series if line.get_marker() != "None"]
            looks = [_look(line) for line in series]
            for part in zip(*looks, strict=True):
                assert len(set(part)) == len(series)


def _look(line: Line2D) -> tuple:
    return line.get_color(), line.get_marker(), str(line._unscaled_dash_pattern)
