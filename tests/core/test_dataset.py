"""Data sets as tensors: what makes one, what is refused, its digest; and the names by which they are loaded."""

from dataclasses import replace

import pytest
import torch

from airbench_core.dataset import Dataset, pixel_statistics
from airbench_core.errors import UsageError

CLASSES = tuple("0123456789")


def make(n: int = 8, m: int = 4) -> Dataset:
    generator = torch.Generator().manual_seed(0)
    images = torch.randint(0, 256, (n + m, 3, 32, 32), dtype=torch.uint8, generator=generator)
    labels = torch.arange(n + m) % 10  # the first and the last class are among them
    return Dataset("x", images[:n], labels[:n], images[n:], labels[n:], CLASSES, (0.5,) * 3, (0.25,) * 3)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"train_images": torch.zeros(8, 3, 32, 32)}, ("train_images", "torch.uint8", "torch.float32")),
        ({"test_images": torch.zeros(4, 32, 32, 3).byte()}, ("test_images", "(N, 3, H, H)", "(4, 32, 32, 3)")),
        ({"train_images": torch.zeros(8, 3, 32, 28).byte()}, ("train_images", "(N, 3, H, H)", "(8, 3, 32, 28)")),
        ({"train_images": torch.zeros(8, 3072).byte()}, ("train_images", "(N, 3, H, H)", "(8, 3072)")),
        ({"test_images": torch.zeros(4, 3, 28, 28).byte()}, ("32 x 32", "test_images", "28 x 28")),
        ({"train_labels": torch.zeros(7).long()}, ("8 train_images", "7 train_labels")),
        ({"test_images": torch.zeros(0, 3, 32, 32).byte(), "test_labels": torch.zeros(0).long()}, ("no test_images",)),
        ({"train_labels": torch.zeros(8).int()}, ("train_labels", "torch.int64", "torch.int32")),
        ({"train_labels": torch.zeros(8, 10).long()}, ("train_labels", "(N,)", "(8, 10)")),
        ({"train_labels": torch.tensor([1] * 5 + [10] * 3)}, ("train_labels[5] is 10", "10 classes are 0 to 9")),
        ({"test_labels": torch.tensor([1, 1, -1, 1])}, ("test_labels[2] is -1", "10 classes are 0 to 9")),
        ({"classes": ("digit",)}, ("1 class", "at least 2")),
        ({"mean": (0.5, 0.5)}, ("mean", "3 numbers", "(0.5, 0.5)")),
        ({"mean": (0.5, 0.5, float("nan"))}, ("mean", "3 numbers", "nan")),
        ({"std": (0.2, 0.2, 0.0)}, ("std", "above 0", "0.0")),
    ],
)
def test_what_is_no_data_set_is_refused_in_one_line(change, words):
    with pytest.raises(UsageError) as caught:
        replace(make(), **change)
    message = str(caught.value)
    assert message.startswith("data set x: ")
    assert "\n" not in message
    for word in words:
        assert word in message


def test_mean_and_std_are_exact_for_any_number_and_size_of_images():
    images = torch.randint(0, 256, (250, 3, 28, 28), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    images[:, 1] //= 3
    images[:, 2] = 51
    mean, std = pixel_statistics(images)
    pixels = images.numpy() / 255
    assert mean == (*pixels[:, :2].mean((0, 2, 3)).round(4), 0.2)
    assert std == (*pixels[:, :2].std((0, 2, 3)).round(4), 0.0)


def test_head():
    data = make()
    few = data.head(3, None)
    assert (few.train_images == data.train_images[:3]).all()
    assert (few.train_labels == data.train_labels[:3]).all()
    assert len(few.test_images) == len(few.test_labels) == 4
    assert len(data.head(None, 2).test_images) == len(data.head(None, 2).test_labels) == 2
    assert few.digest != data.digest
    for wrong in ((0, None), (None, -1)):
        with pytest.raises(UsageError):
            data.head(*wrong)


def test_digest_depends_on_every_byte_and_shape_but_not_on_memory_layout_or_copies():
    data = make()
    assert data.digest == make().digest
    assert len(data.digest) == 16
    for field in ("train_images", "train_labels", "test_images", "test_labels"):
        other = make()
        getattr(other, field).view(-1)[-1] += 1
        assert other.digest != data.digest, field
    reshaped = make()
    object.__setattr__(reshaped, "train_images", reshaped.train_images.view(-1, 3, 16, 64))
    assert reshaped.digest != data.digest
    strided = make()
    object.__setattr__(strided, "train_images", strided.train_images.to(memory_format=torch.channels_last))
    assert strided.digest == data.digest


def test_to_moves_every_tensor():
    moved = make().to("meta")
    tensors = (moved.train_images, moved.train_labels, moved.test_images, moved.test_labels)
    assert {tensor.device.type for tensor in tensors} == {"meta"}


def test_values_on_another_device_are_not_waited_for():
    """Values on the meta device cannot be read at all."""
    assert make().to("meta").head(2, 2).train_labels.shape == (2,)
    with pytest.raises(UsageError, match="uint8"):
        replace(make().to("meta"), train_images=torch.zeros(8, 3, 32, 32, device="meta"))


def test_a_part_of_the_training_images_is_held_out_to_choose_on():
    data = make(20)
    held = data.holdout(5)
    assert held.name == "x-holdout5"
    assert (len(held.train_images), len(held.test_images)) == (15, 5)
    splits = ("train", data), ("train", held), ("test", held)
    whole, *parts = (
        dict(
            zip(
                map(bytes, getattr(of, f"{split}_images").numpy()), getattr(of, f"{split}_labels").tolist(), strict=True
            )
        )
        for split, of in splits
    )
    assert parts[0] | parts[1] == whole  # each once, with its label, and no test image among them
    order = [list(whole).index(image) for image in parts[0]]
    assert order == sorted(order)
    assert data.holdout(5).digest == held.digest != data.digest
    assert data.holdout(5, seed=1).digest not in (held.digest, data.digest)
    assert held.head(10, 5).train_images.equal(held.train_images[:10])
    for wrong in (0, 20, -1, 2.5, "5"):
        with pytest.raises(UsageError, match=r"holdout=.* is not legal: a whole number, 1 to 19"):
            data.holdout(wrong)


def test_what_changes_nothing_gives_the_same_data_with_its_digest():
    data = make()
    for same in (data.to("cpu"), data.head(None, None), data.head(8, 100)):
        assert same is data
