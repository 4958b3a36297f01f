from dataclasses import replace

import pytest
import torch

from torchvision.transforms.functional import hflip, normalize as normalize_one, pad as pad_one  # isort: skip


from airbench_core import AIRBENCH94, UsageError
from airbench_core.augmentation import Augmentation, crop, cutout, normalize, plan


@pytest.fixture
def images(generator):
    return torch.randn(40, 3, 32, 32, generator=generator)


def test_normalize(generator):
    raw = torch.randint(256, (5000, 3, 4, 4), generator=generator, dtype=torch.uint8)
    mean, std = (0.1, 0.2, 0.3), (0.4, 0.5, 0.6)
    ours = normalize(raw, mean, std, torch.float32)
    torch.testing.assert_close(ours, normalize_one(raw / 255, mean, std))
    assert ours.is_contiguous(memory_format=torch.channels_last)
    assert normalize(raw[:3], mean, std, torch.bfloat16).dtype == torch.bfloat16


@pytest.mark.parametrize("pixels", [0, 1, 4])
def test_crops_equal_a_slow_reference(images, generator, pixels):
    padded = pad_one(images, pixels, padding_mode="reflect").contiguous(memory_format=torch.channels_last)
    which = torch.randperm(40, generator=generator)[:17]
    rows, columns = torch.randint(2 * pixels + 1, (2, 17), generator=generator)
    crops = crop(padded, which, rows, columns, 32)
    assert crops.is_contiguous(memory_format=torch.channels_last)
    for i in range(17):
        reference = pad_one(images[which[i]], pixels, padding_mode="reflect")
        assert torch.equal(crops[i], reference[:, rows[i] : rows[i] + 32, columns[i] : columns[i] + 32])


def test_a_mirrored_crop_is_the_crop_mirrored(images, generator):
    augmentation = Augmentation(images, replace(AIRBENCH94, translate=3), generator)
    padded = pad_one(images, 3, padding_mode="reflect")
    rows = augmentation.draw(0)[:25]
    assert 0 < rows[:, 1].sum() < 25
    for image, (which, mirrored, top, left, *_) in zip(augmentation.batch(rows), rows.tolist(), strict=True):
        reference = padded[which, :, top : top + 32, left : left + 32]
        assert torch.equal(image, hflip(reference) if mirrored else reference)


def test_cutout_equals_a_slow_reference(images, generator):
    rows, columns = torch.randint(21, (2, 40), generator=generator)
    ours = cutout(images, rows, columns, 12)
    for i in range(40):
        reference = images[i].clone()
        reference[:, rows[i] : rows[i] + 12, columns[i] : columns[i] + 12] = 0
        assert torch.equal(ours[i], reference)


def make(recipe, images, seed=0):
    return Augmentation(images, recipe, torch.Generator().manual_seed(seed))


def in_order(rows):
    return rows[rows[:, 0].argsort()]


def test_an_epoch_is_a_permutation_and_reshuffle_renews_it(images):
    fresh, kept = make(AIRBENCH94, images), make(replace(AIRBENCH94, reshuffle=False), images)
    orders = [fresh.draw(epoch)[:, 0] for epoch in range(3)]
    assert all(torch.equal(order.sort().values, torch.arange(40)) for order in orders)
    assert not torch.equal(orders[0], orders[1])
    assert torch.equal(kept.draw(0)[:, 0], kept.draw(1)[:, 0])


def test_both_sides_of_each_image_reach_the_network(images):
    augmentation = make(replace(AIRBENCH94, translate=0), images)
    even, odd = (augmentation.batch(in_order(augmentation.draw(epoch))) for epoch in (0, 1))
    assert torch.equal(even, odd.flip(-1))
    assert all(torch.equal(even[i], images[i]) or torch.equal(odd[i], images[i]) for i in range(40))


def test_shifts_are_drawn_evenly_and_anew(generator):
    augmentation = make(replace(AIRBENCH94, flip="none"), torch.randn(5000, 1, 8, 8, generator=generator))
    now, then = (in_order(augmentation.draw(epoch)) for epoch in (0, 1))
    counts = torch.bincount(now[:, 2] * 5 + now[:, 3], minlength=25)
    assert counts.min() > 120  # of 200 expected in each of the 25 places
    assert not torch.equal(now[:, 2], then[:, 2])


def test_cutout_lies_fully_inside_and_moves(images):
    augmentation = make(replace(AIRBENCH94, cutout=12), images.abs() + 1)
    rows = augmentation.draw(0)
    batch = augmentation.batch(rows)
    assert ((batch == 0).flatten(1).sum(1) == 3 * 12 * 12).all()
    assert len({tuple(corner) for corner in rows[:, 4:].tolist()}) > 30


def test_the_seed_decides_everything(images):
    recipe = replace(AIRBENCH94, flip="random", cutout=4)
    batches = []
    for seed in (0, 0, 1):
        augmentation = make(recipe, images, seed)
        batches.append(augmentation.batch(augmentation.draw(0)))
    assert torch.equal(batches[0], batches[1])
    assert not torch.equal(batches[0], batches[2])


@pytest.mark.parametrize(("change", "most"), [({"cutout": 9}, 8), ({"translate": 8}, 7)])
def test_shifts_and_squares_that_are_larger_than_the_images(change, most):
    pictures = torch.zeros(4, 3, 8, 8)
    (name,) = change
    with pytest.raises(UsageError, match=f"{name}=. is too much for images of 8 x 8 pixels: {most} at most"):
        make(replace(AIRBENCH94, **change), pictures)
    augmentation = make(replace(AIRBENCH94, **{name: most}), pictures)
    assert augmentation.batch(augmentation.draw(0)).shape == pictures.shape


def stream(recipe, images, batches):
    return [rows for rows, _ in zip(plan(make(recipe, images)), range(batches), strict=False)]


def test_the_plan_drops_what_fills_no_batch(images):
    recipe = replace(AIRBENCH94, batch_size=15)
    augmentation = make(recipe, images)
    epochs = [augmentation.draw(epoch) for epoch in range(3)]
    expected = [rows for epoch in epochs for rows in (epoch[:15], epoch[15:30])]
    for rows, wanted in zip(stream(recipe, images, 6), expected, strict=True):
        assert torch.equal(rows, wanted)


def test_batches_that_cross_epochs_drop_no_image_and_keep_each_epochs_draw(images):
    recipe = replace(AIRBENCH94, batch_size=15, cross_epochs=True, cutout=4)
    augmentation = make(recipe, images)
    whole = torch.cat([augmentation.draw(epoch) for epoch in range(3)])  # 120 rows
    batches = stream(recipe, images, 8)
    assert all(len(rows) == 15 for rows in batches)
    assert torch.equal(torch.cat(batches), whole)
    sides = whole[:, 1].view(3, 40).gather(1, whole[:, 0].view(3, 40).argsort(1))
    assert torch.equal(sides[0], 1 - sides[1])  # each image is still mirrored in every other epoch
    assert torch.equal(sides[0], sides[2])
