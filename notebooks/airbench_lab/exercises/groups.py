"""Lesson 04: the groups of parameters that SGD is given, with their learning rates and weight decays.

A step before it: the two numbers of a group whose parameters learn at the plain rate.
"""

from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from torch import Tensor, nn

from airbench_core import AIRBENCH94, Recipe
from airbench_core.network import Network
from airbench_core.optimizers import make_optimizers
from airbench_core.tricks.bias_scale import parameter_groups
from airbench_lab.exercises.checking import Case, Exercise, Mistake
from airbench_lab.exercises.differences import values

SMALL = replace(AIRBENCH94, widths=(4, 8, 8))
OTHER = replace(SMALL, batch_size=512, momentum=0.9, bias_scale=8, whiten=False, whiten_bias_epochs=None)
SHARED = ("momentum", "dampening", "nesterov", "maximize", "until_frozen")  # what all parameters have alike


def rates(recipe: Recipe, k: float | None = None) -> tuple[float, float]:
    """SGD's lr and weight decay for what learns at the plain rate. k: what is taken for K."""
    k = k or big_k(recipe.momentum)
    return recipe.lr / k, recipe.weight_decay * recipe.batch_size / recipe.lr


def big_k(momentum: float) -> float:
    """The K of `airbench_core.optimizers`."""
    return 1024 * (1 + 1 / (1 - momentum))


def network_of(recipe: Recipe) -> Callable[[], tuple[Network, Recipe]]:
    """What makes the arguments of a call: a small network, and its recipe."""
    return lambda: (Network(recipe), recipe)


def _by_parameter(function: Callable, network: nn.Module, recipe: Recipe) -> dict[str, Any]:
    """What the optimizer of a training makes of the groups, parameter by parameter.

    Which parameters share a group, and in which order, is nobody's business.
    """
    groups = function(network, recipe)
    if groups is None:
        return {"the answer": None}
    try:
        [optimizer] = make_optimizers(network, recipe, groups=lambda *_: groups)
    except Exception as error:
        return {"the answer": "groups", "what SGD says to these groups": f'"{error}"'}
    names = {id(parameter): name for name, parameter in network.named_parameters()}
    held = [(names.get(id(p), "another tensor"), group) for group in optimizer.param_groups for p in group["params"]]
    count, of = Counter(name for name, _ in held), dict(held)
    trained = [name for name in names.values() if count[name]]
    besides = {
        name: {key: of[name].get(key) for key in SHARED if of[name].get(key) != optimizer.defaults.get(key)}
        for name in trained
    }
    return {
        "the answer": "groups",
        "what SGD says to these groups": "nothing",
        **{f"how often {name} is in a group": str(count[name]) for name in names.values()},
        "how many tensors are none of the network's parameters": str(count["another tensor"]),
        **{f"the lr of {name}": of[name]["lr"] for name in trained},
        **{f"the weight_decay of {name}": of[name]["weight_decay"] for name in trained},
        **{f"what else the group of {name} sets": str(besides[name] or "nothing") for name in trained},
    }


def _variant(
    *,
    rates: Callable[[Recipe], tuple[float, float]] = rates,
    scaled: Callable[[str], bool] = lambda name: "norms" in name and name.endswith("bias"),
    trained: Callable[[str, Tensor], bool] = lambda name, parameter: parameter.requires_grad,
    scale: Callable[[Recipe], float] = lambda recipe: recipe.bias_scale,
    decay: Callable[[float, float], float] = lambda plain, scale: plain / scale,
    twice: bool = False,
    besides: dict[str, Any] | None = None,
) -> Callable:
    """`parameter_groups` with something done otherwise. decay: of what is scaled, of the plain decay and the scale."""

    def wrong(network: nn.Module, recipe: Recipe) -> list[dict]:
        lr, plain = rates(recipe)
        groups = []
        for name, parameter in network.named_parameters():
            if trained(name, parameter):
                group = {"params": [parameter], "lr": lr, "weight_decay": plain, **(besides or {})}
                factor = scale(recipe)
                fast = {"lr": lr * factor, "weight_decay": decay(plain, factor)}
                groups += [group | fast] if scaled(name) else [group]
                groups += [group] if twice and scaled(name) else []
        return groups

    return wrong


RATES = (  # each with the lr and weight decay that it takes
    Mistake(
        lambda recipe: (recipe.lr, rates(recipe)[1] / big_k(recipe.momentum)),
        "K is forgotten. The recipe's lr is per K, so SGD's is lr / K.",
    ),
    Mistake(
        lambda recipe: rates(recipe, 1),
        "K is forgotten. The recipe's lr and weight decay are per K: divide both by it.",
    ),
    Mistake(
        lambda recipe: rates(recipe, 1024),
        "K is 1024 here, without its second factor: 1024 × (1 + 1 / (1 − momentum)).",
    ),
    Mistake(
        lambda recipe: rates(recipe, 1024 / (1 - recipe.momentum)),
        "in K the 1 + is missing: 1024 × (1 + 1 / (1 − momentum)).",
    ),
    Mistake(
        lambda recipe: (recipe.lr / recipe.batch_size, recipe.weight_decay * recipe.batch_size / recipe.lr),
        "this divides by the batch size, as for a mean over the batch. The loss is a sum here, so lr / K.",
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], recipe.weight_decay * recipe.batch_size / big_k(recipe.momentum)),
        "SGD multiplies its weight decay by the learning rate. Divide weight_decay × batch / K by the group's lr.",
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], recipe.weight_decay),
        "the recipe's weight_decay was handed on as it is. SGD wants weight_decay × batch / K over the group's lr.",
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], recipe.weight_decay / big_k(recipe.momentum)),
        "the weight decay is only divided by K. It is multiplied by the batch size too, and divided by SGD's lr.",
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], recipe.weight_decay / recipe.lr),
        "the batch size is missing in the decay. A step sees that many pictures: weight_decay × batch / K.",
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], 0.0),
        'nothing decays. Does each group have a "weight_decay"? Without one SGD takes 0.',
    ),
    Mistake(
        lambda recipe: (rates(recipe)[0], recipe.weight_decay * 1024 / recipe.lr),
        "with another batch size the decay of a step is not that of 1024 pictures. Use recipe.batch_size.",
    ),
    Mistake(lambda recipe: rates(recipe, big_k(0.85)), "K holds a constant momentum. Use recipe.momentum."),
)
GROUPS = Exercise(
    name="groups",
    part="parameter_groups",
    reference=parameter_groups,
    observe=_by_parameter,
    steps=(
        Exercise(
            name="rates",
            reference=rates,
            observe=lambda function, recipe: values(function(recipe), "the lr", "the weight_decay"),
            cases=(
                Case(
                    "lr and weight_decay for the recipe with batches of 768", lambda: (replace(SMALL, batch_size=768),)
                ),
                Case("and for another batch size and momentum", lambda: (OTHER,)),
            ),
            mistakes=RATES,
        ),
    ),
    cases=(
        Case(
            "with bias_scale=1 all learn at lr / K, and decay by weight_decay × batch / K",
            network_of(replace(SMALL, bias_scale=1, batch_size=768)),
            "plain",
        ),
        Case("with bias_scale=64 the BatchNorm biases learn faster, and decay as before", network_of(SMALL), "biases"),
        Case("with another batch size, momentum, scale, and a first layer that is trained", network_of(OTHER), "other"),
    ),
    mistakes=(
        *(Mistake(_variant(rates=mistake.wrong), mistake.hint) for mistake in RATES),
        Mistake(
            _variant(trained=lambda name, parameter: True),
            "frozen parameters are in a group. The whitening filters and BatchNorm's weights have requires_grad False: "
            "leave them out.",
        ),
        Mistake(
            _variant(trained=lambda name, parameter: parameter.requires_grad or "norms" in name),
            "BatchNorm's weights are in a group. Of a BatchNorm only the bias is trained here.",
        ),
        Mistake(
            _variant(trained=lambda name, parameter: parameter.requires_grad and name != "first.bias"),
            "the whitening layer's bias is in no group. It trains too, until it is frozen, at the plain lr.",
        ),
        Mistake(_variant(twice=True), "the BatchNorm biases are in two groups. Take them out of the rest."),
        Mistake(
            _variant(besides={"momentum": 0.9}),
            "a group brings its own momentum. The training sets one for all of them: leave it out.",
        ),
        Mistake(
            _variant(scaled=lambda name: name.endswith("bias")),
            "the whitening layer's bias learns 64 times as fast too. Only the biases of BatchNorms should: ask for the "
            "kind of the module, not for the name.",
        ),
        Mistake(
            _variant(decay=lambda plain, scale: plain),
            "the fast biases decay 64 times as fast too. Divide the decay by the group's own lr, here lr × 64 / K.",
        ),
        Mistake(
            _variant(decay=lambda plain, scale: 0.0 if scale > 1 else plain),
            "the BatchNorm biases do not decay. Many recipes spare them, this one does not.",
        ),
        Mistake(
            _variant(scale=lambda recipe: 1),
            "the BatchNorm biases learn as slowly as all else. Their lr is multiplied by bias_scale.",
        ),
        Mistake(
            _variant(scaled=lambda name: not ("norms" in name and name.endswith("bias"))),
            "the wrong ones are fast. The BatchNorm biases should learn at lr × bias_scale / K, all else at lr / K.",
        ),
        Mistake(
            _variant(scale=lambda recipe: 64 if recipe.bias_scale > 1 else 1),
            "the scale is a constant. Use recipe.bias_scale.",
        ),
    ),
)
