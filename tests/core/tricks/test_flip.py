import copy
import itertools
import multiprocessing
import os
import pickle
import random
import subprocess
import sys
import tempfile
from functools import partial

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    DataLoader,
    Dataset,
    DistributedSampler,
    IterableDataset,
    Subset,
    TensorDataset,
    random_split,
)
from torchvision import tv_tensors
from torchvision.transforms.v2.functional import horizontal_flip

import airbench_core
from airbench_core import AlternatingFlip, DataError, UsageError
from airbench_core.tricks.flip import coin, flip_mask

N = 40

# Python 3.12 and later warn of fork in a process with threads, which torch has; DataLoader's workers start no kernel.
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")


def pictures(n=N):
    """n pictures that darken from left to right, each with its index as label."""
    columns = torch.tensor([9.0, 5.0, 2.0]).expand(n, 1, 2, 3)
    return TensorDataset(columns.clone(), torch.arange(n))


def is_mirrored(images):
    return images[..., 0, 0, 0] < images[..., 0, 0, -1]


def seen(batches):
    """Image index -> whether it was mirrored."""
    return {
        int(label): bool(mirrored)
        for images, labels in batches
        for label, mirrored in zip(labels, is_mirrored(images), strict=True)
    }


def expected(data, epoch, n=N):
    data.set_epoch(epoch)
    return dict(enumerate(data.mirrored(range(n)).tolist()))


@pytest.fixture
def data():
    return AlternatingFlip(pictures())


def test_every_image_shows_its_other_side_in_the_next_epoch(data):
    epochs = []
    for epoch in range(4):
        data.set_epoch(epoch)
        epochs.append(seen(DataLoader(data, batch_size=16, shuffle=True)))
        assert epochs[-1] == expected(data, epoch)
    assert epochs[0] == epochs[2] == {index: not mirrored for index, mirrored in epochs[1].items()}
    assert epochs[1] == epochs[3]
    assert set(epochs[0].values()) == {True, False}


@pytest.mark.parametrize(
    ("start", "workers", "persistent"),
    [("fork", 2, False), ("fork", 2, True), ("spawn", 2, True), ("forkserver", 1, True)],
)
def test_workers_see_each_epoch_also_after_one_that_was_broken_off(data, start, workers, persistent):
    if start not in multiprocessing.get_all_start_methods():
        pytest.skip(f"no {start} on this system")
    loader = DataLoader(
        data,
        batch_size=2,
        shuffle=True,
        num_workers=workers,
        persistent_workers=persistent,
        prefetch_factor=5,  # half of an epoch is under way when it is broken off
        multiprocessing_context=start,
    )
    everyone = [expected(data, epoch) for epoch in range(2)]
    for epoch in range(2):
        data.set_epoch(epoch)
        assert seen(loader) == everyone[epoch]
    data.set_epoch(2)
    for _ in loader:
        break
    data.set_epoch(3)
    assert seen(loader) == everyone[1]


@pytest.mark.parametrize("copied", [lambda data: pickle.loads(pickle.dumps(data)), copy.deepcopy])
def test_a_copy_is_alike_has_an_epoch_of_its_own_and_shares_it_with_its_workers(data, copied):
    data.set_epoch(0)
    twin = copied(data)
    loader = DataLoader(twin, batch_size=8, num_workers=1, persistent_workers=True, multiprocessing_context="fork")
    assert seen(loader) == expected(data, 0)
    twin.set_epoch(1)
    assert data.epoch == 0
    assert seen(loader) == expected(data, 1)


def test_to_read_before_any_epoch_was_set_is_an_error(data):
    for read in (lambda: data[0], lambda: data.mirrored(0), lambda: data.epoch, lambda: list(DataLoader(data))):
        with pytest.raises(UsageError, match="no epoch is set: call set_epoch"):
            read()


def test_the_coin_is_fair_and_independent_from_image_to_image_and_seed_to_seed():
    n = 10_000
    flips = [AlternatingFlip(range(n), seed) for seed in (0, 1, -1, 2**70)]
    for flip in flips:
        flip.set_epoch(0)
    coins = [flip.mirrored(range(n)) for flip in flips]
    first = coins[0]
    # Four standard deviations of n fair tosses.
    assert all(abs(int(coin.sum()) - n / 2) < 200 for coin in coins)
    for shift in (1, 2, 256):
        assert abs(int((first == first.roll(shift)).sum()) - n / 2) < 200
    for other in coins[1:]:
        for shift in (-1, 0, 1):  # a coin of seed + index would be another seed's, moved along
            assert abs(int((first == other.roll(shift)).sum()) - n / 2) < 200


def test_the_coins_are_the_same_in_every_version_and_for_any_length():
    short, long = AlternatingFlip(range(16), seed=3), AlternatingFlip(range(1_000), seed=3)
    short.set_epoch(6)
    long.set_epoch(0)
    assert short.mirrored(range(16)).int().tolist() == [1, 1, 0, 1, 1, 0, 0, 0, 0, 0, 1, 1, 0, 1, 1, 1]
    assert torch.equal(short.mirrored(range(16)), long.mirrored(range(16)))


def test_mirrored_has_the_shape_of_the_indices(data):
    data.set_epoch(0)
    flat = data.mirrored(range(6))
    assert torch.equal(data.mirrored(torch.arange(6).reshape(2, 3)), flat.reshape(2, 3))
    assert torch.equal(data.mirrored(np.arange(6)), flat)
    assert data.mirrored(3).shape == ()
    assert data.mirrored([]).shape == (0,)
    for outside in (N, -N - 1):
        with pytest.raises(IndexError, match="index out of range"):
            data.mirrored([0, outside])


def test_an_image_has_one_coin_however_it_is_asked_for(data):
    data.set_epoch(0)
    for index in range(N):
        picture, label = data[index]
        for same in (index - N, np.int64(index), torch.tensor(index)):
            again, its_label = data[same]
            assert torch.equal(again, picture)
            assert label == its_label == index
        assert data.mirrored(index - N) == data.mirrored(index)
    for outside in (N, -N - 1):
        with pytest.raises(IndexError, match="index out of range"):
            data[outside]
    assert len(list(data)) == len(data) == N


def test_no_random_number_is_used(data):
    def states():
        return torch.get_rng_state().tolist(), random.getstate(), str(np.random.get_state())  # noqa: NPY002

    before = states()
    flip = AlternatingFlip(pictures())
    for epoch in range(2):
        flip.set_epoch(epoch)
        assert len(list(flip)) == N
    assert states() == before


def test_pictures_masks_and_boxes_are_mirrored_together_and_nothing_else():
    image = torch.arange(24.0).reshape(2, 3, 4)
    pil = Image.fromarray(np.arange(12, dtype=np.uint8).reshape(3, 4))
    mask = tv_tensors.Mask(torch.arange(12).reshape(3, 4))
    boxes = tv_tensors.BoundingBoxes([[0, 1, 1, 3]], format="XYXY", canvas_size=(3, 4))
    onehot = torch.tensor([1.0, 0.0, 0.0])
    samples = [
        image,
        (image, onehot),
        (pil, onehot, "name"),
        {"label": onehot, "image": tv_tensors.Image(image), "target": [mask, boxes]},
        (tv_tensors.Video(image[None]), 3),
        (image[None], None),
    ]
    for index, sample in enumerate(samples):
        flip = AlternatingFlip([sample] * (index + 1))
        flip.set_epoch(0)
        flip.set_epoch(0 if flip.mirrored(index) else 1)  # the epoch in which it is mirrored
        mirrored = flip[index]
        flip.set_epoch(flip.epoch + 1)
        assert flip[index] is sample
        samples[index] = mirrored
    plain, pair, (flipped_pil, same_onehot, name), nested, (video, three), (clip, none) = samples
    assert torch.equal(plain, image.flip(-1))
    assert torch.equal(pair[0], image.flip(-1))
    assert pair[1] is same_onehot is nested["label"] is onehot
    assert np.array_equal(np.asarray(flipped_pil), np.asarray(pil)[:, ::-1])
    assert (name, three, none) == ("name", 3, None)
    assert isinstance(nested["image"], tv_tensors.Image)
    assert torch.equal(nested["image"], image.flip(-1))
    assert torch.equal(nested["target"][0], horizontal_flip(mask))
    assert nested["target"][1].tolist() == [[3, 1, 4, 3]]
    assert torch.equal(video[0], image.flip(-1))
    assert torch.equal(clip[0], image.flip(-1))


@pytest.mark.parametrize(
    ("sample", "found"),
    [
        ((np.zeros((2, 2)), 1), "no tensor"),
        ((np.zeros((3, 8, 8)), 1), "no tensor"),  # (C, H, W): turned as (H, W, C) it would stand on its head
        ({"label": torch.tensor(1), "image": torch.zeros(3, 2, 2)}, r"Tensor \(\)"),
        ((torch.zeros(3), torch.zeros(3, 2, 2)), r"Tensor \(3,\)"),
        (tv_tensors.Mask(torch.zeros(2, 2)), r"Mask \(1, 2, 2\)|Mask \(2, 2\)"),
    ],
)
def test_a_sample_that_would_silently_stay_unmirrored_is_an_error(sample, found):
    flip = AlternatingFlip([sample] * 10)
    flip.set_epoch(0)
    with pytest.raises(DataError, match=f"without a picture to mirror .found: ({found}).: give") as caught:
        list(flip)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("dtype", [np.uint8, np.float64, np.uint16])
def test_numpy_pictures_are_mirrored_with_their_masks_and_boxes(dtype):
    """(H, W, C), as albumentations and many data sets give them."""
    image = np.arange(24, dtype=dtype).reshape(3, 4, 2)
    onehot, boxes = (
        torch.tensor([1.0, 0.0]),
        tv_tensors.BoundingBoxes([[0, 1, 1, 3]], format="XYXY", canvas_size=(3, 4)),
    )
    flip = AlternatingFlip([{"label": onehot, "image": image[:, ::-1], "boxes": boxes, "vector": np.arange(3)}])
    flip.set_epoch(0)
    flip.set_epoch(0 if flip.mirrored(0) else 1)
    sample = flip[0]
    assert sample["image"].dtype == dtype
    assert np.array_equal(sample["image"], image)
    assert torch.from_numpy(sample["image"]).is_contiguous()
    assert sample["label"] is onehot
    assert sample["vector"].tolist() == [0, 1, 2]
    assert sample["boxes"].tolist() == [[3, 1, 4, 3]]
    flip.set_epoch(flip.epoch + 1)
    assert flip[0] is flip.dataset[0]
    flip = AlternatingFlip([(np.zeros((2, 2, 3)), torch.arange(6.0).reshape(1, 2, 3))] * 2)  # a tensor comes first
    flip.set_epoch(0)
    flip.set_epoch(0 if flip.mirrored(0) else 1)
    assert flip[0][1].tolist() == [[[2, 1, 0], [5, 4, 3]]]


def test_attributes_of_what_is_wrapped_can_be_read_and_no_way_leads_past_the_flip(data):
    class Named(TensorDataset):
        classes = ("a", "b")
        targets = [0] * N

        def __getitems__(self, indices):
            raise AssertionError("read past the flip")

    flip = AlternatingFlip(Named(*pictures().tensors))
    assert (flip.classes, flip.targets) == (("a", "b"), [0] * N)
    flip.set_epoch(0)
    assert seen(DataLoader(flip, batch_size=8)) == expected(flip, 0)
    assert copy.deepcopy(flip).classes == ("a", "b")
    for missing in ("samples", "_private"):
        assert not hasattr(flip, missing)


def test_memory_is_shared_only_with_workers_and_takes_no_descriptor(data, monkeypatch):
    """Containers have a read-only /dev/shm, and 1,024 descriptors."""
    files = "/proc/self/fd" if os.path.exists("/proc/self/fd") else "/dev/fd"
    before = len(os.listdir(files))
    many = [AlternatingFlip(pictures()) for _ in range(2_000)]
    copies = [pickle.loads(pickle.dumps(one)) for one in many[:100]]
    assert len(os.listdir(files)) <= before + 1
    with monkeypatch.context() as context:

        def read_only(*_, **__):
            raise OSError(30, "Read-only file system")

        context.setattr(tempfile, "mkstemp", read_only)
        context.setattr(torch.UntypedStorage, "_share_fd_cpu_", read_only)
        context.setattr(torch.UntypedStorage, "_share_filename_cpu_", read_only)
        one = AlternatingFlip(pictures())
        one.set_epoch(1)
        assert copy.deepcopy(one).epoch == 1
    del many, copies


def test_forked_and_spawned_workers_of_one_data_set_both_see_its_epoch(data):
    if "fork" not in multiprocessing.get_all_start_methods():
        pytest.skip("no fork on this system")
    load = partial(DataLoader, data, batch_size=8, num_workers=1, persistent_workers=True)
    everyone = [expected(data, epoch) for epoch in range(2)]
    data.set_epoch(0)
    loaders = [load(multiprocessing_context=start) for start in ("fork", "spawn")]
    for loader in loaders:
        assert seen(loader) == everyone[0]
    data.set_epoch(1)
    for loader in loaders:
        assert seen(loader) == everyone[1]


def test_subsets_and_splits_inside_and_outside(data):
    data.set_epoch(1)
    whole = seen(DataLoader(data))
    chosen = [7, 30, 2, 11]
    outside = seen(DataLoader(Subset(data, chosen), batch_size=4))
    assert outside == {index: whole[index] for index in chosen}
    left, right = random_split(data, [25, 15], generator=torch.Generator().manual_seed(0))
    assert seen(DataLoader(left)) | seen(DataLoader(right)) == whole
    inside = AlternatingFlip(Subset(pictures(), chosen))
    inside.set_epoch(1)
    assert seen(DataLoader(inside)) == {index: whole[place] for place, index in enumerate(chosen)}


def test_the_processes_of_a_distributed_training_agree():
    parts = []
    for rank in range(2):
        data = AlternatingFlip(pictures(), seed=5)
        sampler = DistributedSampler(data, num_replicas=2, rank=rank)
        data.set_epoch(3)
        sampler.set_epoch(3)
        parts.append(seen(DataLoader(data, sampler=sampler, batch_size=4)))
    assert len(parts[0]) == len(parts[1]) == N // 2
    assert parts[0] | parts[1] == expected(AlternatingFlip(pictures(), seed=5), 3)


class Stream(IterableDataset):
    def __iter__(self):
        return iter(pictures())


class Unmeasured(Dataset):
    def __getitem__(self, index):
        return pictures()[index]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (lambda: AlternatingFlip(Stream()), "__getitem__ and __len__, and Stream is none"),
        (lambda: AlternatingFlip(Unmeasured()), "Unmeasured is none"),
        (lambda: AlternatingFlip(DataLoader(pictures())), "DataLoader is none"),
        (lambda: AlternatingFlip(iter([])), "list_iterator is none"),
        (lambda: AlternatingFlip(pictures(), seed=0.5), "seed=0.5 is not legal: an integer"),
        (lambda: AlternatingFlip(pictures(), seed=None), "seed=None is not legal: an integer"),
        (lambda: AlternatingFlip(pictures()).set_epoch(-1), "epoch=-1 is not legal: an integer, 0 or more"),
        (lambda: AlternatingFlip(pictures()).set_epoch(1.0), "epoch=1.0 is not legal: an integer"),
    ],
)
def test_errors_are_one_line(wrong, message):
    with pytest.raises(UsageError, match=message) as caught:
        wrong()
    assert "\n" not in str(caught.value)


def test_it_is_imported_when_asked_for_and_not_before():
    code = "import airbench_core, sys; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
    with pytest.raises(AttributeError, match="no attribute 'AlternatingFlop'"):
        _ = airbench_core.AlternatingFlop


def test_alternating_flip_shows_both_sides_in_any_two_epochs(generator):
    first = coin(1000, generator)
    masks = [flip_mask("alternating", epoch, first, generator) for epoch in range(6)]
    assert 400 < first.sum() < 600
    for now, then in itertools.pairwise(masks):
        assert torch.equal(now, ~then)


def test_random_and_no_flip(generator):
    first = coin(1000, generator)
    masks = torch.stack([flip_mask("random", epoch, first, generator) for epoch in range(20)])
    assert 0.45 < masks.float().mean() < 0.55
    assert 0.4 < (masks[1:] == masks[:-1]).float().mean() < 0.6  # no memory from one epoch to the next
    assert not flip_mask("none", 0, first, generator).any()
