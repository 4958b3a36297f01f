"""Lesson 05: the update of the slow weights, in place."""

from collections.abc import Callable

import torch
from torch import Tensor

from airbench_core.tricks.lookahead import lookahead_update_
from airbench_lab.exercises.checking import Case, Exercise, Mistake

Pair = tuple[list[Tensor], list[Tensor]]


def tensors(seed: int) -> Pair:
    """Slow and fast weights of a small network: filters, a bias, a running variance, one single number, a head."""
    generator = torch.Generator().manual_seed(seed)
    shapes = (4, 3, 2, 2), (4,), (4,), (), (10, 4)
    slow, fast = ([torch.randn(shape, generator=generator) for shape in shapes] for _ in range(2))
    return slow, fast


def _left(function: Callable, slow: list[Tensor], fast: list[Tensor], decay: float) -> Pair:
    """What lies in the memory of both afterwards: a network holds the memory, not the names."""
    memory = [t.view(t.shape) for t in slow], [t.view(t.shape) for t in fast]
    function(slow, fast, decay)
    return memory


def _each(update: Callable[[Tensor, Tensor, float], None], chosen: Callable = lambda pairs: pairs) -> Callable:
    """A function that does `update` to each pair of tensors, or to those that are `chosen`."""

    @torch.no_grad()
    def wrong(slow: list[Tensor], fast: list[Tensor], decay: float) -> None:
        for s, f in chosen(list(zip(slow, fast, strict=True))):
            update(s, f, decay)

    return wrong


def _right(s: Tensor, f: Tensor, decay: float) -> None:
    lookahead_update_([s], [f], decay)


def _swapped(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s.lerp_(f, decay))


def _not_set_back(s: Tensor, f: Tensor, decay: float) -> None:
    s.lerp_(f, 1 - decay)


def _set_back_first(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s)
    s.lerp_(f, 1 - decay)


def _fast_alone(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(decay * s + (1 - decay) * f)


def _no_decay(s: Tensor, f: Tensor, decay: float) -> None:
    s.copy_(f)


def _added(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s.add_((1 - decay) * f))


def _scaled_and_added(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s.mul_(decay).add_(f))


def _away(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s.add_((1 - decay) * (s - f)))


def _both_half(s: Tensor, f: Tensor, decay: float) -> None:
    s.lerp_(f, 1 - decay)
    f.lerp_(s, 1 - decay)


def _squared(s: Tensor, f: Tensor, decay: float) -> None:
    f.copy_(s.lerp_(f, 1 - decay**2))


def _nothing(s: Tensor, f: Tensor, decay: float) -> None:
    pass


LOOKAHEAD = Exercise(
    name="lookahead",
    part="lookahead",
    reference=lookahead_update_,
    call=_left,
    cases=(
        Case("d = 0.3: slow keeps 0.3 of itself, and fast is set to it", lambda: (*tensors(0), 0.3)),
        Case("d = 0, the start: slow becomes fast", lambda: (*tensors(1), 0.0)),
        Case("d = 1, the end: fast becomes slow", lambda: (*tensors(2), 1.0)),
    ),
    mistakes=(
        Mistake(
            _each(_nothing),
            "nothing has changed: `s = ...`, `s.data = ...` and `slow[i] = ...` make new tensors, which the network "
            "never sees. Write into the old ones: functions whose name ends in _, such as s.lerp_ and f.copy_.",
        ),
        Mistake(
            _each(_swapped),
            "d and 1 − d are swapped: d is the share of the slow weights that is kept. lerp_ takes 1 − d.",
        ),
        Mistake(
            _each(_not_set_back),
            "the slow weights are right, and the fast ones are not set back to them. `f = s` only renames; f.copy_(s) "
            "writes.",
        ),
        Mistake(
            _each(_set_back_first),
            "the fast weights are set back before the slow ones have moved: the round is lost. First slow, then fast.",
        ),
        Mistake(
            _each(_fast_alone),
            "the fast weights are right, and the slow ones have stayed where they were: the next round starts from a "
            "place that is too old.",
        ),
        Mistake(_each(_no_decay), "the slow weights are now the fast ones: d is not used, and nothing is averaged."),
        Mistake(
            _each(_added),
            "(1 − d) times fast is added to all of slow: the shares must add up to 1; multiply slow by d first.",
        ),
        Mistake(
            _each(_scaled_and_added),
            "all of fast is added to d times slow: the shares must add up to 1, so it is 1 − d of it.",
        ),
        Mistake(_each(_away), "the slow weights move away from the fast ones: the direction is fast − slow."),
        Mistake(
            _each(_both_half),
            "the fast weights go only part of the way back: they are set to the slow ones, f.copy_(s), whatever d is.",
        ),
        Mistake(_each(_squared), "d is squared: the function is given d ready for use."),
        Mistake(
            _each(_right, lambda pairs: pairs[:1]),
            "only the first tensor is right: slow and fast are lists. Is there a `return` inside the loop?",
        ),
        Mistake(
            _each(_right, lambda pairs: [(s, f) for s, f in pairs if s.ndim > 1]),
            "the filters are right, biases and running statistics are left out: all tensors belong to the state.",
        ),
    ),
    otherwise="slow should be d × slow + (1 − d) × fast, in place, for each pair of tensors; then fast is set to slow.",
)
