"""Muon: momentum SGD whose updates of a matrix are made orthogonal before they are applied.

Notable: filters of the same shape are stacked and orthogonalized in one batch of matrix products.
Source: Jordan et al., kellerjordan.github.io/posts/muon, and airbench94_muon of the paper's repository.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of the quintic: as steep at 0 as the iteration bears


def newton_schulz(matrices: Tensor, steps: int) -> Tensor:
    """Push the singular values of each matrix of (K, M, N) towards 1, in bfloat16.

    Its singular vectors stay. After enough steps (5 for most matrices) the values lie within
    about 0.7 to 1.2, and not nearer: the coefficients are chosen for speed. Small ones need
    more steps.
    """
    a, b, c = COEFFICIENTS
    x = matrices.bfloat16()
    tall = x.shape[1] > x.shape[2]
    if tall:
        x = x.mT  # the product below then has the smaller side
    x = x / (x.norm(dim=(1, 2), keepdim=True) + 1e-7)  # so that no singular value is above 1
    for _ in range(steps):
        square = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(square, square, square, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


def muon_update(banks, gradients, velocities, lr: Tensor, momentum: float, how: tuple) -> None:
    """One step. A bank is K filters of a shape, its velocity (K, out, in * height * width)."""
    orthogonalize, steps, rescale = how
    for bank, of_bank, velocity in zip(banks, gradients, velocities, strict=True):
        gradient = torch.stack([of.flatten(1) for of in of_bank]).to(velocity.dtype)
        velocity.mul_(momentum).add_(gradient)
        ahead = gradient.add_(velocity, alpha=momentum)
        for p, update in zip(bank, orthogonalize(ahead, steps).float(), strict=True):
            if rescale:
                p.mul_(len(p) ** 0.5 / p.norm())
            p.sub_(update.reshape(p.shape) * lr)


class Muon(torch.optim.Optimizer):
    """Muon for filters (out, in, height, width) or matrices (out, in), with Nesterov momentum and no decay.

    rescale: bring each filter bank to the norm sqrt(out) before each step, which keeps the relative size of the
    updates; instead of a weight decay. orthogonalize: a function like `newton_schulz`. The momentum of all filters of a
    shape is one tensor, in the state of the first of them.
    """

    def __init__(
        self,
        filters: Iterable[Tensor],
        lr: float,
        momentum: float,
        steps: int = 5,
        *,
        rescale: bool = True,
        orthogonalize: Callable[[Tensor, int], Tensor] = newton_schulz,
    ):
        super().__init__(filters, {"lr": lr, "momentum": momentum})
        self.how, self.update = (orthogonalize, steps, rescale), muon_update
        banks: dict[torch.Size, list[Tensor]] = {}
        for p in self.param_groups[0]["params"]:
            banks.setdefault(p.flatten(1).shape, []).append(p)
        self.banks = list(banks.values())
        for shape, bank in banks.items():
            zeros = torch.zeros(len(bank), *shape, dtype=torch.float32, device=bank[0].device)
            self.state[bank[0]]["momentum_buffer"] = zeros

    @torch.no_grad()
    def step(self) -> None:
        group = self.param_groups[0]
        lr = torch.as_tensor(group["lr"], dtype=torch.float32)
        gradients = [[torch.zeros_like(p) if p.grad is None else p.grad for p in bank] for bank in self.banks]
        velocities = [self.state[bank[0]]["momentum_buffer"] for bank in self.banks]
        self.update(self.banks, gradients, velocities, lr, group["momentum"], self.how)
