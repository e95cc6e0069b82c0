"""Self-scaled BFGS with a dense inverse Hessian for every replica; only evaluations are batched.

A replica that accepts a step begins its next line search in the very next batched evaluation, whatever the others do:
no rule looks at companions, and no replica waits. Replicas that are done leave the batch.
"""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.training.base import Outcome, Stage, Watch, check_number
from approxrates.training.ensemble import Ensemble
from approxrates.training.linesearch import LineSearch, Verdict

_MEMORY_BYTES = 400_000_000
_CHECK_EVERY = 50


@dataclasses.dataclass(frozen=True)
class SelfScaledBFGS(Stage):
    """BFGS, its inverse Hessian rescaled by ``max(1, s'Bs / s'y)`` at each update; double precision, full sampling set.

    Smooth losses only: on narrow networks of smooth activation it goes several digits below any first-order method.
    Memory and time of a step grow with the square of the number of parameters; use it up to about 600.

    Attributes:
        steps: Most iterations (accepted steps); each takes one evaluation, rarely more.
        tolerance: A replica has converged when no component of its gradient exceeds this (of the standardised problem).
        patience: A replica has stalled when over so many iterations its loss fell by less than the fraction
            ``progress``.
        progress: See ``patience``.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Al-Baali (1998), J. Optim. Theory Appl. 96 (the scaling); Kiyani, Shukla, Urbán, Darbon & Karniadakis (2025),
        arXiv:2501.16371 (its merit for networks); Nocedal & Wright (2006), eq. (6.17) and (6.20).
    """

    name: ClassVar[str] = "ssbfgs"
    needs_float64: ClassVar[bool] = True

    tolerance: float = 1e-13
    patience: int = 200
    progress: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "tolerance", self.tolerance, 0.0)
        check_number(self.name, "patience", self.patience, 1)
        check_number(self.name, "progress", self.progress, 0.0, 1.0)

    def run(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        """See :class:`Stage`. Replicas are taken in groups whose matrices fit the memory allowed."""
        size = max(1, _MEMORY_BYTES // (8 * theta.shape[1] ** 2))
        everyone, kept = watch.rows, []
        for begin in range(0, len(theta), size):
            group = torch.arange(begin, min(begin + size, len(theta)), device=theta.device)
            watch.rows = everyone[begin : begin + size]
            _Descent(self, ensemble.subset(group), theta[group], watch).run()
            kept += watch.rows
        watch.rows = kept


class _Descent:
    """The state of one group of replicas; rows of the tensors and entries of the lists are the replicas still going."""

    def __init__(self, stage: SelfScaledBFGS, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        self.stage, self.ensemble, self.watch = stage, ensemble, watch
        n = len(theta)
        self.theta, self.gradient = theta, torch.zeros_like(theta)
        loss = ensemble.value_and_gradient(theta, self.gradient)
        self.direction = -self.gradient
        self.loss: list[float] = loss.tolist()
        self.inverse: list[Tensor | None] = [None] * n
        self.steps = [0] * n
        self.mark: list[float] = list(self.loss)
        slopes = _dots(self.direction, self.gradient)
        self.searches = [LineSearch(f, s, 0.1 / max(-s, 1e-300) ** 0.5) for f, s in zip(self.loss, slopes, strict=True)]

    def run(self) -> None:
        """Iterate until all replicas are done."""
        finished = [self._settled(i, peak) for i, peak in enumerate(_peaks(self.gradient))]
        while self._leave(finished):
            finished = self._round()

    def _round(self) -> list[Outcome | None]:
        """One batched evaluation; every replica then goes on with its own search or its next step."""
        lengths = self.theta.new_tensor([search.length for search in self.searches])
        trial = torch.addcmul(self.theta, lengths[:, None], self.direction)
        gradient = torch.empty_like(trial)
        loss = self.ensemble.value_and_gradient(trial, gradient)
        losses, slopes = loss.tolist(), _dots(gradient, self.direction)
        verdicts = [search.advance(f, slope) for search, f, slope in zip(self.searches, losses, slopes, strict=True)]
        finished: list[Outcome | None] = [None] * len(verdicts)
        moved = [i for i, verdict in enumerate(verdicts) if verdict is Verdict.ACCEPT]
        if moved:
            self._move(moved, trial, gradient, losses, finished)
        for i, verdict in enumerate(verdicts):
            if verdict is Verdict.FAIL:
                finished[i] = self._restart(i)
        return finished

    def _move(
        self, moved: list[int], trial: Tensor, gradient: Tensor, losses: list[float], finished: list[Outcome | None]
    ) -> None:
        """Accept the trial points of some replicas and give each its next direction."""
        step, change = trial - self.theta, gradient - self.gradient
        products, curvatures = _dots(step, change), _dots(change, change)
        peaks = _peaks(gradient)
        for i in moved:
            length, slope = self.searches[i].length, self.searches[i].slope
            self.theta[i], self.gradient[i], self.loss[i] = trial[i], gradient[i], losses[i]
            self.steps[i] += 1
            if products[i] > 1e-14 * -slope * length and curvatures[i] > 0.0:
                # s'Bs = -length^2 slope, because B direction = -gradient.
                scaling = min(1.0, products[i] / (-slope * length * length))
                self._update(i, step[i], change[i], products[i], curvatures[i], scaling)
            else:
                self._turn(i)
            finished[i] = self._settled(i, peaks[i])
        self._begin([i for i in moved if finished[i] is None])

    def _update(self, i: int, step: Tensor, change: Tensor, product: float, curvature: float, scaling: float) -> None:
        r"""The self-scaled update and the next direction from one pass over the matrix.

        ``H+ = H / t - (s (Hy)' + (Hy) s') / (t s'y) + (1 / s'y + y'Hy / (t (s'y)^2)) s s'`` with the scaling ``t``;
        ``H+ g`` then needs ``Hg`` and inner products only.
        """
        matrix = self.inverse[i]
        if matrix is None:
            matrix = torch.diag(torch.full_like(step, product / curvature))
            self.inverse[i], scaling = matrix, 1.0
        pair = torch.mm(matrix, torch.stack([change, self.gradient[i]], dim=1))
        turned = pair[:, 0].contiguous()
        bend = float(torch.dot(change, turned))
        basis = torch.stack([step, turned])
        a, b = (1.0 + bend / (scaling * product)) / product, -1.0 / (scaling * product)
        mixed = torch.mm(basis.new_tensor([[a, b], [b, 0.0]]), basis)
        torch.addmm(matrix, basis.T, mixed, beta=1.0 / scaling, out=matrix)
        along = torch.mv(mixed, self.gradient[i])
        self.direction[i] = -(pair[:, 1] / scaling + along[0] * step + along[1] * turned)

    def _turn(self, i: int) -> None:
        """The direction from the matrix as it is."""
        matrix = self.inverse[i]
        self.direction[i] = -self.gradient[i] if matrix is None else -torch.mv(matrix, self.gradient[i])

    def _begin(self, places: list[int]) -> None:
        """Start the next line searches; where the direction does not descend, start again from the gradient."""
        slopes = _dots(self.direction, self.gradient)
        for i in places:
            if not slopes[i] < 0.0:
                self.inverse[i] = None
                self.direction[i] = -self.gradient[i]
                slopes[i] = -float(torch.dot(self.gradient[i], self.gradient[i]))
            first = 1.0 if self.inverse[i] is not None else 0.1 / max(-slopes[i], 1e-300) ** 0.5
            self.searches[i] = LineSearch(self.loss[i], slopes[i], first)

    def _restart(self, i: int) -> Outcome | None:
        """After a failed search: once more along the gradient, and give up if that was the direction already."""
        if self.inverse[i] is None:
            return Outcome.STALLED
        self.inverse[i] = None
        self.direction[i] = -self.gradient[i]
        self._begin([i])
        return None

    def _settled(self, i: int, peak: float) -> Outcome | None:
        """Whether the replica is done after an accepted step."""
        if not peak < float("inf"):
            return Outcome.NON_FINITE
        if peak <= self.stage.tolerance:
            return Outcome.CONVERGED
        if self.steps[i] >= self.stage.steps:
            return Outcome.BUDGET_SPENT
        if self.steps[i] and self.steps[i] % self.stage.patience == 0:
            if self.loss[i] > (1.0 - self.stage.progress) * self.mark[i]:
                return Outcome.STALLED
            self.mark[i] = self.loss[i]
        return None

    def _leave(self, finished: list[Outcome | None]) -> bool:
        """Record and take out the replicas that are done; whether any is left."""
        if not any(finished):
            self.watch.report(max(self.steps), self.theta.new_tensor(self.loss))
            return True
        loss = self.theta.new_tensor(self.loss)
        broken = self.watch.record(self.theta, loss, self.steps)
        for place, outcome in enumerate(finished):
            if outcome is not None:
                self.watch.count(place, self.steps[place])
        keep = self.watch.drop(
            [None if done is None else bad or done for done, bad in zip(finished, broken, strict=True)]
        )
        rows = torch.tensor(keep, dtype=torch.long, device=self.theta.device)
        self.ensemble = self.ensemble.subset(rows)
        self.theta, self.gradient, self.direction = self.theta[rows], self.gradient[rows], self.direction[rows]
        for name in ("loss", "inverse", "steps", "mark", "searches"):
            setattr(self, name, [getattr(self, name)[place] for place in keep])
        return bool(keep)


def _dots(a: Tensor, b: Tensor) -> list[float]:
    """Inner products of corresponding rows."""
    products: list[float] = (a * b).sum(1).tolist()
    return products


def _peaks(rows: Tensor) -> list[float]:
    """Largest absolute entry of each row."""
    peaks: list[float] = rows.abs().amax(1).tolist()
    return peaks
