"""SOAP: Adam in the eigenbasis of Shampoo's preconditioner, for all replicas and hidden layers at once."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.backends import CompiledSteps, Ensemble, Layout
from approxrates.training.adam import AdamRule
from approxrates.training.base import State, check_number
from approxrates.training.firstorder import FirstOrder, Rule, Stretch

_MATRICES = ("left", "right", "left_basis", "right_basis", "rotated")


class SOAPRule(AdamRule):
    """Adam for the first and the last layer, Adam in rotated coordinates for the hidden ones.

    All matrices of hidden layers, the bias a further column, are one batch ``[n (depth - 1), rows, columns]``. Sizes
    are padded to multiples of four, so that every matrix begins at a multiple of 64 bytes: results of LAPACK depend on
    the alignment, hence on the place in the batch.
    """

    def __init__(self, theta: Tensor, layout: Layout, settings: SOAP) -> None:
        super().__init__(theta, settings.beta1, settings.beta2, settings.epsilon)
        self.settings = settings
        middle = layout.blocks[1:-1]
        self.n_layers = len(middle)
        self.begin, self.end = (middle[0][0], layout.blocks[-1][0]) if middle else (0, 0)
        self.size = middle[0][1:] if middle else (0, 0)
        rows, columns = (-(-n // 4) * 4 for n in self.size)
        batch = len(theta) * self.n_layers
        self.left, self.right = theta.new_zeros(batch, rows, rows), theta.new_zeros(batch, columns, columns)
        self.left_basis, self.right_basis = self.left, self.right
        self.rotated = theta.new_zeros(batch, rows, columns)

    def matrices(self, rows: Tensor) -> Tensor:
        """Hidden-layer matrices out of parameter rows, padded with zeros; a copy."""
        padded = torch.zeros_like(self.rotated)
        self.inner(padded).copy_(rows[:, self.begin : self.end].view(len(rows), self.n_layers, *self.size))
        return padded

    def inner(self, padded: Tensor) -> Tensor:
        """The part of padded matrices that is not padding, as a view ``[n, depth - 1, width, columns]``."""
        return padded.view(-1, self.n_layers, *padded.shape[1:])[:, :, : self.size[0], : self.size[1]]

    def advance(self, ensemble: Ensemble, theta: Tensor, stretch: Stretch) -> None:
        """See :class:`Rule`. Steps that turn the basis go the long way; those between them are compiled."""
        compiled = ensemble.compiled_steps
        if compiled is None or not self.n_layers:
            super().advance(ensemble, theta, stretch)
            return
        done = 0
        while done < len(stretch.sets):
            step, refresh = stretch.begun + done + 1, self.settings.refresh
            if step == 1 or step % refresh == 0:
                Rule.advance(self, ensemble, theta, stretch.part(done, done + 1))
                done += 1
                continue
            end = min(len(stretch.sets), done + refresh - step % refresh)
            self._compiled(compiled, theta, stretch.part(done, end))
            done = end

    def _compiled(self, passes: CompiledSteps, theta: Tensor, stretch: Stretch) -> None:
        """Steps in the basis as it is."""
        passes.soap_steps(
            theta, (self.first, self.second), stretch.sets, *self.corrected(stretch), self.betas,
            self.settings.basis_decay, (self.n_layers, self.begin, *self.size),
            (self.left, self.right, self.left_basis, self.right_basis, self.rotated),
        )  # fmt: skip

    def update(self, theta: Tensor, gradient: Tensor, rates: Tensor, step: int) -> None:
        """See :class:`Rule`."""
        self.accumulate(gradient)
        direction = self.direction(step)
        if self.n_layers:
            turned = self.preconditioned(self.matrices(gradient), self.matrices(self.first), step)
            part = direction[:, self.begin : self.end]
            part.view(len(theta), self.n_layers, *self.size).copy_(self.inner(turned))
        theta.sub_(direction.mul_(rates))

    def preconditioned(self, gradient: Tensor, first: Tensor, step: int) -> Tensor:
        """Adam's direction computed in the eigenbases of the averages of ``G G'`` and ``G' G`` and turned back."""
        decay, beta2 = self.settings.basis_decay, self.beta2
        self.left.baddbmm_(gradient, gradient.mT, beta=decay, alpha=1.0 - decay)
        self.right.baddbmm_(gradient.mT, gradient, beta=decay, alpha=1.0 - decay)
        if step == 1:
            self.left_basis = _eigenbasis(_bordered(self.left, self.size[0]))
            self.right_basis = _eigenbasis(_bordered(self.right, self.size[1]))
        elif step % self.settings.refresh == 0:
            left, right = self.left_basis, self.right_basis
            self.left_basis = _iterate(_bordered(self.left, self.size[0]), left)
            self.right_basis = _iterate(_bordered(self.right, self.size[1]), right)
            # Second moments follow the basis: new coordinates mix old ones, weighted by squared cosines.
            a, b = torch.bmm(self.left_basis.mT, left).square_(), torch.bmm(right.mT, self.right_basis).square_()
            self.rotated = torch.bmm(torch.bmm(a, self.rotated), b)
        turned = torch.bmm(torch.bmm(self.left_basis.mT, gradient), self.right_basis)
        self.rotated.mul_(beta2).addcmul_(turned, turned, value=1.0 - beta2)
        moment = torch.bmm(torch.bmm(self.left_basis.mT, first), self.right_basis)
        scale = (1.0 - beta2**step) ** 0.5
        moment.mul_(scale / (1.0 - self.beta1**step)).div_(self.rotated.sqrt().add_(self.epsilon * scale))
        return torch.bmm(torch.bmm(self.left_basis, moment), self.right_basis.mT)

    def preconditioner(self, step: int) -> Tensor | None:
        """See :class:`Rule`: none, where hidden layers are rotated."""
        return None if self.n_layers else super().preconditioner(step)

    def keep(self, rows: Tensor) -> None:
        """See :class:`Rule`."""
        super().keep(rows)
        if self.n_layers:
            for name in _MATRICES:
                stacked = getattr(self, name)
                setattr(self, name, stacked.reshape(-1, self.n_layers, *stacked.shape[1:])[rows].flatten(0, 1))

    def state(self) -> State:
        """See :class:`Rule`."""
        return super().state() | {name: getattr(self, name) for name in _MATRICES if self.n_layers}

    def restore(self, state: State) -> None:
        """See :class:`Rule`."""
        super().restore(state)
        for name in _MATRICES if self.n_layers else ():
            setattr(self, name, state[name].clone())


def _bordered(matrix: Tensor, size: int) -> Tensor:
    """The matrices made finite, with large numbers on the diagonal of the padding so that it keeps apart from the rest.

    They exceed every eigenvalue, so that the eigenvectors of the padding come last and compiled steps can leave them
    out. One matrix that is not finite would stop the factorisation of the whole batch.
    """
    sound = _finite(matrix)
    diagonal = sound.diagonal(dim1=1, dim2=2)
    bound = 1.0 + 2.0 * size * diagonal.amax(1, keepdim=True)
    diagonal[:, size:] = bound.clamp_max(torch.finfo(matrix.dtype).max)
    return sound


def _eigenbasis(matrix: Tensor) -> Tensor:
    """Eigenvectors of symmetric matrices."""
    basis: Tensor = torch.linalg.eigh(matrix).eigenvectors.contiguous()
    return basis


def _iterate(matrix: Tensor, basis: Tensor) -> Tensor:
    """One step of orthogonal iteration: cheaper than eigenvectors, and it follows their slow drift."""
    turned: Tensor = torch.linalg.qr(_finite(torch.bmm(matrix, basis))).Q.contiguous()
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
        Vyas, Morwani, Zhao, Shapira, Brandfonbrener, Janson & Kakade (2024), arXiv:2409.11321, algorithm 3; but second
        moments are carried over to the new basis when it turns: stale ones let single steps grow out of bounds.
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

    @property
    def needs_network(self) -> bool:
        """See :class:`Stage`: the matrices of its hidden layers."""
        return True

    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """See :class:`FirstOrder`."""
        return SOAPRule(theta, layout, self)
