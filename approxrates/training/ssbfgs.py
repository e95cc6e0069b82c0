"""Self-scaled BFGS with a dense inverse Hessian for every replica, kept as a product of a matrix and its transpose.

With ``H = J J'`` an update of BFGS is a rank-one change of J, H stays positive definite whatever the rounding, and the
condition number that rounding errors are multiplied with is only the root of H's. On fits of smooth targets H spans 16
orders of magnitude and more: carried along itself it stops them at errors of about 1e-9, its factor does not.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.backends.broyden import LEAST_CURVATURE, self_scaled
from approxrates.training.base import State
from approxrates.training.quasinewton import Curvature, Moves, QuasiNewton

UPDATES = ("bfgs", "broyden")

_LANES = 8
"""Rows of the factors are padded to multiples of this many numbers, so that each begins at a multiple of 64 bytes."""


@dataclasses.dataclass(frozen=True)
class SelfScaledBFGS(QuasiNewton):
    """BFGS, its inverse Hessian rescaled by ``max(1, s'Bs / s'y)`` at each update; double precision, full sampling set.

    Smooth losses only: on narrow networks of smooth activation it goes several digits below any first-order method.
    Memory and time of a step grow with the square of the number of parameters; use it up to about 600.

    Attributes:
        steps: Most iterations (accepted steps); each takes one evaluation, rarely more.
        tolerance: A replica has converged when no component of its gradient exceeds this (of the standardised problem).
        patience: A replica has stalled when over so many evaluations its loss fell by less than the fraction
            ``progress``.
        progress: See ``patience``.
        update: ``"bfgs"``, or ``"broyden"``: the member of Broyden's family, and the scaling, are chosen at each update
            by ``y'Hy`` and ``s'Bs``. Lower errors at equal evaluations, for a third pass over the matrix.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Al-Baali (1998), J. Optim. Theory Appl. 96 (the scaling); Kiyani, Shukla, Urbán, Darbon & Karniadakis (2025),
        arXiv:2501.16371 (its merit for networks); Al-Baali & Khalfan (2005), Optim. Methods Softw. 20, and Urbán,
        Stefanou & Pons (2025), arXiv:2405.04230 (the choice in Broyden's family); Brodlie, Gourlay & Greenstadt (1973),
        J. Inst. Math. Appl. 11 (the product form); Nocedal & Wright (2006), eq. (6.17), (6.20) and (6.32).
    """

    name: ClassVar[str] = "ssbfgs"

    update: str = "bfgs"

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.update not in UPDATES:
            raise ValueError(f"update of {self.name} must be one of {', '.join(UPDATES)}. Got {self.update!r}.")

    def curvature(self, ensemble: Ensemble) -> Curvature:
        """See :class:`QuasiNewton`."""
        return DenseFactors(len(ensemble), ensemble, broyden=self.update == "broyden")

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """See :class:`Stage`: the factor, and a dozen rows."""
        return 8 * _size(layout.n_params) ** 2 + 12 * 8 * layout.stride


class DenseFactors(Curvature):
    r"""Factors J of inverse Hessians ``H = J J'``, one for each replica.

    For a step ``s`` over which the gradient changes by ``y``, with ``B`` the inverse of H and the scaling ``t``,

        ``J+ = (J - s (J'w)') / sqrt(t)``,    ``w = y / s'y - sqrt(t / (s'y s'Bs)) B s``,

    is a factor of the update of ``H / t`` by BFGS. As ``s = -l H g`` with the length ``l`` and the gradient ``g``
    where the step began, ``Bs = -l g``, ``s'Bs = l^2 |J'g|^2`` and ``J'w`` follow from ``J'g``, which is kept, and from
    the product of ``J'`` with the new gradient.

    Args:
        n_replicas: Number of replicas.
        ensemble: Tells the number of parameters, device and backend.
        broyden: Choose the member of Broyden's family at each update.
    """

    def __init__(self, n_replicas: int, ensemble: Ensemble, *, broyden: bool) -> None:
        self.n_params, self.broyden = ensemble.layout.n_params, broyden
        self.size = _size(self.n_params)
        self.factors = torch.zeros(n_replicas, self.size, self.size, dtype=torch.float64, device=ensemble.device)
        self.images = torch.zeros(n_replicas, self.size, dtype=torch.float64, device=ensemble.device)
        self.known = np.zeros(n_replicas, dtype=np.bool_)
        self.scratch = np.zeros((4, self.size))
        self.native = ensemble.backend == "native"

    def knows(self, slot: int) -> bool:
        """See :class:`Curvature`."""
        return bool(self.known[slot])

    def forget(self, slot: int) -> None:
        """See :class:`Curvature`."""
        self.known[slot] = False

    def turn(self, moves: Moves) -> None:
        """See :class:`Curvature`."""
        if self.native:
            self._turn_natively(moves)
            return
        n = self.size
        for row, slot, length in zip(moves.rows, moves.slots, moves.lengths, strict=True):
            step = moves.trial[row, :n] - moves.theta[row, :n]
            self._turn_one(slot, length, step, moves.before[row, :n], moves.after[row, :n], moves.direction[row, :n])

    def state(self, slots: Sequence[int]) -> State:
        """See :class:`Curvature`."""
        rows = torch.tensor(list(slots), dtype=torch.long, device=self.factors.device)
        known = self.known[list(slots)].tolist()
        return {"factors": self.factors[rows], "images": self.images[rows], "known": known}

    def restore(self, state: State) -> None:
        """See :class:`Curvature`."""
        self.factors.copy_(state["factors"])
        self.images.copy_(state["images"])
        self.known[:] = state["known"]

    def _turn_one(
        self, slot: int, length: float, step: Tensor, before: Tensor, after: Tensor, direction: Tensor
    ) -> None:
        """Update the factor of one replica and write its next direction."""
        factor, image = self.factors[slot], self.images[slot]
        change = after - before
        product, curvature = float(torch.dot(step, change)), float(torch.dot(change, change))
        known = image if self.known[slot] else before
        energy = float(torch.dot(known, known))
        if not (product > LEAST_CURVATURE * length * energy and curvature > 0.0):
            if self.known[slot]:
                image.copy_(torch.mv(factor.T, after))
                torch.neg(torch.mv(factor, image), out=direction)
            else:
                torch.neg(after, out=direction)
            return
        if self.known[slot] and self.broyden:
            self._broyden(factor, image, product, length * length * energy / product, length, step, after)
        else:
            if not self.known[slot]:
                # The multiple of the identity that has the curvature just seen, and the length that needs no scaling.
                scale = (product / curvature) ** 0.5
                factor.zero_().fill_diagonal_(scale)
                image.copy_(before).mul_(scale)
                energy, self.known[slot] = scale * scale * energy, True
                length = (product / energy) ** 0.5
            self._bfgs(factor, image, product, energy, length, step, after)
        torch.neg(torch.mv(factor, image), out=direction)

    def _bfgs(
        self, factor: Tensor, image: Tensor, product: float, energy: float, length: float, step: Tensor, after: Tensor
    ) -> None:
        """The update of BFGS, scaled; ``energy`` is ``z' z``."""
        turned, scaling = torch.mv(factor.T, after), min(1.0, product / (length * length * energy))
        p = (image - turned).div_(product).sub_(image, alpha=(scaling / (product * energy)) ** 0.5)
        growth = scaling**-0.5
        torch.addr(factor, step, p, beta=growth, alpha=growth, out=factor)
        torch.add(turned, p, alpha=float(torch.dot(step, after)), out=image).mul_(growth)

    def _broyden(
        self, factor: Tensor, image: Tensor, product: float, b: float, length: float, step: Tensor, after: Tensor
    ) -> None:
        """The update of Broyden's family, scaled; ``b`` is ``s'Bs / s'y``."""
        turned = torch.mv(factor.T, after)
        change = turned - image
        bent, h = torch.mv(factor, change), float(torch.dot(change, change)) / product
        scaling, phi, corner = self_scaled(h, b, self.n_params)
        growth, ratio = scaling**-0.5, (scaling / h) ** 0.5
        lean = h * phi / (product * (1.0 + corner**0.5))
        p = (ratio / product - lean / h) * change - (lean * length) * image
        q = ((ratio - 1.0) / (h * product)) * change - p / h
        columns, rows = torch.stack([step, bent]), torch.stack([p, q])
        torch.addmm(factor, columns.T, rows, beta=growth, alpha=growth, out=factor)
        torch.addmv(turned, rows.T, torch.mv(columns, after), out=image).mul_(growth)

    def _turn_natively(self, moves: Moves) -> None:
        """The same by compiled loops."""
        from approxrates.backends.native.dense import turn

        turn(
            self.factors.numpy(), self.images.numpy(), self.known, *moves.arrays(), np.array(moves.lengths),
            self.scratch, self.n_params if self.broyden else 0,
        )  # fmt: skip


def _size(n_params: int) -> int:
    """Rows and columns of a factor."""
    return -(-n_params // _LANES) * _LANES
