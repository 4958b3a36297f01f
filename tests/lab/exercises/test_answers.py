"""Answers as students write them: wrong ones with the words that they must get, and right ones in several styles.

WRONG: (exercise or (exercise, step), what the first line says, what the hint says or "" for none, the solution).
"""

import math
import statistics
import time

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from airbench_lab.exercises import check
from scipy import stats
from torch import nn

# 01 -----------------------------------------------------------------------------------------------------------------


def triangle(recipe, steps, up=None, down=None):
    peak = int(recipe.lr_peak_at * steps)
    up = np.linspace(recipe.lr_start, 1, peak, endpoint=False) if up is None else up(peak)
    down = np.linspace(1, recipe.lr_end, steps - peak, endpoint=False) if down is None else down(steps - peak)
    return np.concatenate([up, down])


def up_to_the_peak(recipe, steps, endpoint=True):
    return np.linspace(recipe.lr_start, 1, int(recipe.lr_peak_at * steps), endpoint=endpoint)


def ends_at_the_last_step(recipe, steps):
    return triangle(recipe, steps, down=lambda n: np.linspace(1, recipe.lr_end, n))


def linspace_twice(recipe, steps):
    return triangle(
        recipe, steps, lambda n: np.linspace(recipe.lr_start, 1, n), lambda n: np.linspace(1, recipe.lr_end, n)
    )


def percent(recipe, steps):
    return triangle(recipe, steps) * 100


def as_column(recipe, steps):
    return triangle(recipe, steps)[:, None]


def in_a_loop(recipe, steps):
    peak, factors = int(steps * recipe.lr_peak_at), []
    for step in range(steps):
        if step < peak:
            factors.append(recipe.lr_start * (1 - step / peak) + step / peak)
        else:
            share = (step - peak) / (steps - peak)
            factors.append(1 - share + share * recipe.lr_end)
    return factors


def yielded(recipe, steps):
    yield from in_a_loop(recipe, steps)


# 02 -----------------------------------------------------------------------------------------------------------------


def patches_of(images):
    return images.unfold(2, 2, 1).unfold(3, 2, 1).permute(0, 2, 3, 1, 4, 5).reshape(-1, 12).double()


def by_svd(images, eps):
    """No eigh at all: the right singular vectors of the patches."""
    patches = patches_of(images)
    _, singular, vectors = torch.linalg.svd(patches, full_matrices=False)
    filters = vectors / (singular[:, None] ** 2 / len(patches) + eps) ** 0.5
    return torch.cat([filters, -filters]).view(24, 3, 2, 2).float()


def by_eigh(images, eps, negatives=lambda f: torch.cat([f, -f]), layout=lambda images: patches_of(images)):
    patches = layout(images)
    values, vectors = torch.linalg.eigh(patches.T @ patches / len(patches))
    filters = (vectors / (values + eps).sqrt()).T.flip(0)
    return negatives(filters).reshape(-1, 3, 2, 2).float()


def other_signs(images, eps):
    return by_eigh(images, eps) * torch.tensor([1, -1] * 12)[:, None, None, None]


def interleaved(images, eps):
    return by_eigh(images, eps, lambda f: torch.stack([f, -f], 1).flatten(0, 1))


def reversed_negatives(images, eps):
    return by_eigh(images, eps, lambda f: torch.cat([f, -f.flip(0)]))


def negatives_first_and_reversed(images, eps):
    f = by_eigh(images, eps)
    return f.flip(0)


def complex_ones(images, eps):
    patches = patches_of(images)
    values, vectors = torch.linalg.eig(patches.T @ patches / len(patches))
    filters = (vectors / (values + eps).sqrt()).T
    return torch.cat([filters, -filters]).reshape(24, 3, 2, 2)


def pixels_before_channels(images, eps):
    return by_eigh(images, eps, layout=lambda images: patches_of(images).view(-1, 3, 4).transpose(1, 2).reshape(-1, 12))


def as_numpy(images, eps):
    return by_eigh(images, eps).numpy()


def centred_in_place(images, eps):
    filters = by_eigh(images, eps)
    images -= images.mean()
    return filters


def root_of_eps_alone(images, eps):
    return by_eigh(images, eps**0.5)


def scaled(moment, eps):
    values, vectors = torch.linalg.eigh(moment)  # in single precision, as the moment is
    return vectors / torch.sqrt(values + eps)


def columns_turned(moment, eps):
    return scaled(moment, eps).flip(1).reshape(12, 3, 2, 2)


def columns_as_they_are(moment, eps):
    return scaled(moment, eps).reshape(12, 3, 2, 2)


def transposed_too_early(moment, eps):
    values, vectors = torch.linalg.eigh(moment)
    return (vectors.T / torch.sqrt(values + eps)).flip(0).reshape(12, 3, 2, 2)


def moment_by_cov(images):
    return torch.cov(patches_of(images).T)


def moment_by_cov_of_centred_pictures(images):
    patches = patches_of(images)
    return patches.T @ patches / len(patches) / 2


# 03 -----------------------------------------------------------------------------------------------------------------


def dirac(weight):
    new = weight.clone()
    n = min(new.shape[:2])
    nn.init.dirac_(new[:n])
    return new


def by_data(weight):
    weight.data = dirac(weight)


def by_set(weight):
    weight.set_(dirac(weight))


def one_by_data(weight, i):
    row = torch.zeros_like(weight[i])
    row[i, 1, 1] = 1
    weight.data = torch.cat([weight[:i], row[None], weight[i + 1 :]])


def renamed(weight):
    weight = dirac(weight)


def by_copy(weight):
    weight.copy_(dirac(weight))


def by_eye(weight):
    k = weight.shape[-1]
    n = min(weight.shape[0], weight.shape[1])
    weight[:n] = 0
    weight[:n, :n, k // 2, k // 2] = torch.eye(n)


def by_loop(weight):
    for i in range(min(weight.size(0), weight.size(1))):
        weight[i].zero_()
        weight[i, i, weight.size(2) // 2, weight.size(3) // 2] = 1.0
    return weight


def two_instead_of_one(weight):
    by_copy(weight)
    weight[: min(weight.shape[:2])] *= 2


def whole_diagonal(weight):
    for i in range(weight.shape[0]):
        weight[i].zero_()
        weight[i, i, weight.shape[2] // 2, weight.shape[3] // 2] = 1


# 04 -----------------------------------------------------------------------------------------------------------------


def two_groups(network, recipe, **besides):
    k = 1024 * (1 + 1 / (1 - recipe.momentum))
    lr, decay = recipe.lr / k, recipe.weight_decay * recipe.batch_size / k
    norms = {m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d)}
    rest = [p for p in network.parameters() if p.requires_grad and p not in norms]
    fast = lr * recipe.bias_scale
    return [
        {"params": rest, "lr": lr, "weight_decay": decay / lr, **besides},
        {"params": list(norms), "lr": fast, "weight_decay": decay / fast},
    ]


def in_a_tuple(network, recipe):
    return tuple({**group, "params": (p for p in group["params"])} for group in two_groups(network, recipe))


def params_as_a_set(network, recipe):
    return [{**group, "params": set(group["params"])} for group in two_groups(network, recipe)]


def own_momentum(network, recipe):
    return two_groups(network, recipe, momentum=0.5)


def no_nesterov(network, recipe):
    return two_groups(network, recipe, nesterov=True, dampening=0, maximize=True)


def misspelt(network, recipe):
    rest, norms = two_groups(network, recipe)
    rest["decay"] = rest.pop("weight_decay")
    return [rest, norms]


def norms_alone(network, recipe):
    return two_groups(network, recipe)[1:]


def only_the_lists(network, recipe):
    return [group["params"] for group in two_groups(network, recipe)]


# 05 -----------------------------------------------------------------------------------------------------------------


def with_slices(slow, fast, decay):
    for s, f in zip(slow, fast, strict=True):
        s[:] = decay * s + (1 - decay) * f
        f[:] = s


def with_mul_add(slow, fast, decay):
    for s, f in zip(slow, fast, strict=True):
        s.mul_(decay).add_(f, alpha=1 - decay)
    for s, f in zip(slow, fast, strict=True):
        f.copy_(s)


def with_foreach(slow, fast, decay):
    torch._foreach_lerp_(slow, fast, 1 - decay)
    torch._foreach_copy_(fast, slow)


def with_data(slow, fast, decay):
    for s, f in zip(slow, fast, strict=True):
        s.data = decay * s + (1 - decay) * f
        f.data = s.clone()


def into_the_lists(slow, fast, decay):
    for i in range(len(slow)):
        slow[i] = decay * slow[i] + (1 - decay) * fast[i]
        fast[i] = slow[i]


def last_is_forgotten(slow, fast, decay):
    with_slices(slow[:-1], fast[:-1], decay)


def decay_squared_and_swapped(slow, fast, decay):
    with_slices(slow, fast, 1 - decay**2)


def slow_moved_twice(slow, fast, decay):
    for s, f in zip(slow, fast, strict=True):
        s.lerp_(f, 1 - decay)
        s.lerp_(f, 1 - decay)
        f.copy_(s)


# 06 -----------------------------------------------------------------------------------------------------------------


def six(images, tta, weights=(0.25, 0.125, 0.125, 0.25, 0.125, 0.125), mirror=lambda x: x.flip(3)):
    """In an order of its own: the images and their moved copies, then all mirrors."""
    if tta == "none":
        return [images], [1.0]
    if tta == "mirror":
        return [images, mirror(images)], [0.5, 0.5]
    big = F.pad(images, [1, 1, 1, 1], mode="reflect")
    three = [images, big[..., :-2, :-2], big[..., 2:, 2:]]
    return three + [mirror(view) for view in three], weights


def as_tensors(images, tta):
    views, weights = six(images, tta)
    return torch.stack(views), torch.tensor(weights)


def weights_alone(images, tta):
    return six(images, tta)[1]


def views_first_only(images, tta):
    return six(images, tta)[0]


def padded_but_not_cut(images, tta):
    views, weights = six(images, tta)
    return (views if tta != "mirror+translate" else [F.pad(v, [1] * 4, mode="reflect") for v in views]), weights


def weights_one_short(images, tta):
    views, weights = six(images, tta)
    return views, weights[: max(1, len(weights) - 1)]


def weights_too_small(images, tta):
    return six(images, tta, [0.2, 0.1, 0.1, 0.2, 0.1, 0.1])


def weights_by_hand(images, tta):
    return six(images, tta, [0.3, 0.1, 0.1, 0.3, 0.1, 0.1])


def weight_without_comma(images, tta):
    return ([images], (1)) if tta == "none" else six(images, tta)


def views_uneven(images, tta):
    views, weights = six(images, tta)
    return [views[0][..., 1:], *views[1:]] if len(views) > 1 else [None], weights


def moved_without_mirror(images, tta):
    views, weights = six(images, tta)
    return (views if tta != "mirror+translate" else views[:4]), (weights if tta != "mirror+translate" else [0.25] * 4)


# 07 -----------------------------------------------------------------------------------------------------------------


def flips(random=None, alternating=None):
    def mine(flip, epoch, first, generator):
        if flip == "none":
            return torch.zeros(len(first), dtype=torch.bool)
        if flip == "random":
            return random(epoch, first, generator) if random else torch.rand(len(first), generator=generator) < 0.5
        return alternating(epoch, first, generator) if alternating else (first if epoch % 2 == 0 else ~first)

    return mine


def numbers(share):
    return lambda epoch, first, generator: torch.rand(len(first), generator=generator) < share


def blocks(epoch, first, generator):
    return (torch.rand(len(first) // 10, generator=generator) < 0.5).repeat_interleave(10)


def tiled(epoch, first, generator):
    return (torch.rand(len(first) // 2, generator=generator) < 0.5).repeat(2)


def mirrored_halves(epoch, first, generator):
    half = torch.rand(len(first) // 2, generator=generator) < 0.5
    return torch.cat([half, ~half])


def seeded_by_epoch(epoch, first, generator):
    return torch.rand(len(first), generator=torch.Generator().manual_seed(epoch)) < 0.5


def numpy_by_epoch(epoch, first, generator):
    return torch.from_numpy(np.random.default_rng(epoch).random(len(first)) < 0.5)


def first_and_a_few(epoch, first, generator):
    return first ^ (torch.rand(len(first), generator=generator) < 0.3)


def shuffled_first(epoch, first, generator):
    return first[torch.randperm(len(first), generator=generator)]


def front_more_often(epoch, first, generator):
    share = torch.linspace(0.9, 0.1, len(first))
    return torch.rand(len(first), generator=generator) < share


def only_even_epochs(flip, epoch, first, generator):
    if flip != "alternating":
        return flips()(flip, epoch, first, generator)
    return first if epoch % 2 == 0 else None


# 08 -----------------------------------------------------------------------------------------------------------------


def timed(function, warm_up, repeats, synchronize, now):
    for _ in range(warm_up):
        function()
    synchronize()
    start = now()
    for _ in range(repeats):
        function()
    synchronize()
    return (now() - start) / repeats


def with_real_clock(function, warm_up, repeats, synchronize, now):
    return timed(function, warm_up, repeats, synchronize, time.perf_counter)


def without_brackets(function, warm_up, repeats, synchronize, now):
    for _ in range(warm_up):
        function()
    synchronize()
    start = now()
    for _ in range(repeats):
        function()
    synchronize()
    return now() - start / repeats


def warm_up_counted(function, warm_up, repeats, synchronize, now):
    return timed(function, 0, warm_up + repeats, synchronize, now)


def clock_not_called(function, warm_up, repeats, synchronize, now):
    return (now - now) / repeats


def one_call_more(function, warm_up, repeats, synchronize, now):
    return timed(function, warm_up + 1, repeats, synchronize, now)


def milliseconds(function, warm_up, repeats, synchronize, now):
    return 1000 * timed(function, warm_up, repeats, synchronize, now)


def all_times(function, warm_up, repeats, synchronize, now):
    return [timed(function, warm_up if i == 0 else 0, 1, synchronize, now) for i in range(repeats)]


# 09 -----------------------------------------------------------------------------------------------------------------


def with_ttest_rel(a, b):
    seeds = sorted(a)
    found = stats.ttest_rel([b[s] for s in seeds], [a[s] for s in seeds])
    low, high = found.confidence_interval(0.95)
    return np.mean([b[s] - a[s] for s in seeds]), low, high


def as_list(a, b):
    d = np.array([b[s] - a[s] for s in a])
    low, high = stats.t.interval(0.95, len(d) - 1, d.mean(), d.std(ddof=1) / len(d) ** 0.5)
    return [d.mean(), low, high]


def numpy_std(a, b):
    d = np.array([b[s] - a[s] for s in a])
    half = stats.t.ppf(0.975, len(d) - 1) * d.std() / len(d) ** 0.5
    return d.mean(), d.mean() - half, d.mean() + half


def mean_alone(a, b):
    return np.mean([b[s] - a[s] for s in a])


def mean_and_half(a, b):
    mean, low, high = as_list(a, b)
    return mean, (high - low) / 2


def mean_in_the_middle(a, b):
    mean, low, high = as_list(a, b)
    return low, mean, high


def ends_swapped(a, b):
    mean, low, high = as_list(a, b)
    return mean, high, low


def at_90(a, b):
    return np.mean([b[s] - a[s] for s in a]), *with_level(a, b, 0.9)


def with_level(a, b, level):
    d = np.array([b[s] - a[s] for s in a])
    return stats.t.interval(level, len(d) - 1, d.mean(), d.std(ddof=1) / len(d) ** 0.5)


# 10 -----------------------------------------------------------------------------------------------------------------


def cut_in_a_loop(images, rows, columns, size):
    out = images.clone()
    for image, row, column in zip(out, rows, columns, strict=True):
        image[:, row : row + size, column : column + size] = 0
    return out


def cut_by_product(images, rows, columns, size):
    y, x = torch.arange(images.shape[2]), torch.arange(images.shape[3])
    inside_y = (y[None] >= rows[:, None]) & (y[None] < rows[:, None] + size)
    inside_x = (x[None] >= columns[:, None]) & (x[None] < columns[:, None] + size)
    return images * ~(inside_y[:, None, :, None] & inside_x[:, None, None, :])


def cut_with_minus(images, rows, columns, size):
    return images * (1 - (images == cut_in_a_loop(images, rows, columns, size)))


def negated_mask(images, rows, columns, size):
    return images * -(images == cut_in_a_loop(images, rows, columns, size))


def cut_to_half(images, rows, columns, size):
    return (images + cut_in_a_loop(images, rows, columns, size)) / 2


def inclusive(images, rows, columns, size):
    return cut_in_a_loop(images, rows, columns, size + 1)


def first_picture_only(images, rows, columns, size):
    return torch.cat([cut_in_a_loop(images[:1], rows[:1], columns[:1], size), images[1:]])


def wrong_broadcast(images, rows, columns, size):
    return images * (torch.arange(images.shape[2]) < rows)


# 11 -----------------------------------------------------------------------------------------------------------------


def ns(matrices, steps, square=lambda x: x @ x.mT, more=lambda x: x, side=lambda x: x):
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = square(x)
        x = 3.4445 * x - 4.7750 * s @ x + 2.0315 * s @ s @ x
    return more(x)


def rounded_coefficients(matrices, steps):
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    for _ in range(steps):
        s = x @ x.mT
        x = 3 * x - 4 * s @ x + 2 * s @ s @ x
    return x


def in_double(matrices, steps):
    return ns(matrices.double(), steps)


def one_by_one(matrices, steps):
    return torch.stack([ns(matrix[None], steps)[0] for matrix in matrices])


def first_matrix(matrices, steps):
    return ns(matrices[:1], steps)


def transposed(matrices, steps):
    return ns(matrices, steps).mT


def entrywise_square(matrices, steps):
    return ns(matrices, steps, square=lambda x: x * x)


# 12 -----------------------------------------------------------------------------------------------------------------


def by_ttest(accuracies, target):
    p = stats.ttest_1samp(accuracies, target, alternative="less").pvalue
    return p, p >= 0.05


def by_hand(accuracies, target):
    n = len(accuracies)
    t = (statistics.fmean(accuracies) - target) / (statistics.stdev(accuracies) / math.sqrt(n))
    return [stats.t.cdf(t, df=n - 1), not stats.t.cdf(t, df=n - 1) < 0.05]


def mean_decides(accuracies, target):
    return by_ttest(accuracies, target)[0], statistics.fmean(accuracies) >= target


def greater(accuracies, target):
    p = stats.ttest_1samp(accuracies, target, alternative="greater").pvalue
    return p, p < 0.05


def verdict_alone(accuracies, target):
    return by_ttest(accuracies, target)[1]


def verdict_as_text(accuracies, target):
    p, passed = by_ttest(accuracies, target)
    return p, "yes" if passed else "no"


def one_percent(accuracies, target):
    p, _ = by_ttest(accuracies, target)
    return p, p >= 0.01


def in_percent(accuracies, target):
    p, passed = by_ttest(accuracies, target)
    return 100 * p, passed


def raises(flip, epoch, first, generator):
    return flips(alternating=lambda epoch, first, generator: -first if epoch % 2 else first)(
        flip, epoch, first, generator
    )


def raises_too(flip, epoch, first, generator):
    return 1 - first if flip == "alternating" and epoch % 2 else flips()(flip, epoch, first, generator)


WRONG = [
    ("schedule", "15 of 20 entries differ. The first is [5]", "lr_end already", ends_at_the_last_step),
    (
        "schedule",
        "18 of 20 entries differ. The first is [1]: yours is 0.466667, right is 0.4",
        "its end point",
        linspace_twice,
    ),
    ("schedule", "All are 100 times the right", "", percent),
    ("schedule", "yours has the shape (20, 1), right is (20,)", "", as_column),
    ("schedule", "yours has 21 entries, right are 20", "", lambda recipe, steps: [0, *triangle(recipe, steps)]),
    ("schedule", "yours is of the type dict", "", lambda recipe, steps: dict(enumerate(triangle(recipe, steps)))),
    (("schedule", "peak"), "yours is 7, right is 6", "int()", lambda recipe, steps: round(recipe.lr_peak_at * steps)),
    (("schedule", "up"), "3 of 4 entries differ. The first is [1]", "a step too early", up_to_the_peak),
    ("whitening", "The first is [1, 0, 0, 0]", "followed by its own negative", interleaved),
    ("whitening", "The first is [12, 0, 0, 0]", "in reverse order", reversed_negatives),
    ("whitening", "right numbers in another order", "smallest eigenvalue comes first", negatives_first_and_reversed),
    ("whitening", "yours holds complex numbers, right holds numbers", "", complex_ones),
    ("whitening", "entries differ. The first is [0, 0, 0, 1]", "", pixels_before_channels),
    ("whitening", "yours is of the type ndarray, right is a tensor (24, 3, 2, 2)", "", as_numpy),
    ("whitening", "entries differ. The first is", "", root_of_eps_alone),
    ("whitening", "What your function was given, after the call: all", "", centred_in_place),
    (("whitening", "filters"), "136 of 144 entries differ", "as columns. Transpose.", columns_turned),
    (("whitening", "filters"), "142 of 144 entries differ", "Transpose, and turn the order", columns_as_they_are),
    (("whitening", "filters"), "126 of 144 entries differ", "Divide first", transposed_too_early),
    (("whitening", "moment"), "entries differ. The first is [0, 0]", "uncentred", moment_by_cov),
    (("whitening", "moment"), "All are 0.5 times the right", "", moment_by_cov_of_centred_pictures),
    ("identity", "The first is [0, 0, 0, 0]: yours is -1.12", "as it was before the call", by_data),
    ("identity", "The first is [0, 0, 0, 0]: yours is -1.12", "as it was before the call", by_set),
    ("identity", "The first is [0, 0, 0, 0]: yours is -1.12", "as it was before the call", renamed),
    (("identity", "dirac"), "The first is [3, 0, 0, 0]", "as it was before the call", one_by_data),
    ("identity", "The first is [0, 0, 1, 1]: yours is 2, right is 1. All are 2 times", "", two_instead_of_one),
    ("identity", "raised IndexError in the line `weight[i, i, weight.shape[2]", "", whole_diagonal),
    ("groups", 'says to these groups: yours is "optimizer parameters need to be organized', "", params_as_a_set),
    ("groups", "sets: yours is {'momentum': 0.5}, right is nothing", "", own_momentum),
    ("groups", "sets: yours is {'maximize': True}, right is nothing", "", no_nesterov),
    ("groups", "The weight_decay of first.bias: yours is 0, right is", "", misspelt),
    ("groups", "How often first.bias is in a group: yours is 0, right is 1", "", norms_alone),
    ("groups", "says to these groups: yours is", "", only_the_lists),
    ("lookahead", "`slow[0]`: all 48 entries differ", "nothing has changed", with_data),
    ("lookahead", "`slow[0]`: all 48 entries differ", "nothing has changed", into_the_lists),
    ("lookahead", "`slow[3]`: all 40 entries differ", "", last_is_forgotten),
    ("lookahead", "`slow[0]`: all 48 entries differ", "", decay_squared_and_swapped),
    ("lookahead", "`slow[0]`: all 48 entries differ", "d is squared", slow_moved_twice),  # which gives the same
    ("tta_views", "The answer: yours is 1 value, right is 2 values", "", weights_alone),
    ("tta_views", "The answer: yours is 1 value, right is 2 values", "", views_first_only),
    ("tta_views", "The shape of a view: yours is (3, 3, 10, 10), right is (3, 3, 8, 8)", "", padded_but_not_cut),
    ("tta_views", "The number of weights: yours is 1, right is 2", "", weights_one_short),
    ("tta_views", "The sum of the weights: yours is 0.8, right is 1", "", weights_too_small),
    ("tta_views", "The image itself: yours is weight 0.3, right is weight 0.25", "", weights_by_hand),
    ("tta_views", "The weights: yours is the number 1, right is a tuple of numbers", "", weight_without_comma),
    ("tta_views", "The views: yours is something else, right is a list of tensors of one shape", "", views_uneven),
    ("tta_views", "The number of views: yours is 4, right is 6", "mirrors of the moved copies", moved_without_mirror),
    ("flip", "The share that is mirrored: yours is 46.2 %, right is 50 %", "", flips(numbers(0.46))),
    ("flip", "The share that is mirrored: yours is 52.2 %, right is 50 %", "", flips(numbers(0.52))),
    ("flip", "The images that turn together with others: yours is 1000, right is 0", "", flips(blocks)),
    ("flip", "The images that turn together with others: yours is 1000, right is 0", "", flips(tiled)),
    ("flip", "The images that turn together with others: yours is 1000, right is 0", "", flips(mirrored_halves)),
    (
        "flip",
        "Two seeds of `generator` side by side: yours is the same",
        "seeded with the epoch",
        flips(seeded_by_epoch),
    ),
    (
        "flip",
        "Two seeds of `generator` side by side: yours is the same",
        "seeded with the epoch",
        flips(numpy_by_epoch),
    ),
    ("flip", "An epoch beside `first`: yours is alike in 7", "", flips(first_and_a_few)),
    ("flip", "The share of epochs in which one image is mirrored: yours is", "", flips(front_more_often)),
    ("flip", "How many are mirrored in the epochs: yours is as many in each", "", flips(shuffled_first)),
    ("flip", "The mask of epoch 1 is None", "", only_even_epochs),
    ("flip", "raised NotImplementedError in the line", "The opposite of a mask is `~mask`", raises),
    ("flip", "raised NotImplementedError in the line", "The opposite of a mask is `~mask`", raises_too),
    ("timing", "The clock `now()`: yours is not read, right is read.", "", with_real_clock),
    ("timing", "The seconds of a call: yours is", "Put brackets around the difference", without_brackets),
    ("timing", "The seconds of a call: yours is", "the warm-up is timed and counted", warm_up_counted),
    ("timing", "unsupported operand type(s) for -: 'method'", "a function is not called there", clock_not_called),
    (("paired_difference", "differences"), "unsupported operand", "two dicts cannot be subtracted", lambda a, b: b - a),
    (
        ("paired_difference", "differences"),
        "yours is of the type dict, right is a list of 3 numbers.",
        "",
        lambda a, b: {seed: b[seed] - a[seed] for seed in a},
    ),
    ("paired_difference", "The mean: yours is", "in another order: the mean comes first", mean_in_the_middle),
    ("timing", "The calls that were made: yours is 4, right is 3", "", one_call_more),
    ("timing", "The seconds of a call: yours is 11", "", milliseconds),
    ("timing", "The seconds of a call: yours has the shape (3,), right is ()", "", all_times),
    ("paired_difference", "The low end: yours is", "was taken with n. Of a sample", numpy_std),
    ("paired_difference", "The answer: yours is the number 0.3, right is 3 values", "", mean_alone),
    ("paired_difference", "The answer: yours is 2 values, right is 3 values", "", mean_and_half),
    ("paired_difference", "The low end: yours is", "in another order: the mean comes first", ends_swapped),
    ("paired_difference", "The low end: yours is", "quantile 0.95", at_90),
    ("cutout", "raised NotImplementedError in the line", "The opposite of a mask is `~mask`", cut_with_minus),
    ("cutout", "raised NotImplementedError in the line", "The opposite of a mask is `~mask`", negated_mask),
    ("cutout", "2576 of 18432 entries differ. The first is [0, 0, 5, 18]", "", cut_to_half),
    ("cutout", "450 of 18432 entries differ", "one pixel too large", inclusive),
    ("cutout", "The first is [1, 0,", "", first_picture_only),
    ("cutout", "raised RuntimeError in the line", "two shapes do not fit together", wrong_broadcast),
    ("newton_schulz", "entries differ", "", rounded_coefficients),
    ("newton_schulz", "yours has the shape (1, 12, 12), right is (3, 12, 12)", "", first_matrix),
    ("newton_schulz", "right numbers in another order", "", transposed),
    ("newton_schulz", "entries differ", "", entrywise_square),
    ("passes", "Whether it passes: yours is False, right is True", "compares the mean with the target", mean_decides),
    ("passes", "`p`: yours is 0.9", "a stricter rule", greater),
    ("passes", "The answer: yours is of the type bool, right is 2 values", "", verdict_alone),
    ("passes", "Whether it passes: yours is yes, right is True", "", verdict_as_text),
    ("passes", "Whether it passes: yours is True, right is False", "the bound is not", one_percent),
    ("passes", "`p`: yours is", "", in_percent),
]
RIGHT = [
    ("schedule", triangle),
    (("schedule", "up"), lambda recipe, steps: up_to_the_peak(recipe, steps, endpoint=False)),
    ("schedule", in_a_loop),
    ("schedule", yielded),
    ("whitening", by_svd),
    ("whitening", by_eigh),
    (
        ("whitening", "moment"),
        lambda images: torch.einsum("pi,pj->ij", *[patches_of(images)] * 2) / (len(images) * 961),
    ),
    ("identity", by_copy),
    ("identity", by_eye),
    ("identity", by_loop),
    ("groups", two_groups),
    ("groups", in_a_tuple),
    ("lookahead", with_slices),
    ("lookahead", with_mul_add),
    ("lookahead", with_foreach),
    ("tta_views", six),
    ("tta_views", as_tensors),
    ("flip", flips()),
    ("flip", flips(lambda epoch, first, generator: torch.randint(2, first.shape, generator=generator).bool())),
    (
        "flip",
        flips(lambda epoch, first, generator: torch.bernoulli(torch.full(first.shape, 0.5), generator=generator) == 1),
    ),
    ("flip", flips(alternating=lambda epoch, first, generator: torch.logical_xor(first, torch.tensor(epoch % 2 == 1)))),
    ("timing", timed),
    ("paired_difference", with_ttest_rel),
    ("paired_difference", as_list),
    ("paired_difference", lambda a, b: np.array(as_list(a, b))),
    ("cutout", cut_in_a_loop),
    ("cutout", cut_by_product),
    ("newton_schulz", in_double),
    ("newton_schulz", one_by_one),
    ("passes", by_ttest),
    ("passes", by_hand),
]


def named(answer):
    return (answer, None) if isinstance(answer, str) else answer


@pytest.mark.parametrize(("answer", "first", "hint", "solution"), WRONG, ids=[w[3].__name__ for w in WRONG])
def test_a_wrong_answer_is_told_what_differs_and_why_only_if_that_is_sure(answer, first, hint, solution):
    name, step = named(answer)
    result = check(name, solution, step)
    assert first in result.differs
    assert hint in result.hint if hint else not result.hint
    assert str(result).splitlines()[-1 - bool(hint)] == result.differs  # first what differs


@pytest.mark.parametrize(("answer", "solution"), RIGHT, ids=[f"{r[0]} {r[1].__name__}" for r in RIGHT])
def test_a_right_answer_passes_in_whatever_style(answer, solution):
    name, step = named(answer)
    result = check(name, solution, step)
    assert result.passed, str(result)
