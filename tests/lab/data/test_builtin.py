"""The built-in pictures: their format, that they never change, and their cache."""

import numpy as np
import pytest
from airbench_lab.data import builtin, load_dataset
from airbench_lab.data.builtin import load_pictures


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("airbench_core.cache.cache_folder", lambda: folder)
        return load_dataset("builtin")


@pytest.fixture
def few(monkeypatch):
    monkeypatch.setattr(builtin, "TRAIN", 40)
    monkeypatch.setattr(builtin, "TEST", 20)


def test_the_bytes_never_change(data):
    """If this fails, the pictures are other ones: raise builtin.VERSION, so that cached ones are drawn anew."""
    assert (builtin.VERSION, data.digest) == (1, "6223b0e25d0a3467")


def test_what_it_holds(data):
    assert (data.name, len(data.classes), data.mirror_changes_class) == ("builtin", 10, False)
    assert (data.mean, data.std) == ((0.5006, 0.5027, 0.5013), (0.2256, 0.2245, 0.2250))
    assert data.train_labels.bincount().tolist() == [2_000] * 10
    assert data.test_labels.bincount().tolist() == [500] * 10
    assert data.head(1_000, None).train_labels.bincount().min() > 60  # shuffled
    train = {image.tobytes() for image in data.train_images.numpy()}
    assert len(train) == 20_000
    assert train.isdisjoint(image.tobytes() for image in data.test_images.numpy())


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
    path.mkdir() if damage == "a folder" else path.write_bytes(bad[damage])
    for one, other in zip(first, load_pictures(tmp_path), strict=True):
        assert (one == other).all()
    if damage != "a folder":
        with np.load(path) as arrays:
            assert arrays["arr_0"].shape == (40, 3, 32, 32)
    assert len(list(tmp_path.iterdir())) == 1


def test_cache_that_cannot_be_written_is_done_without(few, tmp_path):
    (tmp_path / "file").write_text("in the way")
    images, *_ = load_pictures(tmp_path / "file")
    assert images.shape == (40, 3, 32, 32)
