"""Figures of schedules, label smoothing and epochs to a target."""

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from airbench_lab.figures import epochs_to, schedules, smoothed_losses
from airbench_lab.study.speedup import epochs_to_target

from airbench_core import BASELINE, UsageError
from airbench_core.tricks.schedule import lr_factors


def test_a_schedule_is_drawn_over_the_share_of_steps():
    factors = lr_factors(BASELINE, 50)
    drawing = schedules({"triangle": factors, "constant": [1.0] * 20})
    (axes,) = drawing.axes
    (triangle, constant) = axes.lines
    np.testing.assert_allclose(triangle.get_ydata(), factors)
    np.testing.assert_allclose(triangle.get_xdata(), 2 * np.arange(50))
    assert len(constant.get_xdata()) == 20
    assert triangle.get_label() == f"triangle (mean {np.mean(factors):.2f})"
    table = drawing.table[drawing.table["schedule"] == "triangle"]
    assert table["step"].iloc[[0, -1]].tolist() == [0, 49]
    assert table["factor"].tolist() == [factors[step] for step in table["step"]]
    assert "triangle from 0.2 over 1 at step 10 to" in drawing.alt
    for wrong in {}, {"a": []}, {"a": [[1.0]]}, {str(i): [1.0] for i in range(8)}:
        with pytest.raises(UsageError, match="1 to 7 arrays"):
            schedules(wrong)


@pytest.mark.parametrize("smoothing", [0.0, 0.2, 0.5])
def test_the_loss_is_pytorch_s_and_its_least_where_the_ring_is(smoothing):
    drawing = smoothed_losses([smoothing])
    line, *rings = drawing.axes[0].lines
    margins = torch.tensor(np.asarray(line.get_xdata()))
    logits = torch.zeros(len(margins), 10, dtype=torch.float64)
    logits[:, 3] = margins
    labels = torch.full((len(margins),), 3)
    losses = F.cross_entropy(logits, labels, label_smoothing=smoothing, reduction="none")
    np.testing.assert_allclose(line.get_ydata(), losses, atol=1e-9)
    (row,) = drawing.table.to_dict("records")
    assert row["asked of the right class"] + 9 * row["of each other"] == pytest.approx(1)
    if smoothing:
        (ring,) = rings
        best, least = ring.get_xydata()[0]
        assert least == pytest.approx(row["least loss"])
        assert best == pytest.approx(float(margins[losses.argmin()]), abs=0.06)
        assert least <= float(losses.min()) + 1e-9
    else:
        assert not rings
        assert row["best margin"] == math.inf


def test_other_smoothings_are_refused():
    for wrong in [], [1.0], [-0.1], [0.1] * 8:
        with pytest.raises(UsageError, match="label smoothing of 1 to 7 values"):
            smoothed_losses(wrong)


def test_epochs_to_a_target_are_those_of_the_study():
    curve = {epochs: {seed: 0.5 + epochs / 50 + seed / 500 for seed in range(5)} for epochs in (2, 4, 8)}
    late = {epochs: {seed: value - 0.5 for seed, value in of.items()} for epochs, of in curve.items()}
    drawing = epochs_to({"quick": curve, "late": late}, 0.6, "a machine")
    quick, late_line = (line for line in drawing.axes[0].lines if len(line.get_xdata()) == 3)
    np.testing.assert_allclose(quick.get_ydata(), [100 * np.mean(list(of.values())) for of in curve.values()])
    found = epochs_to_target(curve, 0.6)
    assert str(found) in drawing.alt
    assert str(found) in " ".join(quick.get_label().split())
    downs = [line for line in drawing.axes[0].lines if list(line.get_xdata()) == [found.epochs] * 2]
    assert len(downs) == 1
    assert "more than 8 epochs" in " ".join(late_line.get_label().split())
    assert drawing.table["n"].tolist() == [5] * 6
    with pytest.raises(UsageError, match="1 to 7 curves"):
        epochs_to({}, 0.6, "a machine")
