"""Pictures of one's own: folders and data sets of any size and kind become uint8 tensors of one size."""

import os

import numpy as np
import pytest
import torch
from airbench_lab.data import load_dataset
from PIL import Image
from torchvision.datasets import FakeData
from torchvision.transforms import ToTensor

from airbench_core import DataError, Dataset, UsageError
from airbench_core.dataset import pixel_statistics
from airbench_core.pictures import squares


def picture(value: int, size=(32, 32), mode="RGB") -> Image.Image:
    """Random, so that no channel is constant, and of a mean that tells one from another."""
    rng = np.random.RandomState(value)
    channels = len(Image.new(mode, (1, 1)).getbands())
    pixels = (value + rng.randint(0, 20, (size[1], size[0], channels))).astype(np.uint8)
    return Image.fromarray(pixels[:, :, 0] if channels == 1 else pixels)


@pytest.fixture
def folder(tmp_path):
    """Two classes, six pictures each, and what is no picture."""
    root = tmp_path / "animals"
    for k, name in enumerate(("cat", "dog")):
        (root / name / "deeper").mkdir(parents=True)
        for i in range(6):
            picture(100 * k + i).save(root / name / ("deeper" if i == 5 else "") / f"{i}.{'PNG' if i else 'png'}")
        (root / name / "notes.txt").write_text("no picture")
    (root / "cat" / ".ipynb_checkpoints").mkdir()
    picture(0).save(root / "cat" / ".ipynb_checkpoints" / "0-checkpoint.png")
    (root / ".git").mkdir()
    return root


def test_a_folder_with_one_of_pictures_for_each_class(folder, capsys):
    data = Dataset.of(folder)
    assert (data.name, data.classes) == ("animals", ("cat", "dog"))
    assert (len(data.train_images), len(data.test_images)) == (10, 2)  # a fifth is held out
    assert (data.mean, data.std) == pixel_statistics(data.train_images)  # what is held out has no part in them
    images, labels = torch.cat([data.train_images, data.test_images]), torch.cat([data.train_labels, data.test_labels])
    assert torch.equal(images.float().mean((1, 2, 3)) > 60, labels == 1)
    assert len({image.numpy().tobytes() for image in images}) == 12
    assert Dataset.of(str(folder)).digest == load_dataset(str(folder)).digest == data.digest
    assert capsys.readouterr().err == ""  # nothing was resized


def test_a_folder_with_training_and_test_pictures(folder, tmp_path):
    whole = tmp_path / "whole"
    for part in "train", "val":
        (whole / part).mkdir(parents=True)
    folder.rename(whole / "train" / "x")
    for name in "cat", "dog":
        (whole / "train" / "x" / name).rename(whole / "train" / name)
    (whole / "train" / "x" / ".git").rmdir()
    (whole / "train" / "x").rmdir()
    (whole / "val" / "dog").mkdir()
    picture(100, mode="L").save(whole / "val" / "dog" / "a.png")
    data = Dataset.of(whole, size=28)
    assert (data.name, data.train_images.shape, data.test_labels.tolist()) == ("whole", (12, 3, 28, 28), [1])
    assert (data.test_images == data.test_images[:, :1]).all()  # grey
    (whole / "val" / "bird").mkdir()
    with pytest.raises(DataError, match="there are no training pictures of bird"):
        Dataset.of(whole)


def test_pictures_that_come_class_by_class_are_mixed_so_that_a_scale_keeps_some_of_each():
    def of(labels: list[int]) -> Dataset:
        shades = [np.full((32, 32, 3), 60 * label + i, np.uint8) for i, label in enumerate(labels)]
        return Dataset.of(list(zip(shades, labels, strict=True)), [(shades[0], 0)])

    sorted_ = of([0] * 20 + [1] * 20 + [2] * 20)
    assert set(sorted_.head(15, None).train_labels.tolist()) == {0, 1, 2}
    shades = sorted_.train_images[:, 0, 0, 0].long()
    assert sorted((shades - 60 * sorted_.train_labels).tolist()) == list(range(60))  # each with its own label
    joined = of(([0] * 20 + [1] * 20 + [2] * 20) * 2)  # of two folders
    assert set(joined.head(15, None).train_labels.tolist()) == {0, 1, 2}
    assert of([0] * 9 + [1] + [0] * 9).train_labels.tolist() == [0] * 9 + [1] + [0] * 9  # neighbours alike by chance
    assert of([1, 0, 2] * 5).train_labels.tolist() == [1, 0, 2] * 5  # who has an order keeps it


def test_torchvision_s_data_sets(capsys):
    train, test = FakeData(30, (3, 60, 40), num_classes=4), FakeData(8, (1, 28, 28), num_classes=4, random_offset=9)
    train.classes = ["a", "b", "c", "d"]
    data = Dataset.of(train, test, name="fake")
    assert (data.name, data.classes) == ("fake", ("a", "b", "c", "d"))
    assert data.train_images.shape == (30, 3, 32, 32)
    assert data.test_labels.tolist() == [int(test[i][1]) for i in range(8)]
    assert capsys.readouterr().err.splitlines() == [
        "data: 30 picture(s) of 40 x 60 pixels: the square in the middle, resized to 32 x 32",
        "data: 8 picture(s) of 28 x 28 pixels: the square in the middle, resized to 32 x 32",
    ]
    test.classes = ["a", "c"]  # as of a folder that lacks one: c would be taken for b
    with pytest.raises(UsageError, match="test pictures of a, c, but training pictures of a, b, c, d"):
        Dataset.of(train, test)
    with pytest.raises(UsageError, match="size=0 is not legal"):
        Dataset.of(train, size=0)
    del test.classes
    assert Dataset.of(test).classes == tuple(str(i) for i in range(max(int(test[i][1]) for i in range(8)) + 1))


def test_photographs_are_turned_upright_and_read_at_a_lower_resolution(tmp_path):
    image = Image.new("RGB", (1200, 800), "red")
    image.paste("blue", (0, 0, 1200, 400))  # the upper half
    exif = Image.Exif()
    exif[0x0112] = 3  # upside down
    image.save(tmp_path / "photo.jpg", exif=exif)
    for photo in tmp_path / "photo.jpg", Image.open(tmp_path / "photo.jpg"):
        (square,) = squares([photo], 1, 32)
        assert (square[0, :14].min(), square[2, 18:].min()) > (240, 240)
        assert (square[2, :14].max(), square[0, 18:].max()) < (15, 15)


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda folder: folder / "nowhere", DataError, "cannot read .*nowhere"),
        (
            lambda folder: folder / "cat" / ".ipynb_checkpoints",
            DataError,
            "no folders: one with pictures for each class",
        ),
        (lambda folder: (folder / "empty").mkdir() or folder, DataError, "no pictures .*.jpg.* of empty"),
        (lambda folder: (folder / "cat" / "x.jpg").write_text("text") and folder, DataError, "x.jpg cannot be read"),
        (lambda folder: (folder / "cat" / "0.png").chmod(0) or folder, DataError, "0.png cannot be read .*Permission"),
        (
            lambda folder: Image.fromarray(np.full((9, 9), 999, np.uint16)).save(folder / "cat" / "deep.png") or folder,
            DataError,
            "deep.png is of Pillow's mode I;16: save it as JPEG or PNG with 8 bits",
        ),
        (lambda _: FakeData(5, (3, 9, 9), transform=ToTensor()), UsageError, "float32.*leave out ToTensor"),
        (lambda _: [(Image.new("F", (9, 9)), 0)], DataError, "a picture is of Pillow's mode F"),
        (lambda _: [(picture(1), "cat")], UsageError, r"sample 0 is no \(picture, number of its class\)"),
        (lambda _: [picture(1), picture(2)], UsageError, r"sample 0 is no \(picture, number of its class\)"),
        (lambda _: [(picture(1), 0), (picture(2), 0)], UsageError, "at least 2"),
        (lambda _: [(picture(1), -1), (picture(2), 1)], UsageError, "labels of 2 classes are 0 to 1"),
        (lambda _: [], UsageError, "there are no pictures"),
        (lambda _: [(picture(1), 0)], UsageError, "there is one picture, and none to hold out"),
        (lambda _: 3, UsageError, "int is neither a folder nor a data set"),
    ],
)
def test_what_cannot_be_read_is_one_line(make, error, words, folder):
    if "Permission" in words and os.access("/root", os.W_OK):
        pytest.skip("this user may read all files")
    with pytest.raises(error, match=words) as caught:
        Dataset.of(make(folder))
    assert "\n" not in str(caught.value)


def test_a_pipe_is_refused_and_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    with pytest.raises(DataError, match="not a file"):
        squares([tmp_path / "pipe.png"], 1, 32)


def test_odd_names_never_reach_a_terminal(folder):
    (folder / "cat").rename(folder / "a\x1b[2J\ncat")
    odd = folder.parent / "x\x1b]0;y"
    folder.rename(odd)
    data = Dataset.of(odd)
    assert (data.name, data.classes) == (r"x\x1b]0;y", (r"a\x1b[2J\ncat", "dog"))
