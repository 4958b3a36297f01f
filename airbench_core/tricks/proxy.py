"""Proxy data filtering: a small network learns beside the main one and chooses the hard images of each batch for it.

Source: airbench96_faster of github.com/KellerJordan/cifar10-airbench.
"""

import itertools
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor

from airbench_core.augmentation import Augmentation
from airbench_core.learner import Learner
from airbench_core.tricks.compiled import compiled


class Proxy:
    """The small network of `learner`; of each batch it keeps the `keep` images of highest loss.

    It sees each batch whole, in training mode, and learns from every n-th one, from the chosen images alone. The main
    network does not act upon it: to train it first, as the public airbench96_faster does, gives the same images.
    """

    def __init__(self, learner: Learner, keep: int, every: int):
        self.learner, self.keep, self.every = learner, keep, every
        learner.seed_offset = 2**31  # from the main network's own seeds its weights would be a slice of that one's
        self.losses = compiled(learner.losses, learner.runtime.device) if learner.runtime.compile else learner.losses
        if learner.recipe.whiten:
            learner.network.first.bias.requires_grad_(False)

    def hardest(self, batches: Iterable[Tensor], augmentation: Augmentation) -> Iterator[Tensor]:
        """The rows (keep, 6) that are kept of each batch of rows (batch_size, 6)."""

        def choose(rows: Tensor, learns: bool) -> Tensor:
            return self.choose(augmentation.batch(rows), self.learner.data.train_labels[rows[:, 0]], learns)

        learning_rates, take_step = self.learner.recorded(choose, augmentation)
        # A training needs one round of the steps; to measure its speed may take more.
        for step, rows in zip(itertools.cycle(range(self.learner.steps)), batches, strict=False):
            for group, rates in learning_rates:
                group["lr"] = rates[step]
            yield rows[take_step(rows, step % self.every == 0)]

    def choose(self, images: Tensor, labels: Tensor, learns: bool) -> Tensor:
        """Which of the images (B, 3, H, W) are kept: int64 (keep,).

        learns: whether the network takes a step too.
        """
        with torch.set_grad_enabled(learns):
            losses = self.losses(images, labels)
        kept = losses.detach().topk(self.keep, sorted=False).indices
        if learns:
            losses[kept].sum().backward()
            for optimizer in self.learner.optimizers:
                optimizer.step()
                optimizer.zero_grad()
        return kept
