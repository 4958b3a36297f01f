"""Which pictures a proxy network keeps of a batch, while it learns, and whether another network finds them hard too."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import tee

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from airbench_core import Dataset, Recipe, Runtime, Trainer, UsageError


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a proxy network chose of the batch of step `step`, counted from 0.

    images: (B, 3, H, W) as the networks see them. labels: (B,). losses: (B,), the proxy's before it learns from the
    batch. kept: bool (B,).
    """

    step: int
    images: Tensor
    labels: Tensor
    losses: Tensor
    kept: Tensor


def watch_proxy(
    recipe: Recipe, data: Dataset, *, scale: str, runtime: Runtime, at: Sequence[int], seed: int = 0
) -> list[Choice]:
    """Train the proxy network of `recipe` as a training does, and note what it chooses in the steps `at`.

    recipe: not scaled. The main network is not trained: it does not act upon the proxy. Raises UsageError for a recipe
    without a proxy, and for steps that its training does not have.
    """
    if recipe.proxy_keep is None:
        raise UsageError("this recipe has no proxy network: take airbench96_faster, or set proxy_keep")
    trainer = Trainer(recipe, data, scale=scale, runtime=runtime)
    if not at or not all(0 <= step < trainer.steps for step in at):
        raise UsageError(f"steps {list(at)} are not legal: 0 to {trainer.steps - 1}")
    proxy, labels_of, found = trainer.proxy, trainer.data.train_labels, []
    with runtime.active():
        next(trainer.step_through(seed))  # up to the first step
        augmentation, batches = trainer.batches(seed)
        whole, batches = tee(batches)
        kept = proxy.hardest(batches, augmentation)
        for step, rows in zip(range(max(at) + 1), whole, strict=False):
            if step in at:
                batch, labels = augmentation.batch(rows), labels_of[rows[:, 0]]
                with torch.no_grad():
                    losses = proxy.losses(batch, labels).float()
                hard = torch.isin(rows[:, 0], next(kept)[:, 0])
                found.append(Choice(step=step, images=batch, labels=labels, losses=losses, kept=hard))
            else:
                next(kept)
    return found


def hardest(choice: Choice, judge: nn.Module) -> Tensor:
    """Which pictures of a batch the network `judge` would have kept, those of the highest loss, as many: bool (B,)."""
    with torch.no_grad():
        dtype = next(judge.parameters()).dtype
        losses = F.cross_entropy(judge.eval()(choice.images.to(dtype)).float(), choice.labels, reduction="none")
    hard = torch.zeros_like(choice.kept)
    hard[losses.topk(int(choice.kept.sum())).indices] = True
    return hard


def agreement(choice: Choice, judge: nn.Module) -> float:
    """Which share of the pictures that were kept the network `judge` would have kept too.

    A choice by lot would agree in the share of the batch that is kept.
    """
    return float((choice.kept & hardest(choice, judge)).sum() / choice.kept.sum())
