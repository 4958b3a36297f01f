"""Lesson 11: the Newton-Schulz iteration that makes an update orthogonal.

Compared with the project's bfloat16, so to 5 %: whoever computes in float32 is as right. The first matrices are square,
and of a norm that no mistake drives to infinity in so few steps: even a forgotten factor gives numbers to compare.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from airbench_core.tricks.muon import COEFFICIENTS, newton_schulz
from airbench_lab.exercises.checking import Case, Exercise, Mistake


def matrices(*shape: int, seed: int, norms: tuple[float, ...] = (1.6, 1.2, 2.0)) -> Tensor:
    """Random matrices (K, M, N), each of its own norm."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (torch.tensor(norms[: shape[0]])[:, None, None] / drawn.norm(dim=(1, 2), keepdim=True))


def _own(x: Tensor) -> Tensor:
    return x.norm(dim=(1, 2), keepdim=True) + 1e-7


def _quintic(x: Tensor, first: Tensor, a: float, b: float, c: float) -> Tensor:
    square = _square(x)
    return a * x + (b * square + c * square @ square) @ x


def _variant(
    *,
    norm: Callable[[Tensor], Any] = _own,
    coefficients: tuple[float, float, float] = COEFFICIENTS,
    one: Callable[..., Tensor] = _quintic,
    count: Callable[[int], int] = lambda steps: steps,
    back: bool = True,
) -> Callable[[Tensor, int], Tensor]:
    """`newton_schulz` in float32 with something done otherwise. one: a step, of x, the first x and coefficients."""

    def wrong(matrices: Tensor, steps: int) -> Tensor:
        tall = matrices.shape[1] > matrices.shape[2]
        x = matrices.float().mT if tall else matrices.float()
        first = x = x / norm(x)
        for _ in range(count(steps)):
            x = one(x, first, *coefficients)
        return x.mT if tall and back else x

    return wrong


def _square(x: Tensor) -> Tensor:
    return x @ x.mT


def _answer(function: Callable, matrices: Tensor, steps: int) -> Any:
    """In float32; of matrices of zeros 1 for what is no number, so that it can be compared."""
    zeros, answer = not matrices.any(), function(matrices, steps)
    if not isinstance(answer, Tensor):
        return answer
    return answer.float().nan_to_num(1.0) if zeros else answer.float()


def _exact(matrices: Tensor, steps: int) -> Tensor:
    left, _, right = torch.linalg.svd(matrices.float(), full_matrices=False)
    return left @ right


A, B, C = COEFFICIENTS

NEWTON_SCHULZ = Exercise(
    name="newton_schulz",
    part="newton_schulz",
    reference=newton_schulz,
    call=_answer,
    tolerance=0.05,
    cases=(
        Case("three square matrices, one step", lambda: (matrices(3, 12, 12, seed=0), 1)),
        Case("three square matrices, three steps", lambda: (matrices(3, 12, 12, seed=1), 3)),
        Case("wide ones, as filters are: (out, in x 9)", lambda: (matrices(2, 8, 30, seed=2), 3)),
        Case("tall ones come back tall", lambda: (matrices(2, 30, 8, seed=3), 2)),
        Case("their size does not count", lambda: (matrices(3, 8, 20, seed=4, norms=(1.0, 1000.0, 0.01)), 2)),
        Case("a matrix of zeros stays one", lambda: (torch.zeros(1, 4, 6), 2)),
    ),
    mistakes=(
        Mistake(
            _variant(norm=lambda x: 1.0),
            "the matrices are not divided by their norms. The polynomial pushes singular values up to 1 towards 1; "
            "larger ones it throws anywhere.",
        ),
        Mistake(
            _variant(norm=lambda x: x.norm() + 1e-7),
            "you divide by the norm of the whole batch: each matrix has its own, `x.norm(dim=(1, 2), keepdim=True)`.",
        ),
        Mistake(
            _variant(norm=lambda x: x.norm(dim=2, keepdim=True) + 1e-7),
            "you divide each row by its norm, which turns the singular vectors: one norm for each matrix, over both of "
            "its dimensions.",
        ),
        Mistake(
            _variant(norm=lambda x: torch.linalg.matrix_norm(x, ord=2, keepdim=True)),
            "you divide by the largest singular value. That bounds them too, but to know it takes what the iteration "
            "is to spare us; divide by the norm over all entries (Frobenius).",
        ),
        Mistake(
            _variant(coefficients=(C, B, A)),
            "the coefficients are in reverse order: a = 3.4445 belongs to x itself, c = 2.0315 to the fifth power.",
        ),
        Mistake(
            _variant(coefficients=(A, C, B)),
            "b and c are swapped: b = -4.7750 belongs to the third power, c = 2.0315 to the fifth.",
        ),
        Mistake(
            _variant(coefficients=(A, B, 0)),
            "the fifth power is missing: a x + b (x xT) x + c (x xT)(x xT) x.",
        ),
        Mistake(
            _variant(coefficients=(1.5, -0.5, 0)),
            "these are the textbook's coefficients, 1.5 and -0.5. They converge in the end, but too slowly here: take "
            "a, b, c of the quintic.",
        ),
        Mistake(
            _variant(count=lambda steps: steps - 1), "one step too few: the loop runs `steps` times, `range(steps)`."
        ),
        Mistake(
            _variant(count=lambda steps: steps + 1), "one step too many: the loop runs `steps` times, `range(steps)`."
        ),
        Mistake(
            _variant(count=lambda steps: 5), "you take five steps whatever is asked for: use the argument `steps`."
        ),
        Mistake(
            _variant(one=lambda x, first, a, b, c: a * x + b * x @ x.mT + c * (x @ x.mT) @ (x @ x.mT)),
            "the last factor is missing: x xT alone has the squares of the singular values, and only (x xT) x is again "
            "a matrix with the singular vectors of x.",
        ),
        Mistake(
            _variant(one=lambda x, first, a, b, c: a * x + (b * x.mT @ x + c * (x.mT @ x) @ (x.mT @ x)) @ x),
            "xT x is multiplied from the left: it belongs to the right of x. Take x @ x.mT, and x after it.",
        ),
        Mistake(
            _variant(one=lambda x, first, a, b, c: a * x + b * x**3 + c * x**5),
            "you take powers of the entries, each by itself (`**`): the powers are products of matrices, (x xT) x.",
        ),
        Mistake(
            _variant(
                one=lambda x, first, a, b, c: a * x + (b * _square(first) + c * _square(first) @ _square(first)) @ x
            ),
            "x xT is computed once, before the loop: x changes with every step, and x xT with it.",
        ),
        Mistake(
            _exact,
            "this is the exact answer, with all singular values 1. The training takes a few steps of the "
            "iteration instead, which need nothing but products of matrices.",
        ),
        Mistake(
            _variant(back=False),
            "the tall matrices come back lying: whoever transposes them before the steps must do so again after them.",
        ),
        Mistake(
            _variant(norm=lambda x: x.norm(dim=(1, 2), keepdim=True)),
            "a matrix of zeros is divided by 0: add 1e-7 to the norm.",
        ),
    ),
    otherwise=(
        "the singular values are not yet where so many steps bring them. Look at one step: square = x @ x.mT; then "
        "a x + (b square + c square @ square) @ x."
    ),
)
