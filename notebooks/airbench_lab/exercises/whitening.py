"""Lesson 02: the filters that whiten patches. Three steps: the second moment, the scaled eigenvectors, both signs."""

from collections.abc import Callable
from functools import cache, partial
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.tricks.whitening import whitening_filters
from airbench_lab.exercises.checking import Case, Exercise, Mistake

GIVEN = "what your function was given, after the call"  # the training goes on with these images
KEY = torch.randn(12, generator=torch.Generator().manual_seed(2), dtype=torch.double)


@cache
def pictures(n: int, seed: int) -> Tensor:
    """Smooth random pictures (n, 3, 32, 32), whose neighbouring pixels are nearly alike and whose mean is not 0."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=32, mode="bilinear")
    return smooth + 0.3 * torch.randn(n, 3, 32, 32, generator=generator) + torch.tensor([0.5, 0.2, -0.3])[:, None, None]


def second_moment(
    images: Tensor, over: Callable[[int, int], int] = lambda n, positions: n * positions, centred: bool = False
) -> Tensor:
    """The uncentred second moment (12, 12) of the 2x2 patches of images (N, 3, H, W): P'P over their number."""
    patches = F.unfold(images.float(), 2)  # (N, 12, positions)
    patches = patches - patches.mean((0, 2), keepdim=True) if centred else patches
    return (patches @ patches.mT).sum(0) / over(len(patches), patches.shape[2])


def scaled_eigenvectors(
    moment: Tensor,
    eps: float,
    root: Callable[[Tensor, float], Tensor] = lambda values, eps: torch.sqrt(values + eps),
    arranged: Callable[[Tensor], Tensor] = lambda columns: columns.T.flip(0),
    dtype: torch.dtype = torch.double,
) -> Tensor:
    """Its eigenvectors over sqrt(eigenvalue + eps), as filters (12, 3, 2, 2), the largest eigenvalue first."""
    values, vectors = torch.linalg.eigh(moment.to(dtype))
    return arranged(vectors / root(values, eps)).float().reshape(12, 3, 2, 2)


def both_signs(filters: Tensor) -> Tensor:
    """Filters (12, 3, 2, 2) and then the same negated: (24, 3, 2, 2)."""
    return torch.cat([filters, -filters])


def _signless(function: Callable, *arguments: Any) -> dict[str, Any]:
    """The filters; of the right shape without the sign that each eigenvector happens to have."""
    filters = function(*arguments)
    shape = tuple(filters.shape) if isinstance(filters, Tensor) and filters.is_floating_point() else ()
    if shape in ((12, 3, 2, 2), (24, 3, 2, 2)):
        signs = (filters[:12].double().flatten(1) @ KEY).sign().repeat(len(filters) // 12)
        filters = filters.double() * signs[:, None, None, None]
    return {"the filters, the signs of eigenvectors aside": filters, GIVEN: arguments[0]}


def _whole(moment: Callable = second_moment, scaled: Callable = scaled_eigenvectors, signs: Callable = both_signs):
    return lambda images, eps: signs(scaled(moment(images), eps))


MOMENT = Exercise(
    name="moment",
    reference=second_moment,
    observe=lambda function, images: {"the moment": function(images), GIVEN: images},
    cases=(
        Case("the 12 x 12 second moment of the patches of 64 pictures", lambda: (pictures(64, 0),)),
        Case("and of 32 others", lambda: (pictures(32, 1),)),
    ),
    mistakes=(
        Mistake(
            partial(second_moment, over=lambda n, positions: 1),
            "P'P is a sum over all patches. Divide it by their number to have a mean.",
        ),
        Mistake(
            partial(second_moment, over=lambda n, positions: n),
            "P'P was divided by the number of pictures. There are 31 x 31 patches in each.",
        ),
        Mistake(
            partial(second_moment, centred=True),
            "you took the mean patch away (torch.cov does that too). The second moment is uncentred: P'P / n.",
        ),
    ),
)
UNTURNED = (
    (
        lambda columns: columns.flip(1),
        "a filter is a row here, and torch.linalg.eigh gives eigenvectors as columns. Transpose.",
    ),
    (
        lambda columns: columns,
        "a filter is a row here, and torch.linalg.eigh gives eigenvectors as columns. Transpose, and turn the order "
        "round: the largest eigenvalue comes first.",
    ),
)


def _rows_divided(moment: Tensor, eps: float, dtype: torch.dtype) -> Tensor:
    values, vectors = torch.linalg.eigh(moment.to(dtype))
    return (vectors.T / torch.sqrt(values + eps)).flip(0).float().reshape(12, 3, 2, 2)


FILTERS = Exercise(
    name="filters",
    reference=scaled_eigenvectors,
    observe=_signless,
    cases=(
        Case("12 filters: eigenvectors over sqrt(eigenvalue + eps)", lambda: (second_moment(pictures(64, 0)), 5e-4)),
        Case("and those of others, with a large eps", lambda: (second_moment(pictures(32, 1)), 0.5)),
    ),
    mistakes=(
        Mistake(
            partial(scaled_eigenvectors, root=lambda values, eps: values.clamp(min=0).sqrt() + eps),
            "eps stands outside the root. It is added to the eigenvalue: sqrt(eigenvalue + eps).",
        ),
        Mistake(
            partial(scaled_eigenvectors, root=lambda values, eps: values + eps),
            "you divide by the eigenvalue, which is a variance. Divide by its root.",
        ),
        Mistake(
            partial(scaled_eigenvectors, root=lambda values, eps: torch.ones_like(values)),
            "these are the eigenvectors themselves. Divide each by the root of its eigenvalue plus eps.",
        ),
        Mistake(
            partial(scaled_eigenvectors, root=lambda values, eps: 1 / torch.sqrt(values + eps)),
            "you multiply by the root. Divide by it: directions in which patches spread a lot are made small.",
        ),
        *(  # signs that eigenvectors have by chance differ between the two; across rows they cannot be taken away
            Mistake(partial(scaled_eigenvectors, arranged=wrong, dtype=dtype), hint)
            for dtype in (torch.float, torch.double)
            for wrong, hint in UNTURNED
        ),
        *(
            Mistake(
                partial(_rows_divided, dtype=dtype),
                "transposed, each eigenvector is a row, and the division runs along it: its 12 entries are divided by "
                "12 roots. Divide first, then transpose.",
            )
            for dtype in (torch.float, torch.double)
        ),
        Mistake(
            partial(scaled_eigenvectors, arranged=lambda columns: columns.T),
            "the smallest eigenvalue comes first, as torch.linalg.eigh sorts them. Turn the order round: flip(0).",
        ),
        Mistake(
            lambda moment, eps: scaled_eigenvectors(moment, 5e-4),
            "with another eps nothing changes. Use the argument, not a constant.",
        ),
    ),
)
SIGNS = Exercise(
    name="signs",
    reference=both_signs,
    cases=(
        Case(
            "24 filters: the 12, then the same with the opposite sign",
            lambda: (scaled_eigenvectors(second_moment(pictures(64, 0)), 5e-4),),
        ),
    ),
    mistakes=(
        Mistake(
            lambda filters: filters,
            "the same 12 negated are missing. GELU loses one sign, so both go in.",
        ),
        Mistake(
            lambda filters: torch.cat([filters, filters]),
            "the last 12 filters are the first 12 once more. They should have the opposite sign.",
        ),
        Mistake(
            lambda filters: torch.stack([filters, -filters], 1).flatten(0, 1),
            "each filter is followed by its own negative. All twelve come first, then all negatives: torch.cat.",
        ),
        Mistake(
            lambda filters: torch.cat([filters, -filters.flip(0)]),
            "the negatives come in reverse order. Filter 12 + i is the negative of filter i.",
        ),
        Mistake(
            lambda filters: torch.cat([filters, -filters]).flatten(1),
            "these are rows of 12 numbers. Reshape them to filters (3, 2, 2).",
        ),
    ),
)
WHITENING = Exercise(
    name="whitening",
    part="whiten",
    reference=whitening_filters,
    observe=_signless,
    steps=(MOMENT, FILTERS, SIGNS),
    cases=(
        Case("24 filters that whiten the patches of 64 pictures", lambda: (pictures(64, 0), 5e-4)),
        Case("and those of others, with a large eps", lambda: (pictures(32, 1), 0.5)),
    ),
    mistakes=(
        *(Mistake(_whole(signs=mistake.wrong), mistake.hint) for mistake in SIGNS.mistakes),
        *(Mistake(_whole(scaled=mistake.wrong), mistake.hint) for mistake in FILTERS.mistakes),
        *(Mistake(_whole(moment=mistake.wrong), mistake.hint) for mistake in MOMENT.mistakes),
    ),
)
