from dataclasses import replace
from itertools import pairwise

import pytest
import torch
import torch.nn.functional as F

from airbench_core import AIRBENCH94, Scale, Trainer, train
from airbench_core.augmentation import normalize
from airbench_core.network import Network
from airbench_core.tricks.whitening import whitening_filters


def correlated_images() -> torch.Tensor:
    """Blurred noise with unequal channels: patches far from white."""
    images = torch.randn(200, 3, 36, 36, generator=torch.Generator().manual_seed(1))
    return F.avg_pool2d(images, 5, stride=1) * torch.tensor([1.0, 3.0, 0.5])[:, None, None] + 0.7


def check_whitened(images: torch.Tensor, eps: float) -> None:
    """The second moment of the positive filters' outputs on the same images is diag(l / (l + eps)), l falling."""
    filters = whitening_filters(images, eps)
    assert filters.shape == (24, 3, 2, 2)
    assert torch.equal(filters[12:], -filters[:12])
    patches = images.double().unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12)
    eigenvalues = torch.linalg.eigvalsh(patches.T @ patches / len(patches)).flip(0)
    outputs = F.conv2d(images.double(), filters[:12].double()).permute(0, 2, 3, 1).reshape(-1, 12)
    moment = outputs.T @ outputs / len(outputs)
    torch.testing.assert_close(moment, torch.diag(eigenvalues / (eigenvalues + eps)), atol=1e-3, rtol=1e-3)


@pytest.mark.parametrize("eps", [1e-12, 5e-4, 0.1])
def test_whitening_filters_whiten(eps):
    check_whitened(correlated_images(), eps)


def test_grey_pictures_have_no_negative_variance():
    grey = torch.randn(50, 1, 8, 8, generator=torch.Generator().manual_seed(0)).repeat(1, 3, 1, 1)
    assert whitening_filters(grey, 1e-12).isfinite().all()  # eigenvalues that are 0 come out slightly below


@pytest.mark.parametrize("memory", [torch.channels_last, torch.contiguous_format])
def test_the_patches_are_those_of_unfold_to_the_bit(memory):
    images = correlated_images().contiguous(memory_format=memory)
    patches = F.unfold(images, 2)
    moment = (patches @ patches.mT).sum(0) / (patches.shape[0] * patches.shape[2])
    eigenvalues, eigenvectors = torch.linalg.eigh(moment.double())
    filters = (eigenvectors / torch.sqrt(eigenvalues + 5e-4)).T.flip(0).reshape(12, 3, 2, 2)
    assert torch.equal(whitening_filters(images, 5e-4)[:12], filters.float())


def test_whitening_filters_whiten_cifar10(cifar10):
    check_whitened(normalize(cifar10.train_images[:5000], cifar10.mean, cifar10.std, torch.float32), 5e-4)


def test_the_whitening_bias_starts_at_0_or_as_pytorch_draws_it(generator):
    network = Network(replace(AIRBENCH94, whiten_bias_zero=False))
    network.reset(generator)
    assert 0 < network.first.bias.abs().max() <= 1 / 12**0.5
    assert network.first.bias.unique().numel() == 24


SHORT = replace(AIRBENCH94, epochs=2.5, whiten_bias_epochs=1)  # 8 steps of 64 on `noise` at the tiny scale


def test_whitening_weights_stay_and_their_bias_freezes(noise, tiny, float32):
    filters, biases = [], []
    trainer = Trainer(replace(SHORT, lookahead=False), noise, scale=tiny, runtime=float32)

    def watch(_):
        filters.append(trainer.network.first.weight.detach().clone())
        biases.append(trainer.network.first.bias.detach().clone())

    trainer.run(0, observer=watch)
    assert torch.equal(filters[0], filters[-1])
    assert biases[0].any()
    assert torch.equal(biases[0], biases[1])
    assert filters[0].std() > 0.1


def test_whitening_is_measured_on_the_first_5000_normalized_training_images(cifar10, float32):
    scale = Scale(name="short", width=1 / 16, batch_size=1 / 16, epochs=0.01, train_images=6000, test_images=10)
    filters = train(AIRBENCH94, cifar10, scale=scale, runtime=float32).network.first.weight
    first = normalize(cifar10.train_images[:5000], cifar10.mean, cifar10.std, torch.float32)
    torch.testing.assert_close(filters, whitening_filters(first, 5e-4), atol=1e-5, rtol=1e-4)


def test_the_bias_trains_on_without_the_freeze(noise, tiny, float32):
    biases = []
    trainer = Trainer(replace(SHORT, whiten_bias_epochs=None, lookahead=False), noise, scale=tiny, runtime=float32)
    trainer.run(0, observer=lambda _: biases.append(trainer.network.first.bias.detach().clone()))
    assert not torch.equal(biases[0], biases[1])


def test_the_bias_trains_in_just_the_steps_before_the_freeze(noise, tiny, float32):
    trainer = Trainer(replace(SHORT, lookahead=False), noise, scale=tiny, runtime=float32)
    biases = [
        trainer.network.first.bias.detach().clone() for step in trainer.step_through() if step is not None
    ]  # before each step
    moved = [not torch.equal(before, after) for before, after in pairwise(biases)]
    assert moved == [True] * 3 + [False] * 4
