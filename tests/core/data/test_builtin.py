"""The built-in pictures: their format, that they never change, and their cache."""

import numpy as np
import pytest
import torch

from airbench_core.data import builtin
from airbench_core.data.builtin import CLASSES, draw, load_pictures
from airbench_core.data.datasets import load_dataset


@pytest.fixture(scope="module")
def cache(tmp_path_factory):
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def data(cache):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airbench_core.data.downloads.cache_folder", lambda: cache)
        return load_dataset("builtin")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(builtin, "TRAIN", 40)
    monkeypatch.setattr(builtin, "TEST", 20)


def test_format(data):
    assert data.name == "builtin"
    assert data.train_images.shape == (20_000, 3, 32, 32)
    assert data.test_images.shape == (5_000, 3, 32, 32)
    assert data.train_images.dtype == data.test_images.dtype == torch.uint8
    assert data.train_labels.dtype == data.test_labels.dtype == torch.int64
    assert len(data.classes) == 10


def test_the_bytes_never_change(data):
    """If this fails, the pictures are other ones: raise builtin.VERSION, so that cached ones are drawn anew."""
    assert (builtin.VERSION, data.digest) == (1, "6223b0e25d0a3467")


def test_classes_are_balanced_and_shuffled(data):
    assert data.train_labels.bincount().tolist() == [2_000] * 10
    assert data.test_labels.bincount().tolist() == [500] * 10
    assert data.head(1_000, None).train_labels.bincount().min() > 60


def test_mean_and_std_are_those_of_the_training_images(data):
    levels = np.arange(256) / 255
    for channel in range(3):
        weights = np.bincount(data.train_images[:, channel].numpy().ravel()) / (20_000 * 32 * 32)
        mean = (weights * levels).sum()
        assert data.mean[channel] == pytest.approx(mean, abs=6e-5)
        assert data.std[channel] == pytest.approx(np.sqrt((weights * (levels - mean) ** 2).sum()), abs=6e-5)


def test_seeds_draw_different_pictures_and_the_same_seed_the_same():
    images, labels = draw(50, seed=5)
    again, same_labels = draw(50, seed=5)
    other, _ = draw(50, seed=6)
    assert (images == again).all()
    assert (labels == same_labels).all()
    assert (images != other).any(axis=(1, 2, 3)).all()


def test_no_test_picture_is_a_training_picture(data):
    train = {image.tobytes() for image in data.train_images.numpy()}
    assert len(train) == 20_000
    assert train.isdisjoint(image.tobytes() for image in data.test_images.numpy())


@pytest.mark.parametrize("name", CLASSES)
def test_every_shape_can_be_mirrored_into_itself(name):
    """A shape with a mirror axis, seen at any angle, is still of its class when the picture is flipped."""
    outline, pattern = builtin.SHAPES[name]
    u, v = np.random.RandomState(0).uniform(-1.2, 1.2, (2, 1000)).astype(np.float32)

    def drawn(u, v):
        fields = [outline(u, v)] + ([pattern(u, v, np.float32(0.6))] if pattern else [])
        return np.stack(fields)

    np.testing.assert_allclose(
        drawn(u, v), drawn(u, -v) if name in ("crescent", "stripes") else drawn(-u, v), atol=1e-5
    )


@pytest.mark.parametrize("name", CLASSES)
def test_outlines_are_distances(name):
    """Anti-aliasing needs a slope near 1 at the edge, and the shape needs room inside and outside."""
    outline, _ = builtin.SHAPES[name]
    v, u = np.mgrid[-1.5:1.5:301j, -1.5:1.5:301j].astype(np.float32)
    distance = outline(u, v)
    assert 0.1 < (distance < 0).mean() * 9 / np.pi < 1  # the part of the unit disc that it covers
    slope = np.hypot(*np.gradient(distance, 0.01))
    assert np.median(slope[np.abs(distance) < 0.03]) == pytest.approx(1, abs=0.15)


def test_cache_is_read_back(few, tmp_path, monkeypatch):
    folder = tmp_path / "a" / "b"
    first = load_pictures(folder)
    monkeypatch.setattr(builtin, "draw", None)
    for one, other in zip(first, load_pictures(folder), strict=True):
        assert one.dtype == other.dtype
        assert (one == other).all()
    assert [path.name for path in folder.iterdir()] == [f"builtin-{builtin.VERSION}.npz"]


@pytest.mark.parametrize("damage", ["empty", "truncated", "altered", "head", "garbage", "a folder"])
def test_broken_cache_is_made_anew(few, tmp_path, damage):
    first = load_pictures(tmp_path)
    (path,) = tmp_path.iterdir()
    good = path.read_bytes()
    middle = len(good) // 2
    bad = {
        "empty": b"",
        "truncated": good[:middle],
        "altered": good[:middle] + bytes([good[middle] ^ 1]) + good[middle + 1 :],
        "head": b"XX" + good[2:],
        "garbage": b"\x80\x04garbage",
    }
    path.unlink()
    if damage == "a folder":
        path.mkdir()
    else:
        path.write_bytes(bad[damage])
    for one, other in zip(first, load_pictures(tmp_path), strict=True):
        assert (one == other).all()
    if damage != "a folder":
        assert path.stat().st_size == len(good)
        builtin._read(path)
    assert len(list(tmp_path.iterdir())) == 1


def test_cache_that_cannot_be_written_is_done_without(few, tmp_path):
    (tmp_path / "file").write_text("in the way")
    images, *_ = load_pictures(tmp_path / "file")
    assert images.shape == (40, 3, 32, 32)
