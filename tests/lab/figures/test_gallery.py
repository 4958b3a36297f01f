"""Every figure, drawn once: it can be read, by whoever sees it and by whoever does not."""

import html
import io
import itertools
from base64 import b64decode
from pathlib import Path

import matplotlib
import nbconvert
import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from airbench_lab import figures
from airbench_lab.figures import STYLES, Drawing, Line, png, table_html
from airbench_lab.figures import drawing as drawing_module
from airbench_lab.figures.curves import EARLIER, RECORDED
from airbench_lab.figures.differences import differences
from airbench_lab.figures.drawing import KEPT
from airbench_lab.lessons.speedrun import chance_to_pass
from airbench_lab.study.frames import frame
from matplotlib.colors import to_rgb
from PIL import Image

from airbench_core.published import AIRBENCH94, RECIPES
from airbench_core.tricks.lookahead import lookahead_decays
from airbench_core.tricks.tta import TTA_WEIGHTS

SOURCES = sorted(Path(figures.__file__).parent.glob("*.py"))
HARDWARE = "Intel(R) Xeon(R) Processor, bfloat16, 1 thread"
LONG = "baseline whiten=true whiten_bias_epochs=1.2 identity_init=true epochs=5.4 bias_scale=64"
RNG = np.random.default_rng(0)


def _flops(made):
    names = ("baseline", "airbench94", "airbench94_muon", "airbench95", "airbench96", "airbench96_faster")
    return figures.flops_against_error(
        frame([run for i, name in enumerate(names) for run in made(RECIPES[name], [0.7 + i / 50, 0.72 + i / 50])])
    )


def _lines() -> list[Line]:
    own = [Line(label=LONG, epochs=[1, 2, 3], accuracies=[0.5, 0.6, 0.7 + i / 50], state="stopped") for i in range(4)]
    many = [[0.5, 0.6, 0.65], [0.52, 0.61, 0.66]]
    return [*own, *(Line(label=LONG, epochs=[1, 2, 3], accuracies=many, recorded=HARDWARE) for _ in range(4))]


def _differences(*_):
    long = "without identity init, Lookahead, alternating flip"
    pairs = {"off": ({0: 0.7, 1: 0.71}, {0: 0.69, 1: 0.72}), long: ({0: 0.7, 1: 0.71}, {0: 0.6, 1: 0.63})}
    return differences(pairs, {"off": ({0: 0.7}, {0: 0.69})}, where=HARDWARE, live_where=HARDWARE, mixed=["another"])


def _filters(*_):
    weights = torch.randn(12, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    return figures.filters(torch.cat([weights, -weights]))


def _covariances(*_):
    patches = RNG.normal(size=(50, 12)) @ np.diag(np.geomspace(100, 1, 12))
    return figures.covariances(patches.T @ patches / 50, np.eye(12))


def _sides(*_):
    images = torch.linspace(0, 255, 5 * 3 * 32 * 32).to(torch.uint8).reshape(5, 3, 32, 32)
    masks = torch.rand(2, 4, 5, generator=torch.Generator().manual_seed(0)) < 0.5
    return figures.sides(images, {"random": masks[0], "alternating": masks[1]})


def _singular(*_):
    values = np.geomspace(0.5, 0.01, 64)
    return figures.singular_values({"before": values, "after 1 step": values**0.5, "after 3 steps": values**0.1})


def _effects(*_):
    pairs = {name: ({0: 60.0, 1: 61.0}, {0: 63.0, 1: 65.5}) for name in ("with none", "main effect", "with all others")}
    names = ("BatchNorm-bias learning rate x 64", "whitening", "Lookahead")
    return figures.effects(dict.fromkeys(names, pairs), where=f"Recorded at the scale laptop on CIFAR-10, {HARDWARE}")


def _ladder(*_):
    rungs = {"baseline": (45, [0.88, 0.9, 0.89]), "+ whitening bias frozen after 3 epochs": (13.5, [0.89])}
    return figures.ladder(rungs, where=f"scale quarter, cifar10, {HARDWARE}")


def _board(*_):
    row = {"rank": "1", "entry": "airbench94_muon with 6 epochs", "seconds": 10.0, "seconds, low": 9.5}
    row |= {"seconds, high": 11.0, "sure": 0.9375, "accuracy, %": 71.0, "accuracy, low": 70.4, "accuracy, high": 71.6}
    low = row | {"rank": "fails", "entry": "too short a training", "accuracy, %": 67.0, "accuracy, low": 66.0}
    rows = [row | {"n": 5}, row | {"rank": "2", "seconds": 10.5, "n": 5}, low | {"accuracy, high": 68.0, "n": 25}]
    return figures.board(rows, target=70.5, where="scale laptop, cifar10")


def _schedules(*_):
    names = ("triangle: up to 20 %, then down to 0", "no way up", "constant")
    return figures.schedules(
        dict(zip(names, (np.linspace(0.2, 1, 40), np.linspace(1, 0, 40), np.ones(40)), strict=True))
    )


def _epochs_to(*_):
    curve = {epochs: {seed: 0.6 + epochs / 100 + seed / 200 for seed in range(5)} for epochs in (2, 4, 8, 18)}
    later = {epochs: {seed: value - 0.05 for seed, value in of.items()} for epochs, of in curve.items()}
    return figures.epochs_to({"airbench94": curve, "baseline": later}, 0.65, f"scale laptop, cifar10, {HARDWARE}")


def _trajectories(*_):
    values = np.cumsum(RNG.normal(size=(80, 64)), axis=0)
    panels = {"bias scale 1": values / 64, "bias scale 64": values}
    return figures.trajectories(panels, value="bias of the last BatchNorm")


def _by_end(*_):
    of = {"SGD": {0: [50.1, 51.3], 0.07: [50.2, 50.9], 1: [42, 45]}, "SGD with Lookahead": {0: [49, 50], 1: [52, 53]}}
    return figures.by_end({f"momentum {share}": of for share in (0.3, 0.6, 0.9)}, "test accuracy, %")


def _changed(*_):
    classes = dict.fromkeys(TTA_WEIGHTS, np.zeros(12, int))  # the longest name
    return figures.changed_predictions(RNG.random((12, 3, 32, 32)), np.zeros(12, int), classes, ["automobile"])


# Of each: what draws it, and how many rows its table has.
GALLERY = {
    "flops": (_flops, 9),
    "curves": (lambda *_: figures.curves(_lines()), 18),
    "differences": (_differences, 3),
    "filters": (_filters, 24),
    "covariances": (_covariances, 24),
    "sides": (_sides, 8),
    "views": (lambda *_: figures.views(RNG.random((3, 32, 32))), 6),
    "votes": (
        lambda *_: figures.votes(
            RNG.random((6, 3, 32, 32)), np.eye(6, 4) * 9, TTA_WEIGHTS["mirror+translate"], ["automobile", *"abc"], 0
        ),
        9,
    ),
    "changed predictions": (_changed, 12),
    "losses": (lambda *_: figures.losses({"raw pixels": 0.9 ** np.arange(101) + 1, "whitened": np.ones(101)}), 8),
    "singular values": (_singular, 64),
    "depths": (lambda *_: figures.depths({"random": RNG.random((7, 31, 31)), "identity": RNG.random((7, 31, 31))}), 14),
    "effects": (_effects, 9),
    "pictures": (
        lambda *_: figures.pictures(
            {name: RNG.random((8, 3, 32, 32)) for name in ("as stored", "dropped: the easiest")},
            {"as stored": ["automobile"] * 8},
        ),
        16,
    ),
    "titled": (
        lambda *_: figures.titled(RNG.random((8, 3, 32, 32)), [f"epoch {i}: mirrored, down 2" for i in range(1, 9)]),
        8,
    ),
    "ladder": (_ladder, 2),
    "board": (_board, 3),
    "board, nothing yet": (lambda *_: figures.board([], target=70.5, where="scale laptop, cifar10"), 0),
    "passing": (lambda *_: figures.passing(chance_to_pass, 0.78, (5, 10, 25, 100)), 13),
    "network": (lambda *_: figures.network(AIRBENCH94), 6),
    "schedules": (_schedules, 36),
    "epochs to": (_epochs_to, 8),
    "break even": (lambda *_: figures.break_even([1.2, 1.3], 30, [0.9, 0.99]), 9),
    "break even, never": (lambda *_: figures.break_even([0.9, 0.9], 30, [1.2, 1.3]), 9),
    "launches": (lambda *_: figures.launches(5, [3] * 12), 2),
    "launches, long work": (lambda *_: figures.launches(5, [400] * 12), 2),
    "trajectories": (_trajectories, 24),
    "lookahead": (lambda *_: figures.lookahead_round(np.eye(4, 2), [2, 1], lookahead_decays(100)), 11),
    "by end": (_by_end, 15),
}


@pytest.fixture
def bundles(monkeypatch):
    """What a notebook gets of a figure: the data of its outputs, and the metadata of the first."""

    def displayed(drawing: Drawing) -> tuple[list[dict], dict]:
        shown = []
        monkeypatch.setattr(
            "IPython.display.display", lambda data, metadata=None, *, raw: shown.append((data, metadata))
        )
        drawing._ipython_display_()
        return [data for data, _ in shown], shown[0][1]

    return displayed


def test_every_figure_hangs_in_the_gallery():
    functions = {name for name in figures.__all__ if name.islower()} - {"lines", "pays_after", "png", "table_html"}
    called = " ".join(Path(__file__).read_text().split("figures.")[1:])
    assert not [name for name in functions if f"{name}(" not in called]


@pytest.mark.parametrize("name", GALLERY)
def test_it_can_be_read(name, made, shown, bundles):
    draw, rows = GALLERY[name]
    drawing = draw(made)
    texts = shown(drawing)
    assert len(texts) > 5
    for one in texts:
        assert one.points >= 9, one
        assert 0 <= one.box.x0 <= one.box.x1 <= drawing.bbox.x1, one
        assert 0 <= one.box.y0 <= one.box.y1 <= drawing.bbox.y1, one
    for one, other in itertools.combinations(texts, 2):
        across = min(one.box.x1, other.box.x1) - max(one.box.x0, other.box.x0)
        along = min(one.box.y1, other.box.y1) - max(one.box.y0, other.box.y0)
        assert min(across, along) <= 1, (one, other)  # lines of text may touch

    (picture, page), metadata = bundles(drawing)
    assert picture["text/plain"] == metadata["image/png"]["alt"] == drawing.alt
    kept, page = b64decode(picture["image/png"]), page["text/html"]
    assert len(kept) < 1.1 * KEPT
    picture = np.asarray(Image.open(io.BytesIO(kept)).convert("RGB"))
    width = round(drawing.bbox.x1)
    assert picture.shape[1] == 2 * width <= 1600  # twice what it shows; JupyterLab has room for 800
    assert metadata["image/png"]["width"] == width
    assert picture[[0, 0, -1, -1], [0, -1, 0, -1]].min() >= 250  # white, but for what fewer colours make of it
    assert 0.005 < (picture < 200).any(-1).mean() < 0.6  # neither blank nor black

    assert len(drawing.table) == rows
    assert table_html(drawing) in page  # for a screen reader
    assert page.count('<th scope="col"') == len(drawing.table.columns)
    assert page.count("<tr>") == rows + 1
    assert f"<p>{html.escape(drawing.alt)}</p>" in page
    assert len(drawing.alt) > 40
    assert drawing.alt.endswith(".")
    assert "nan" not in page.replace("NVIDIA", "").lower()

    for axes in drawing.findobj(matplotlib.axes.Axes):
        series = [line for line in axes.lines if len(line.get_xdata()) > 1 and line.get_linestyle() != "None"]
        looks = [
            (line.get_color(), line.get_marker(), str(line._unscaled_dash_pattern))
            for line in series
            if line.get_marker() != "None"
        ]
        for part in zip(*looks, strict=True):
            assert len(set(part)) == len(looks)  # no two lines share a colour, a marker or dashes


def test_what_a_notebook_has_set_changes_nothing(made):
    plain = [png(GALLERY[name][0](made)) for name in ("effects", "curves")]
    assert (np.asarray(Image.open(io.BytesIO(plain[0])).convert("RGBA"))[..., 3] == 255).all()
    with matplotlib.style.context(["dark_background", {"font.size": 22, "font.family": "serif", "lines.linewidth": 9}]):
        assert [png(GALLERY[name][0](made)) for name in ("effects", "curves")] == plain
        assert matplotlib.rcParams["font.size"] == 22


def test_a_picture_says_of_what_it_was_drawn_also_when_it_has_fewer_colours(monkeypatch):
    monkeypatch.setitem(drawing_module.STAMP, "data", "cifar10")
    plain = png(Drawing(pd.DataFrame(), "words", 2))
    for one in plain, drawing_module.fewer_colours(plain):
        assert Image.open(io.BytesIO(one)).text["data"] == "cifar10"


def test_every_page_shows_a_figure_once(bundles):
    """Also as Markdown and LaTeX, which GitHub and arXiv show, and which know no picture within HTML."""
    figure = figures.curves(_lines())
    (picture, words), metadata = bundles(figure)
    outputs = [
        nbformat.v4.new_output("display_data", picture, metadata=metadata),
        nbformat.v4.new_output("display_data", words),
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell("figure", outputs=outputs)])
    for exporter, image in (
        (nbconvert.HTMLExporter, "<img "),
        (nbconvert.MarkdownExporter, "![png](output_0_0.png)"),
        (nbconvert.LatexExporter, "{output_0_0.png}"),
    ):
        page, _ = exporter().from_notebook_node(notebook)
        assert page.split("</head>")[-1].count(image) == 1, exporter
        assert figure.alt[:60] in page


def test_markup_in_a_label_is_text_and_a_cell_says_what_is_missing(bundles):
    evil = Line(label='<b>"run" for $x^$', epochs=[1], accuracies=[0.5])
    page = bundles(figures.curves([evil]))[0][1]["text/html"]
    assert "<b>" not in page
    assert "&lt;b&gt;&quot;run&quot;" in page
    drawing = Drawing(pd.DataFrame({"a": [float("nan"), float("inf"), 12.3456], "n": [1, 2, 3]}), "words", 2)
    page = table_html(drawing)
    for cell in ("none", "not bounded", "12.35", "3"):
        assert f">{cell}</td>" in page


def test_pyplot_is_nowhere():
    for source in SOURCES:
        assert "pyplot as" not in source.read_text()
        assert "import pyplot" not in source.read_text()


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
def test_any_two_series_can_be_told_apart(sight):
    for a, b in itertools.combinations([*(style.colour for style in STYLES), "white"], 2):
        assert np.linalg.norm(_lab(a, sight) - _lab(b, sight)) > 15, (a, b)
    assert len({style.dashes for style in STYLES}) == len({style.marker for style in STYLES}) == len(STYLES) == 7
    assert len({"solid", *EARLIER, *RECORDED}) == 1 + len(EARLIER) + len(RECORDED)
