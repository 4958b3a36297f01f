"""Lesson 11: the Newton-Schulz iteration that makes an update orthogonal. Before it: the norms, and one step.

Compared with the project's bfloat16, so to 5 %: whoever computes in float32 is as right. The first matrices are square,
and of a norm that no mistake drives to infinity in so few steps: even a forgotten factor gives numbers to compare.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from airbench_core.tricks.muon import COEFFICIENTS, newton_schulz
from airbench_lab.exercises.checking import Case, Exercise, Mistake

A, B, C = COEFFICIENTS


def matrices(*shape: int, seed: int, norms: tuple[float, ...] = (1.6, 1.2, 2.0)) -> Tensor:
    """Random matrices (K, M, N), each of its own norm."""
    drawn = torch.randn(*shape, generator=torch.Generator().manual_seed(seed))
    return drawn * (torch.tensor(norms[: shape[0]])[:, None, None] / drawn.norm(dim=(1, 2), keepdim=True))


def divided(matrices: Tensor) -> Tensor:
    """Each matrix of (K, M, N) over its own Frobenius norm; one of zeros stays as it is."""
    return matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)


def one_step(x: Tensor, a: float = A, b: float = B, c: float = C, square: Tensor | None = None) -> Tensor:
    """a x + b (x xT) x + c (x xT)(x xT) x for each matrix of x (K, M, N). square: what is taken for x xT."""
    square = x @ x.mT if square is None else square
    return a * x + (b * square + c * square @ square) @ x


def _variant(
    *,
    norm: Callable[[Tensor], Tensor] = divided,
    one: Callable[[Tensor], Tensor] = one_step,
    count: Callable[[int], int] = lambda steps: steps,
    back: bool = True,
) -> Callable[[Tensor, int], Tensor]:
    """`newton_schulz` in float32 with something done otherwise."""

    def wrong(matrices: Tensor, steps: int) -> Tensor:
        tall = matrices.shape[1] > matrices.shape[2]
        x = norm(matrices.mT if tall else matrices)
        for _ in range(count(steps)):
            x = one(x)
        return x.mT if tall and back else x

    return wrong


def _entrywise(one: Callable[[Tensor, Tensor], Tensor]) -> Mistake:
    """`one` makes a step of x and x xT, with a `*` where `@` belongs."""
    return Mistake(
        lambda x: one(x, x @ x.mT),
        "`*` multiplies entry by entry. A product of matrices is `@`: `x @ x.mT`, and `@ x` after it.",
    )


def _square_of_the_first(matrices: Tensor, steps: int) -> Tensor:
    first = divided(matrices)
    return _variant(one=lambda x: one_step(x, square=first @ first.mT))(matrices, steps)


def _exact(matrices: Tensor, steps: int) -> Tensor:
    left, _, right = torch.linalg.svd(matrices, full_matrices=False)
    return left @ right


def _in_float32(function: Callable, *arguments: Any) -> dict[str, Any]:
    answer = function(*arguments)
    return {"the answer": answer.float() if isinstance(answer, Tensor) else answer}


NORMS = (  # each with what it divides by
    Mistake(
        lambda x: x,
        "the matrices are not divided by their norms. The polynomial pushes singular values up to 1 towards 1; larger "
        "ones it throws anywhere.",
    ),
    Mistake(
        lambda x: x / (x.norm() + 1e-7),
        "you divide by the norm of the whole batch. Each matrix has its own: `x.norm(dim=(1, 2), keepdim=True)`.",
    ),
    Mistake(
        lambda x: x / (x.norm(dim=2, keepdim=True) + 1e-7),
        "you divide each row by its norm, which turns the singular vectors. Take one norm for each matrix, over both "
        "of its dimensions.",
    ),
    Mistake(
        lambda x: x / torch.linalg.matrix_norm(x, ord=2, keepdim=True),
        "you divide by the largest singular value. That bounds them too, but the iteration is there to spare us "
        "finding it. Divide by the norm over all entries (Frobenius).",
    ),
    Mistake(
        lambda x: x / x.norm(dim=(1, 2), keepdim=True),
        "a matrix of zeros is divided by 0. Add 1e-7 to the norm.",
    ),
)
STEPS = (  # each with the step that it makes
    Mistake(
        lambda x: one_step(x, C, B, A),
        "the coefficients are in reverse order. a = 3.4445 belongs to x itself, c = 2.0315 to the fifth power.",
    ),
    Mistake(
        lambda x: one_step(x, A, C, B),
        "b and c are swapped. b = -4.7750 belongs to the third power, c = 2.0315 to the fifth.",
    ),
    Mistake(lambda x: one_step(x, c=0), "the fifth power is missing: a x + b (x xT) x + c (x xT)(x xT) x."),
    Mistake(
        lambda x: one_step(x, 1.5, -0.5, 0),
        "these are the textbook's coefficients, 1.5 and -0.5. They converge in the end, but too slowly here. Take a, "
        "b, c of the quintic.",
    ),
    Mistake(
        lambda x: A * x + B * x @ x.mT + C * (x @ x.mT) @ (x @ x.mT),
        "the last factor is missing. x xT alone has the squares of the singular values; only (x xT) x is again a "
        "matrix with the singular vectors of x.",
    ),
    Mistake(
        lambda x: one_step(x, square=x.mT @ x),
        "xT x is multiplied from the left, and belongs to the right of x. Take x @ x.mT, and x after it.",
    ),
    Mistake(
        lambda x: A * x + B * x**3 + C * x**5,
        "you take powers of the entries, each by itself (`**`). The powers are products of matrices: (x xT) x.",
    ),
    _entrywise(lambda x, square: A * x + B * square * x + C * square * square * x),
    _entrywise(lambda x, square: A * x + B * square * x + C * square @ square * x),
    _entrywise(lambda x, square: A * x + B * x * x.mT * x + C * x * x.mT * x * x.mT * x),
    _entrywise(lambda x, square: one_step(x, square=x * x.mT)),
)
NEWTON_SCHULZ = Exercise(
    name="newton_schulz",
    part="newton_schulz",
    reference=newton_schulz,
    observe=_in_float32,
    tolerance=0.05,
    steps=(
        Exercise(
            name="norm",
            reference=divided,
            tolerance=0.02,
            cases=(
                Case("three matrices, each over its own norm", lambda: (matrices(3, 12, 20, seed=5),)),
                Case("a matrix of zeros stays one", lambda: (torch.zeros(1, 4, 6),)),
            ),
            mistakes=NORMS,
        ),
        Exercise(
            name="step",
            reference=one_step,
            tolerance=0.05,
            cases=(
                Case("one step of three square matrices", lambda: (divided(matrices(3, 12, 12, seed=6)),)),
                Case("of wide ones", lambda: (divided(matrices(2, 8, 30, seed=7)),)),
            ),
            mistakes=STEPS,
        ),
    ),
    cases=(
        Case("three square matrices, one step", lambda: (matrices(3, 12, 12, seed=0), 1)),
        Case("three square matrices, three steps", lambda: (matrices(3, 12, 12, seed=1), 3)),
        Case("wide ones, as filters are: (out, in x 9)", lambda: (matrices(2, 8, 30, seed=2), 3)),
        Case("tall ones come back tall", lambda: (matrices(2, 30, 8, seed=3), 2)),
        Case("their size does not count", lambda: (matrices(3, 8, 20, seed=4, norms=(1.0, 1000.0, 0.01)), 2)),
        Case("a matrix of zeros stays one", lambda: (torch.zeros(1, 4, 6), 2)),
    ),
    mistakes=(
        *(Mistake(_variant(norm=mistake.wrong), mistake.hint) for mistake in NORMS),
        *(Mistake(_variant(one=mistake.wrong), mistake.hint) for mistake in STEPS),
        Mistake(_variant(count=lambda steps: steps - 1), "one step too few. The loop runs `steps` times."),
        Mistake(_variant(count=lambda steps: steps + 1), "one step too many. The loop runs `steps` times."),
        *(
            Mistake(
                _variant(count=lambda steps, always=always: always),
                f"you take {word} steps whatever is asked for. Use the argument `steps`.",
            )
            for always, word in ((3, "three"), (5, "five"))
        ),
        Mistake(
            _variant(norm=lambda x: x, one=lambda x: one_step(divided(x))),
            "you divide by the norm before every step, which takes back what the last one gave. Divide once, before "
            "the first.",
        ),
        Mistake(
            _square_of_the_first,
            "x xT is computed once, before the loop. x changes with every step, and x xT with it.",
        ),
        Mistake(
            _exact,
            "this is the exact answer, with all singular values 1. The training takes a few steps of the iteration "
            "instead, which need nothing but products of matrices.",
        ),
        Mistake(
            _variant(back=False),
            "the tall matrices come back lying. Who transposes them before the steps must do so again after them.",
        ),
    ),
)
