"""Scaled BatchNorm biases: they learn 64 times as fast as all else. The parameter groups of sgd say so.

Source: Jordan, arXiv:2404.00498, section 3.4.
"""

from torch import Tensor, nn

from airbench_core.recipes import Recipe


def parameter_groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    """The groups of sgd: what is trained of `network`, with its "lr" and "weight_decay".

    The "lr" is that at the peak of the schedule; BatchNorm biases have `bias_scale` times it.
    """
    k = 1024 * (1 + 1 / (1 - recipe.momentum))
    lr = recipe.lr / k
    decay = recipe.weight_decay * recipe.batch_size / k
    norms, others = norm_biases_and_others(network)
    fast = {"params": norms, "lr": lr * recipe.bias_scale}
    return decayed(decay, fast, {"params": others, "lr": lr})


def norm_biases_and_others(network: nn.Module) -> tuple[list[Tensor], list[Tensor]]:
    """The biases of the BatchNorms, and all else that is trained."""
    norms = [m.bias for m in network.modules() if isinstance(m, nn.BatchNorm2d) and m.affine]
    ids = {id(bias) for bias in norms}
    return norms, [p for p in network.parameters() if p.requires_grad and id(p) not in ids]


def decayed(decay: float, *groups: dict) -> list[dict]:
    """Groups of "params" with their "lr"; `decay` is lr times weight decay, one for all."""
    # SGD multiplies its weight decay by the lr: dividing here keeps the lr out of it.
    return [group | {"weight_decay": decay / group["lr"]} for group in groups]
