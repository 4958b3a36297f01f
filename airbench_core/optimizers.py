"""The three ways to optimize.

How `lr` and `weight_decay` are stated belongs to the optimizer. The loss is summed over the batch in all of them.

sgd        Nesterov SGD. Both per 1,024 examples and decoupled from momentum, batch size and each other: with
           K = 1024 (1 + 1 / (1 - momentum)), SGD's lr is lr / K, and its weight decay is such that
           weight_decay * batch_size / K of each weight enters its momentum in a step, whatever the lr of its group.
torch-sgd  Nesterov SGD with torch.optim.SGD's own numbers for a loss averaged over the batch.
muon       Muon on the convolutions, Nesterov SGD on biases and head. Raw: each lr as it is, and
           weight_decay * batch_size of each bias and head weight enters its momentum in a step.

Source: Jordan, arXiv:2404.00498, its repository, and kellerjordan.github.io/posts/muon.
"""

from collections.abc import Callable

from torch import nn
from torch.optim import SGD, Optimizer

from airbench_core.errors import UsageError
from airbench_core.recipes import Recipe
from airbench_core.tricks.bias_scale import decayed, norm_biases_and_others, parameter_groups
from airbench_core.tricks.muon import Muon, newton_schulz


def make_optimizers(
    network: nn.Module, recipe: Recipe, orthogonalize: Callable = newton_schulz, groups: Callable = parameter_groups
) -> list[Optimizer]:
    """The optimizers of `recipe`, their groups' "lr" at the peak of the schedule.

    orthogonalize: Muon's. groups: sgd's, a function like `parameter_groups`.
    """
    if recipe.optimizer == "muon":
        return _muon(network, recipe, orthogonalize)
    return [_nesterov(recipe, (groups if recipe.optimizer == "sgd" else _torch_groups)(network, recipe))]


def _torch_groups(network: nn.Module, recipe: Recipe) -> list[dict]:
    lr = recipe.lr / recipe.batch_size  # the loss is summed here
    trained = [p for p in network.parameters() if p.requires_grad]
    return decayed(recipe.lr * recipe.weight_decay, {"params": trained, "lr": lr})


def _muon(network: nn.Module, recipe: Recipe, orthogonalize: Callable) -> list[Optimizer]:
    norms, others = norm_biases_and_others(network)
    filters, first_bias = ([p for p in others if p.ndim == n] for n in (4, 1))
    if not filters:
        raise UsageError("optimizer=muon is for convolutions, and your own network has none: choose sgd")
    groups = decayed(
        recipe.weight_decay * recipe.batch_size,
        {"params": norms, "lr": recipe.bias_lr},
        {"params": [p for p in others if p.ndim not in (4, 1)], "lr": recipe.head_lr},  # of one's own: all else
        {"params": first_bias, "lr": recipe.bias_lr, "until_frozen": recipe.whiten},
    )
    steps = recipe.newton_schulz_steps
    muon = Muon(filters, recipe.lr, recipe.muon_momentum, steps, orthogonalize=orthogonalize)
    return [muon, _nesterov(recipe, groups)]


def _nesterov(recipe: Recipe, groups: list[dict]) -> SGD:
    return SGD(groups, momentum=recipe.momentum, nesterov=True, fused=True)
