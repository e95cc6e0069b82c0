"""Limited-memory BFGS: directions from the last few steps, for networks too large for dense matrices."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.backends.broyden import LEAST_CURVATURE
from approxrates.training.base import State, check_number
from approxrates.training.quasinewton import Curvature, Moves, QuasiNewton


@dataclasses.dataclass(frozen=True)
class LBFGS(QuasiNewton):
    """BFGS that remembers the last ``history`` steps only; double precision, full sampling set.

    Time and memory of a step grow with the number of parameters, not with its square. On small networks of smooth
    activation :class:`SelfScaledBFGS` goes several digits deeper.

    Attributes:
        steps: Most iterations (accepted steps); each takes one evaluation, rarely more.
        tolerance: A replica has converged when no component of its gradient exceeds this (of the standardised problem).
        patience: A replica has stalled when over so many evaluations its loss fell by less than the fraction
            ``progress``.
        progress: See ``patience``.
        history: Steps remembered.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Nocedal (1980), Math. Comp. 35; Nocedal & Wright (2006), algorithms 7.4 and 7.5.
    """

    name: ClassVar[str] = "lbfgs"

    history: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "history", self.history, 1)
        if not isinstance(self.history, int):
            raise TypeError(f"history of {self.name} must be an integer. Got {self.history!r}. Write e.g. history=20.")

    def curvature(self, ensemble: Ensemble) -> Curvature:
        """See :class:`QuasiNewton`."""
        return RecentPairs(len(ensemble), self.history, ensemble)

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """See :class:`Stage`: the pairs remembered, and a dozen rows."""
        return (2 * self.history + 12) * 8 * layout.stride


class RecentPairs(Curvature):
    """Steps and changes of the gradient over them, the last few of each replica, in rings.

    Args:
        n_replicas: Number of replicas.
        history: Pairs remembered of each.
        ensemble: Tells the length of rows, device and backend.
    """

    def __init__(self, n_replicas: int, history: int, ensemble: Ensemble) -> None:
        shape = (n_replicas, history, ensemble.layout.stride)
        self.steps = torch.zeros(shape, dtype=torch.float64, device=ensemble.device)
        self.changes = torch.zeros_like(self.steps)
        self.products = np.zeros((n_replicas, history))
        self.counts = np.zeros(n_replicas, dtype=np.int64)
        self.shares = np.zeros(history)
        self.native = ensemble.backend == "native"

    def knows(self, slot: int) -> bool:
        """See :class:`Curvature`."""
        return bool(self.counts[slot])

    def forget(self, slot: int) -> None:
        """See :class:`Curvature`."""
        self.counts[slot] = 0

    def turn(self, moves: Moves) -> None:
        """See :class:`Curvature`."""
        if self.native:
            self._turn_natively(moves)
            return
        for row, slot in zip(moves.rows, moves.slots, strict=True):
            self._learn(slot, moves.trial[row] - moves.theta[row], moves.after[row] - moves.before[row])
            moves.direction[row] = self._direction(slot, moves.after[row])

    def state(self, slots: Sequence[int]) -> State:
        """See :class:`Curvature`."""
        rows = torch.tensor(list(slots), dtype=torch.long, device=self.steps.device)
        plain = {"products": self.products[list(slots)].tolist(), "counts": self.counts[list(slots)].tolist()}
        return {"steps": self.steps[rows], "changes": self.changes[rows], **plain}

    def restore(self, state: State) -> None:
        """See :class:`Curvature`."""
        self.steps.copy_(state["steps"])
        self.changes.copy_(state["changes"])
        self.products[:], self.counts[:] = state["products"], state["counts"]

    def _learn(self, slot: int, step: Tensor, change: Tensor) -> None:
        """Remember a step in place of the oldest, unless the loss did not curve upwards along it."""
        product = float(torch.dot(step, change))
        if product > LEAST_CURVATURE * float(step.norm()) * float(change.norm()):
            place = self.counts[slot] % len(self.shares)
            self.steps[slot, place], self.changes[slot, place] = step, change
            self.products[slot, place] = product
            self.counts[slot] += 1

    def _direction(self, slot: int, gradient: Tensor) -> Tensor:
        """Minus the inverse Hessian times the gradient, by two loops over the pairs."""
        count, history = int(self.counts[slot]), len(self.shares)
        direction, places = -gradient, [pair % history for pair in range(max(0, count - history), count)]
        steps, changes, products = self.steps[slot], self.changes[slot], self.products[slot]
        for place in reversed(places):
            self.shares[place] = float(torch.dot(steps[place], direction)) / products[place]
            direction.sub_(changes[place], alpha=self.shares[place])
        for place in places[-1:]:
            direction.mul_(products[place] / float(torch.dot(changes[place], changes[place])))
        for place in places:
            share = self.shares[place] - float(torch.dot(changes[place], direction)) / products[place]
            direction.add_(steps[place], alpha=share)
        return direction

    def _turn_natively(self, moves: Moves) -> None:
        """The same by compiled loops."""
        from approxrates.backends.native.dense import turn_by_pairs

        turn_by_pairs(
            self.steps.numpy(), self.changes.numpy(), self.products, self.counts, *moves.arrays(), self.shares
        )  # fmt: skip
