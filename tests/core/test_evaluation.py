from types import SimpleNamespace

import pytest
import torch

from airbench_core.evaluation import accuracy, exhaust, infer, view_logits
from airbench_core.tricks.tta import TTA_WEIGHTS, combine, tta_views


class Linear(torch.nn.Module):
    def forward(self, images):
        return images.float().flatten(1)[:, ::400]


def test_logits_are_the_weighted_mean_over_views(noise, float32):
    logits = combine(*view_logits(Linear(), noise, "mirror+translate", float32))
    mean = torch.tensor(noise.mean)[:, None, None]
    images = (noise.test_images / 255 - mean) / torch.tensor(noise.std)[:, None, None]
    expected = sum(w * Linear()(view) for view, w in zip(*tta_views(images, "mirror+translate"), strict=True))
    torch.testing.assert_close(logits, expected)


def test_lower_levels_come_from_the_same_logits(noise, float32):
    logits, _ = view_logits(Linear(), noise, "mirror+translate", float32)
    for tta, weights in TTA_WEIGHTS.items():
        torch.testing.assert_close(combine(logits, weights), combine(*view_logits(Linear(), noise, tta, float32)))


def test_inference_may_be_ended_before_each_batch(noise, float32):
    """Of 48 images in batches of 20: before the third."""
    order = []

    class Enough(Exception):
        pass

    def go_on():
        order.append("asked")
        if order.count("asked") == 3:
            raise Enough

    def forward(images):
        order.append(len(images))
        return Linear()(images)

    few = SimpleNamespace(inference_batch=20, dtype=torch.float32)
    with pytest.raises(Enough):
        exhaust(infer(forward, noise, "mirror", few), go_on)
    assert order == ["asked", 20, 20, "asked", 20, 20, "asked"]


def test_accuracy():
    logits = torch.tensor([[1.0, 2.0], [3.0, 0.0], [0.0, 1.0]])
    assert accuracy(logits, torch.tensor([1, 0, 0])) == 2 / 3
