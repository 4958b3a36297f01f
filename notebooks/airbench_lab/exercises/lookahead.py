"""Lesson 05: the update of the slow weights, in place. Two steps before it: slow alone, and one pair of tensors."""

from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.tricks.lookahead import lookahead_update_
from airbench_lab.exercises.checking import Case, Exercise, Mistake

SHAPES = (4, 3, 2, 2), (4,), (4,), (10, 4)  # filters, a bias, a running variance, a head


def tensors(seed: int) -> tuple[list[Tensor], list[Tensor]]:
    """Slow and fast weights of a small network."""
    generator = torch.Generator().manual_seed(seed)
    slow, fast = ([torch.randn(shape, generator=generator) for shape in SHAPES] for _ in range(2))
    return slow, fast


def one_pair(seed: int, decay: float) -> Callable[[], tuple[Tensor, Tensor, float]]:
    return lambda: (*(side[0] for side in tensors(seed)), decay)


def _left(function: Callable, slow: list[Tensor], fast: list[Tensor], decay: float) -> dict[str, Tensor]:
    """What lies in the memory of both afterwards: a network holds the memory, not the names."""
    memory = {
        f"`{side}[{i}]`": t.view(t.shape) for side, some in (("slow", slow), ("fast", fast)) for i, t in enumerate(some)
    }
    function(slow, fast, decay)
    return memory


def _left_of_one(function: Callable, slow: Tensor, fast: Tensor, decay: float) -> dict[str, Tensor]:
    memory = {"`slow`": slow.view(slow.shape), "`fast`": fast.view(fast.shape)}
    function(slow, fast, decay)
    return memory


def _each(update: Callable[[Tensor, Tensor, float], None], chosen: Callable = lambda pairs: pairs) -> Callable:
    """A function that does `update` to each pair of tensors, or to those that are `chosen`."""

    def wrong(slow: list[Tensor], fast: list[Tensor], decay: float) -> None:
        for s, f in chosen(list(zip(slow, fast, strict=True))):
            update(s, f, decay)

    return wrong


def update_slow_(s: Tensor, f: Tensor, decay: float) -> None:
    """s <- decay * s + (1 - decay) * f, in place; f stays."""
    s.lerp_(f, 1 - decay)


def update_pair_(s: Tensor, f: Tensor, decay: float) -> None:
    """s <- decay * s + (1 - decay) * f; f <- s, in place."""
    lookahead_update_([s], [f], decay)


def _then_back(slow: Callable) -> Callable:
    def wrong(s: Tensor, f: Tensor, decay: float) -> None:
        slow(s, f, decay)
        f.copy_(s)

    return wrong


def _set_back_first(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s)
    update_slow_(s, f, decay)


def _both_half(s: Tensor, f: Tensor, decay: float) -> None:
    update_slow_(s, f, decay)
    update_slow_(f, s, decay)


NOTHING = Mistake(
    lambda s, f, decay: None,
    "nothing has changed. `s = ...`, `s.data = ...` and `slow[i] = ...` make new tensors, which the network never "
    "sees. Write into the old ones: `s[:] = ...`, or functions whose name ends in `_`, such as s.lerp_ and f.copy_.",
)
SLOW = Exercise(
    name="slow",
    reference=update_slow_,
    observe=_left_of_one,
    cases=(
        Case("d = 0.3: slow keeps 0.3 of itself, and fast stays", one_pair(0, 0.3)),
        Case("d = 0: slow becomes fast", one_pair(1, 0.0)),
    ),
    mistakes=(
        NOTHING,
        Mistake(
            lambda s, f, decay: s.lerp_(f, decay),
            "d and 1 − d are swapped. d is the share of the slow weights that is kept; lerp_ takes 1 − d.",
        ),
        Mistake(lambda s, f, decay: s.copy_(f), "slow is now fast. d is not used, and nothing is averaged."),
        Mistake(
            lambda s, f, decay: s.add_((1 - decay) * f),
            "(1 − d) times fast is added to all of slow. The shares must add up to 1: multiply slow by d first.",
        ),
        Mistake(
            lambda s, f, decay: s.mul_(decay).add_(f),
            "all of fast is added to d times slow. The shares must add up to 1: add 1 − d of it.",
        ),
        Mistake(
            lambda s, f, decay: s.add_((1 - decay) * (s - f)),
            "the slow weights move away from the fast ones. The direction is fast − slow.",
        ),
        Mistake(
            lambda s, f, decay: s.lerp_(f, 1 - decay**2),
            "d is squared, or slow moves twice. The function is given d ready for use: once is enough.",
        ),
    ),
)
PAIR = Exercise(
    name="pair",
    reference=update_pair_,
    observe=_left_of_one,
    cases=(
        Case("d = 0.3: slow keeps 0.3 of itself, and fast is set to it", one_pair(0, 0.3)),
        Case("d = 1, the end: fast becomes slow", one_pair(2, 1.0)),
    ),
    mistakes=(
        NOTHING,
        *(Mistake(_then_back(mistake.wrong), mistake.hint) for mistake in SLOW.mistakes[1:]),
        Mistake(update_slow_, "fast is not set back to slow. `f = s` only gives it another name; f.copy_(s) writes."),
        Mistake(
            _set_back_first,
            "fast is set back before slow has moved, so the round is lost. First slow, then fast.",
        ),
        Mistake(
            lambda s, f, decay: f.copy_(decay * s + (1 - decay) * f),
            "slow has stayed where it was, so the next round starts from a place that is too old.",
        ),
        Mistake(_both_half, "fast goes only part of the way back. It is set to slow, f.copy_(s), whatever d is."),
    ),
)
LOOKAHEAD = Exercise(
    name="lookahead",
    part="lookahead",
    reference=lookahead_update_,
    observe=_left,
    steps=(SLOW, PAIR),
    cases=(
        Case("d = 0.3: slow keeps 0.3 of itself, and fast is set to it", lambda: (*tensors(0), 0.3)),
        Case("d = 0, the start: slow becomes fast", lambda: (*tensors(1), 0.0)),
        Case("d = 1, the end: fast becomes slow", lambda: (*tensors(2), 1.0)),
    ),
    mistakes=(
        *(Mistake(_each(mistake.wrong), mistake.hint) for mistake in PAIR.mistakes),
        Mistake(
            _each(update_pair_, lambda pairs: pairs[:1]),
            "only the first tensor is done. slow and fast are lists. Is there a `return` inside the loop?",
        ),
        Mistake(
            _each(update_pair_, lambda pairs: [(s, f) for s, f in pairs if s.ndim > 1]),
            "the filters are right, biases and running statistics are left out. All tensors belong to the state.",
        ),
    ),
)
