"""What the paper and its repositories report, beside which own runs are shown. All at full scale on CIFAR-10.

[P] Jordan, arXiv:2404.00498. [Z] the ablations of github.com/KellerJordan/cifar10-zoo, in an older revision of its
README where there are two. Both measured on one NVIDIA A100.
"""

from typing import NamedTuple

HARDWARE = "one NVIDIA A100"
PAPER, ZOO = "[P] arXiv:2404.00498", "[Z] github.com/KellerJordan/cifar10-zoo"


class Rung(NamedTuple):
    """Epochs to 94 % on a rung of the ladder; None where a source does not have it."""

    paper: float | None
    zoo: float
    zoo_n: int


# By the labels of `airbench_lab.study.ladder.LADDER`. The first rung of [Z] is another baseline than the paper's: its
# first convolution has no bias and is followed by a BatchNorm; [Z]'s newest revision gives it 34 epochs.
LADDER = {
    "baseline": Rung(45, 35, 25),
    "+ whitening": Rung(21, 21, 200),
    "+ identity initialization": Rung(18, 18, 200),
    "+ BatchNorm-bias learning rate x 64": Rung(13.5, 13.5, 200),
    "+ whitening bias frozen after 3 epochs": Rung(None, 13.5, 500),
    "+ Lookahead": Rung(12.0, 12.0, 200),
    "+ multi-crop TTA": Rung(10.8, 10.8, 200),
    "+ alternating flip": Rung(9.9, 9.9, 700),
    "+ torch.compile": Rung(9.9, 9.9, 700),
}


class Interaction(NamedTuple):
    """Epochs to 94 % with a trick removed from airbench94, and added to the whitened baseline."""

    removed: float
    added: float


AIRBENCH94_EPOCHS, WHITENED_EPOCHS = 9.9, 21.0  # of these two themselves
UNWHITENED_EPOCHS = 22.0  # of airbench94 without whitening
# [P], figure 4; [Z], its data. By the labels of `airbench_lab.study.studies.ablation`.
INTERACTIONS = {
    "identity initialization": Interaction(12.7, 18.0),
    "BatchNorm-bias learning rate x 64": Interaction(14.2, 16.5),
    "Lookahead": Interaction(10.7, 20.2),
    "multi-crop TTA": Interaction(11.2, 18.1),
    "alternating flip": Interaction(10.8, 20.0),
}


class Method(NamedTuple):
    """Mean accuracy of n runs in percent, with TTA, and PFLOPs of a run; n is None where we have not found it."""

    accuracy: float
    pflops: float
    n: int | None


# [P], figure 3. The paper's airbench96 is an earlier, longer recipe than the repository's.
METHODS = {
    "airbench94": Method(94.01, 0.36, 1000),
    "airbench95": Method(95.01, 1.39, 200),
    "airbench96": Method(96.05, 7.2, None),
}
