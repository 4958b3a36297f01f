"""What the paper and its repositories report, beside which own runs are shown. All at full scale on CIFAR-10.

[P] Jordan, arXiv:2404.00498. [Z] the ablations of github.com/KellerJordan/cifar10-zoo. Both measured on one NVIDIA
A100.
"""

from typing import NamedTuple

HARDWARE = "one NVIDIA A100"
PAPER = "[P] arXiv:2404.00498"


# [P]: epochs to 94 % on each rung of `airbench_lab.study.ladder.LADDER`, by its label; None where it is not in [P].
LADDER: dict[str, float | None] = {
    "baseline": 45,
    "+ whitening": 21,
    "+ identity initialization": 18,
    "+ BatchNorm-bias learning rate x 64": 13.5,
    "+ whitening bias frozen after 3 epochs": None,
    "+ Lookahead": 12.0,
    "+ multi-crop TTA": 10.8,
    "+ alternating flip": 9.9,
    "+ torch.compile": 9.9,
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
