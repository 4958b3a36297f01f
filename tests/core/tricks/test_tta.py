import pytest
import torch
import torch.nn.functional as F

from airbench_core.tricks.tta import tta_views


def test_views_and_weights(generator):
    images = torch.randn(4, 3, 32, 32, generator=generator)
    padded = F.pad(images, (1, 1, 1, 1), mode="reflect")
    up, down = padded[:, :, 0:32, 0:32], padded[:, :, 2:34, 2:34]
    expected = [
        (images, 0.25),
        (images.flip(-1), 0.25),
        (up, 0.125),
        (down, 0.125),
        (up.flip(-1), 0.125),
        (down.flip(-1), 0.125),
    ]
    views, weights = tta_views(images, "mirror+translate")
    assert len(views) == len(weights) == 6
    for view, weight, (expected_view, expected_weight) in zip(views, weights, expected, strict=True):
        assert torch.equal(view, expected_view)
        assert weight == expected_weight


@pytest.mark.parametrize(("tta", "n"), [("none", 1), ("mirror", 2), ("mirror+translate", 6)])
def test_each_level_uses_the_first_views_of_the_highest(generator, tta, n):
    images = torch.randn(2, 3, 32, 32, generator=generator)
    highest, _ = tta_views(images, "mirror+translate")
    views, weights = tta_views(images, tta)
    assert len(views) == n
    assert sum(weights) == 1
    assert all(torch.equal(a, b) for a, b in zip(views, highest, strict=False))
