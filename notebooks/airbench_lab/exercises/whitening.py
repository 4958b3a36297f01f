"""Lesson 02: the filters that whiten patches."""

import torch
import torch.nn.functional as F
from torch import Tensor

from airbench_core.tricks.whitening import whitening_filters
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def pictures(n: int, seed: int) -> Tensor:
    """Smooth random pictures (n, 3, 32, 32), whose neighbouring pixels are nearly alike and whose mean is not 0."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.randn(n, 3, 8, 8, generator=generator)
    smooth = F.interpolate(coarse, size=32, mode="bilinear")
    return smooth + 0.3 * torch.randn(n, 3, 32, 32, generator=generator) + torch.tensor([0.5, 0.2, -0.3])[:, None, None]


def _variant(
    *, n=lambda images, positions: images * positions, root=lambda values, eps: torch.sqrt(values + eps), **other
):
    """`whitening_filters` with something done otherwise."""

    def wrong(images: Tensor, eps: float) -> Tensor:
        patches = F.unfold(images.float(), 2)  # (N, 12, positions)
        if other.get("centred"):
            patches = patches - patches.mean((0, 2), keepdim=True)
        moment = (patches @ patches.mT).sum(0) / n(len(patches), patches.shape[2])
        values, vectors = torch.linalg.eigh(moment.double())
        filters = vectors / root(values, other.get("eps", eps))
        filters = filters if other.get("columns") else filters.T
        filters = filters if other.get("ascending") else filters.flip(1 if other.get("columns") else 0)
        filters = torch.cat([filters, other.get("sign", -1) * filters])[: other.get("keep", 24)].float()
        return filters if other.get("flat") else filters.reshape(-1, 3, 2, 2)

    return wrong


def _form(filters: Tensor) -> Tensor:
    """Filters without the sign that each eigenvector happens to have: each with its products, and with its negation."""
    rows = filters.double().flatten(1)
    return torch.stack([torch.einsum("fi,fj->fij", rows, rows), torch.einsum("fi,fj->fij", rows, rows.roll(12, 0))])


WHITENING = Exercise(
    name="whitening",
    part="whiten",
    reference=whitening_filters,
    form=_form,
    cases=(
        Case("24 filters that whiten the patches of 64 pictures", lambda: (pictures(64, 0), 5e-4)),
        Case("and those of others, with a large eps", lambda: (pictures(32, 1), 0.5)),
    ),
    mistakes=(
        Mistake(
            _variant(keep=12), "there are 12 filters: the same 12 negated belong to them, since GELU loses one sign."
        ),
        Mistake(
            _variant(sign=1), "the last 12 filters are the first 12 once more: they should have the opposite sign."
        ),
        Mistake(_variant(flat=True), "these are rows of 12 numbers: reshape them to filters of shape (3, 2, 2)."),
        Mistake(
            _variant(root=lambda values, eps: values.clamp(min=0).sqrt() + eps),
            "eps stands outside the root: it is added to the eigenvalue, sqrt(eigenvalue + eps).",
        ),
        Mistake(
            _variant(root=lambda values, eps: values + eps),
            "you divide by the eigenvalue, which is a variance: divide by its root.",
        ),
        Mistake(
            _variant(root=lambda values, eps: torch.ones_like(values)),
            "these are the eigenvectors themselves: divide each by the root of its eigenvalue plus eps.",
        ),
        Mistake(
            _variant(n=lambda images, positions: 1),
            "the filters are too small: P'P is a sum over all patches; divide it by their number to have a mean.",
        ),
        Mistake(
            _variant(n=lambda images, positions: images),
            "P'P was divided by the number of pictures: there are 31 x 31 patches in each.",
        ),
        Mistake(_variant(centred=True), "you took the mean patch away: the second moment is uncentred, P'P / n."),
        Mistake(
            _variant(columns=True),
            "a filter is a row here, and torch.linalg.eigh gives eigenvectors as columns: transpose.",
        ),
        Mistake(_variant(ascending=True), "the largest eigenvalue comes first: torch.linalg.eigh sorts them upwards."),
        Mistake(_variant(eps=5e-4), "with another eps nothing changes: take the argument, not a constant."),
    ),
    otherwise=(
        "the responses to the patches are not yet uncorrelated and of equal spread. Look at one step after the other: "
        "(n, 12) patches, their 12 x 12 second moment, its eigenvectors, each over the root of its eigenvalue plus eps."
    ),
)
