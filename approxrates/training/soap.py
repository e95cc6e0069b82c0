"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, for all replicas and hidden layers at once."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.training.adam import AdamRule
from approxrates.training.base import check_number
from approxrates.training.ensemble import Layout
from approxrates.training.firstorder import FirstOrder, Rule


class SOAPRule(AdamRule):
    """Adam for the first and the last layer, Adam in rotated coordinates for the hidden ones.

    All matrices of hidden layers, the bias a further column, are one batch ``[n (depth - 1), width, columns]``.
    """

    def __init__(self, theta: Tensor, layout: Layout, settings: SOAP) -> None:
        super().__init__(theta, settings.beta1, settings.beta2, settings.epsilon)
        self.settings = settings
        middle = layout.blocks[1:-1]
        self.n_layers = len(middle)
        self.begin, self.end = (middle[0][0], layout.blocks[-1][0]) if middle else (0, 0)
        self.rows, self.columns = middle[0][1:] if middle else (0, 0)
        batch = len(theta) * self.n_layers
        self.left = theta.new_zeros(batch, self.rows, self.rows)
        self.right = theta.new_zeros(batch, self.columns, self.columns)
        self.left_basis, self.right_basis = self.left, self.right
        self.rotated = theta.new_zeros(batch, self.rows, self.columns)

    def matrices(self, rows: Tensor) -> Tensor:
        """Hidden-layer matrices ``[n (depth - 1), width, columns]`` out of parameter rows; a copy."""
        return rows[:, self.begin : self.end].reshape(-1, self.rows, self.columns)

    def update(self, theta: Tensor, gradient: Tensor, rates: float | Tensor, step: int) -> None:
        """See :class:`Rule`."""
        self.accumulate(gradient)
        direction = self.direction(step)
        if self.n_layers:
            rotated = self.preconditioned(self.matrices(gradient), self.matrices(self.first), step)
            direction[:, self.begin : self.end] = rotated.view(len(theta), -1)
        theta.sub_(direction.mul_(rates))

    def preconditioned(self, gradient: Tensor, first: Tensor, step: int) -> Tensor:
        """Adam's direction computed in the eigenbases of the averages of ``G G'`` and ``G' G`` and turned back."""
        decay, beta2 = self.settings.basis_decay, self.beta2
        self.left.baddbmm_(gradient, gradient.mT, beta=decay, alpha=1.0 - decay)
        self.right.baddbmm_(gradient.mT, gradient, beta=decay, alpha=1.0 - decay)
        if step == 1:
            self.left_basis, self.right_basis = _eigenbasis(self.left), _eigenbasis(self.right)
        elif step % self.settings.refresh == 0:
            self.left_basis, self.right_basis = (
                _iterate(self.left, self.left_basis),
                _iterate(self.right, self.right_basis),
            )
        turned = torch.bmm(torch.bmm(self.left_basis.mT, gradient), self.right_basis)
        self.rotated.mul_(beta2).addcmul_(turned, turned, value=1.0 - beta2)
        moment = torch.bmm(torch.bmm(self.left_basis.mT, first), self.right_basis)
        scale = (1.0 - beta2**step) ** 0.5
        moment.mul_(scale / (1.0 - self.beta1**step)).div_(self.rotated.sqrt().add_(self.epsilon * scale))
        return torch.bmm(torch.bmm(self.left_basis, moment), self.right_basis.mT)

    def keep(self, rows: Tensor) -> None:
        """See :class:`Rule`."""
        super().keep(rows)
        for name in ("left", "right", "left_basis", "right_basis", "rotated"):
            stacked = getattr(self, name)
            setattr(
                self,
                name,
                stacked.view(-1, self.n_layers, *stacked.shape[1:])[rows].flatten(0, 1) if self.n_layers else stacked,
            )


def _eigenbasis(matrix: Tensor) -> Tensor:
    """Eigenvectors of symmetric matrices; entries not finite count as zero, as one bad matrix would stop the batch."""
    basis: Tensor = torch.linalg.eigh(_finite(matrix)).eigenvectors
    return basis


def _iterate(matrix: Tensor, basis: Tensor) -> Tensor:
    """One step of orthogonal iteration: cheaper than eigenvectors, and it follows their slow drift."""
    turned: Tensor = torch.linalg.qr(_finite(torch.bmm(matrix, basis))).Q
    return turned


def _finite(matrix: Tensor) -> Tensor:
    """The matrices, entries that are not finite set to zero."""
    return torch.nan_to_num(matrix, nan=0.0, posinf=0.0, neginf=0.0)


@dataclasses.dataclass(frozen=True)
class SOAP(FirstOrder):
    """Adam run in the slowly turning eigenbasis of Shampoo's preconditioner, with warm-up and cosine decay.

    Attributes:
        beta1: Decay of the first moment.
        beta2: Decay of the second moment, in the rotated coordinates.
        epsilon: Added to the root of the second moment.
        basis_decay: Decay of the averages whose eigenvectors are the basis.
        refresh: The basis is turned every so many steps.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson & Kakade (2024), arXiv:2409.11321, algorithm 3.
    """

    name: ClassVar[str] = "soap"

    beta1: float = 0.9
    beta2: float = 0.95
    epsilon: float = 1e-8
    basis_decay: float = 0.95
    refresh: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("beta1", "beta2", "basis_decay"):
            check_number(self.name, name, getattr(self, name), 0.0, 1.0)
        check_number(self.name, "epsilon", self.epsilon, 0.0, closed=False)
        check_number(self.name, "refresh", self.refresh, 1)

    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """See :class:`FirstOrder`."""
        return SOAPRule(theta, layout, self)
