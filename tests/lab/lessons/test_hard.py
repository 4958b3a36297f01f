"""What a proxy network keeps, watched: the same as in a training."""

from dataclasses import replace

import pytest
import torch
from airbench_lab.data import load_dataset
from airbench_lab.lessons.hard import Choice, agreement, hardest, watch_proxy

from airbench_core import AIRBENCH94, AIRBENCH96_FASTER, Runtime, Trainer, UsageError

RECIPE = replace(AIRBENCH96_FASTER, epochs=5, widths=(16, 32, 32))
CPU = Runtime(device=torch.device("cpu"), dtype=torch.float32, threads=1)


@pytest.fixture(scope="module")
def data():
    return load_dataset("builtin")


def test_it_keeps_what_a_training_keeps(data):
    """The rows that a training learns from, found again as pictures."""
    at = (0, 1, 4, 9)
    choices = watch_proxy(RECIPE, data, scale="smoke", runtime=CPU, at=at, seed=3)
    assert [choice.step for choice in choices] == list(at)
    trainer = Trainer(RECIPE, data, scale="smoke", runtime=CPU)
    kept, loss = [], trainer.learner.loss
    trainer.learner.loss = lambda images, labels: (kept.append(images), loss(images, labels))[1]
    trainer.run(3)
    for choice in choices:
        assert choice.kept.sum() == trainer.recipe.proxy_keep
        theirs, ours = (
            some.flatten(1).sum(1).sort().values for some in (kept[choice.step], choice.images[choice.kept])
        )
        torch.testing.assert_close(ours, theirs)


def test_the_kept_are_those_with_the_highest_loss(data):
    (choice,) = watch_proxy(RECIPE, data, scale="smoke", runtime=CPU, at=[6])
    assert choice.losses[choice.kept].min() >= choice.losses[~choice.kept].max()
    assert len(choice.labels) == len(choice.losses) == 32


class Judge(torch.nn.Module):
    """Gives each picture's first pixel as the logit of class 0."""

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(torch.ones(1))

    def forward(self, images):
        return torch.stack([images[:, 0, 0, 0], torch.zeros(len(images))], dim=1) * self.weight


def test_agreement_counts_the_kept_among_the_hardest():
    images = torch.zeros(6, 3, 4, 4)
    images[:, 0, 0, 0] = torch.tensor([-5.0, -4.0, -3.0, 1.0, 2.0, 3.0])  # of class 0: the first three are hard
    choice = Choice(
        step=0,
        images=images,
        labels=torch.zeros(6, dtype=torch.long),
        losses=torch.zeros(6),
        kept=torch.tensor([True, True, False, True, False, False]),
    )
    assert hardest(choice, Judge()).tolist() == [True, True, True, False, False, False]
    assert agreement(choice, Judge()) == pytest.approx(2 / 3)


def test_what_has_no_proxy_or_no_such_step_is_refused(data):
    with pytest.raises(UsageError, match="no proxy network: take airbench96_faster"):
        watch_proxy(AIRBENCH94, data, scale="smoke", runtime=CPU, at=[0])
    for at in [], [-1], [10_000]:
        with pytest.raises(UsageError, match="are not legal: 0 to"):
            watch_proxy(RECIPE, data, scale="smoke", runtime=CPU, at=at)
