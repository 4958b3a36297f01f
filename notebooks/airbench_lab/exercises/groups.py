"""Lesson 04: the groups of parameters that SGD is given, each with its learning rate and weight decay."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from airbench_core import AIRBENCH94, Recipe
from airbench_core.network import Network
from airbench_core.tricks.bias_scale import parameter_groups
from airbench_lab.exercises.checking import Case, Exercise, Mistake

SMALL = replace(AIRBENCH94, widths=(4, 8, 8))


def network_of(**changes: Any) -> Callable[[], tuple[Network, Recipe]]:
    """What makes the arguments of a call: a small network, and its recipe."""
    recipe = replace(SMALL, **changes)
    return lambda: (Network(recipe), recipe)


def by_name(function: Callable, network: nn.Module, recipe: Recipe) -> Any:
    """The answer as a row for each parameter: its name, learning rate and weight decay; other answers as they are.

    Which parameters share a group, and in which order, is nobody's business.
    """
    groups = function(network, recipe)
    if not isinstance(groups, list | tuple) or not all(isinstance(group, dict) for group in groups):
        return groups
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    rows = [
        (names.get(id(parameter), "of no network"), group.get("lr"), group.get("weight_decay", 0))
        for group in groups
        for parameter in _listed(group["params"])
    ]
    return sorted(rows, key=lambda row: row[0])


def _listed(parameters: Any) -> list[Tensor]:
    return [parameters] if isinstance(parameters, Tensor) else list(parameters)


def _k(recipe: Recipe) -> float:
    return 1024 * (1 + 1 / (1 - recipe.momentum))


def _variant(
    *,
    scaled: Callable[[str], bool] = lambda name: "norms" in name and name.endswith("bias"),
    trained: Callable[[str, Tensor], bool] = lambda name, parameter: parameter.requires_grad,
    k: Callable[[Recipe], float] = _k,
    lr: Callable[[Recipe, float], float] = lambda recipe, k: recipe.lr / k,
    scale: Callable[[Recipe], float] = lambda recipe: recipe.bias_scale,
    decay: Callable[[Recipe, float], float] = lambda recipe, k: recipe.weight_decay * recipe.batch_size / k,
    over: Callable[[float, float], float] = lambda base, own: own,
    decayed: bool = True,
    twice: bool = False,
) -> Callable:
    """`parameter_groups` with something done otherwise. over: by what the decay is divided, of lr and own lr."""

    def wrong(network: nn.Module, recipe: Recipe) -> list[dict]:
        divisor = k(recipe)
        base = lr(recipe, divisor)
        groups = []
        for name, parameter in network.named_parameters():
            own = base * (scale(recipe) if scaled(name) else 1)
            rate = decay(recipe, divisor) / over(base, own)
            group = {"lr": own, "weight_decay": rate if decayed or not scaled(name) else 0.0}
            if trained(name, parameter):
                groups.append({"params": [parameter], **group})
                if twice and scaled(name):
                    groups.append({"params": [parameter], "lr": base, "weight_decay": decay(recipe, divisor) / base})
        return groups

    return wrong


GROUPS = Exercise(
    name="groups",
    part="parameter_groups",
    reference=parameter_groups,
    call=by_name,
    cases=(
        Case(
            "with bias_scale=1 all learn at lr / K, and decay by weight_decay × batch / K",
            network_of(bias_scale=1, batch_size=768),
        ),
        Case("with bias_scale=64 the BatchNorm biases learn faster, and decay as before", network_of()),
        Case(
            "with another batch size, momentum, scale, and a first layer that is trained",
            network_of(batch_size=512, momentum=0.9, bias_scale=8, whiten=False, whiten_bias_epochs=None),
        ),
    ),
    mistakes=(
        Mistake(
            _variant(k=lambda recipe: 1, decay=lambda recipe, k: recipe.weight_decay * recipe.batch_size / _k(recipe)),
            "K is forgotten: the recipe's lr is per K, so SGD's is lr / K.",
        ),
        Mistake(
            _variant(k=lambda recipe: 1),
            "K is forgotten, in both: the recipe's lr and weight decay are per K; divide by it.",
        ),
        Mistake(
            _variant(k=lambda recipe: 1024),
            "K is 1024 here, without its second factor: 1024 × (1 + 1 / (1 − momentum)).",
        ),
        Mistake(
            _variant(k=lambda recipe: 1024 / (1 - recipe.momentum)),
            "in K the 1 + is missing: 1024 × (1 + 1 / (1 − momentum)).",
        ),
        Mistake(
            _variant(k=lambda recipe: recipe.batch_size, decay=lambda recipe, k: recipe.weight_decay),
            "this divides by the batch size, as for a mean over the batch: the loss is a sum here, so lr / K.",
        ),
        Mistake(
            _variant(over=lambda base, own: 1),
            "SGD multiplies its weight decay by the learning rate: divide weight_decay × batch / K by the group's lr.",
        ),
        Mistake(
            _variant(decay=lambda recipe, k: recipe.weight_decay, over=lambda base, own: 1),
            "the recipe's weight_decay was handed on as it is: SGD wants weight_decay × batch / K over the group's lr.",
        ),
        Mistake(
            _variant(decay=lambda recipe, k: recipe.weight_decay / k),
            "the batch size is missing in the decay: a step sees that many pictures, weight_decay × batch / K.",
        ),
        Mistake(
            _variant(decay=lambda recipe, k: 0),
            'nothing decays: does each group have a "weight_decay"? Without one SGD takes 0.',
        ),
        Mistake(
            _variant(trained=lambda name, parameter: True),
            "frozen parameters are in a group: the whitening filters and BatchNorm's weights have requires_grad False; "
            "leave them out.",
        ),
        Mistake(
            _variant(trained=lambda name, parameter: parameter.requires_grad or "norms" in name),
            "BatchNorm's weights are in a group: of a BatchNorm only the bias is trained here.",
        ),
        Mistake(
            _variant(trained=lambda name, parameter: parameter.requires_grad and name != "first.bias"),
            "the whitening layer's bias is in no group: it trains too, until it is frozen, at the plain lr.",
        ),
        Mistake(
            _variant(scaled=lambda name: name.endswith("bias")),
            "the whitening layer's bias learns 64 times as fast too: only the biases of BatchNorms should; ask for the "
            "kind of the module, not for the name.",
        ),
        Mistake(
            _variant(over=lambda base, own: base),
            "the fast biases decay 64 times as fast too: divide the decay by the group's own lr, here lr × 64 / K.",
        ),
        Mistake(
            _variant(decayed=False),
            "the BatchNorm biases do not decay: many recipes spare them, this one does not.",
        ),
        Mistake(_variant(twice=True), "the BatchNorm biases are in two groups: take them out of the rest."),
        Mistake(
            _variant(scale=lambda recipe: 1),
            "the BatchNorm biases learn as slowly as all else: their lr is multiplied by bias_scale.",
        ),
        Mistake(
            _variant(scaled=lambda name: not ("norms" in name and name.endswith("bias"))),
            "the wrong ones are fast: the BatchNorm biases should learn at lr × bias_scale / K, all else at lr / K.",
        ),
        Mistake(
            _variant(decay=lambda recipe, k: recipe.weight_decay * 1024 / k),
            "with another batch size the decay of a step is not that of 1024 pictures: take recipe.batch_size.",
        ),
        Mistake(
            _variant(scale=lambda recipe: 64 if recipe.bias_scale > 1 else 1),
            "the scale is a constant: take recipe.bias_scale.",
        ),
        Mistake(
            _variant(k=lambda recipe: 1024 * (1 + 1 / 0.15)),
            "K holds a constant momentum: take recipe.momentum.",
        ),
    ),
    otherwise=(
        "some learning rates or decays differ. For each group: lr = recipe.lr / K, times bias_scale for the biases of "
        "BatchNorms; weight_decay = recipe.weight_decay × recipe.batch_size / K over the group's lr; and each "
        "parameter that requires a gradient is in just one group."
    ),
)
