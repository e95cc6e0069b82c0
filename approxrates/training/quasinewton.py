"""The loop of the quasi-Newton stages: only evaluations are batched, every replica goes its own way.

A replica that accepts a step begins its next line search in the very next batched evaluation, whatever the others do:
no rule looks at companions, and no replica waits. Replicas that are done leave the batch.
"""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends import Ensemble
from approxrates.training.base import Descent, Outcome, Sight, Stage, State, Watch, check_number
from approxrates.training.linesearch import LineSearch, Verdict

_ROUNDS = 50
"""Batched evaluations in a stretch of work."""

_CHECKPOINTS = 20

_GROWTH = 1.2
"""First length to try over the last one accepted."""


@dataclasses.dataclass(frozen=True)
class Moves:
    """Accepted steps of some of the replicas still going.

    Attributes:
        rows: Whose, as rows of the tensors.
        slots: The same replicas, as they were numbered when the descent began.
        lengths: Their steps over their directions.
        theta: Where the steps began, ``[n, stride]``.
        trial: Where they ended.
        before: Gradients where they began.
        after: Gradients where they ended.
        direction: Where to write the next directions; ``[n, stride]``, as all others.
    """

    rows: list[int]
    slots: list[int]
    lengths: list[float]
    theta: Tensor
    trial: Tensor
    before: Tensor
    after: Tensor
    direction: Tensor

    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All but the lengths, for compiled loops; arrays share the memory of the tensors."""
        tensors = (self.theta, self.trial, self.before, self.after, self.direction)
        return (np.array(self.rows), np.array(self.slots), *(tensor.numpy() for tensor in tensors))


class Curvature(ABC):
    """What a method has learnt about the curvature of the losses, for each replica by itself.

    Replicas are addressed by their slots, which stay when others leave.
    """

    @abstractmethod
    def knows(self, slot: int) -> bool:
        """Whether anything is known of a replica; if not, its direction is the negative gradient."""

    @abstractmethod
    def forget(self, slot: int) -> None:
        """Begin again with a replica."""

    @abstractmethod
    def turn(self, moves: Moves) -> None:
        """Learn from steps, and write the next directions."""

    @abstractmethod
    def state(self, slots: Sequence[int]) -> State:
        """What is known of some replicas."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take up the state of as many replicas as there are slots."""


@dataclasses.dataclass(frozen=True)
class QuasiNewton(Stage):
    """A stage that steps to the minimum of a quadratic model learnt from gradients; float64, full sampling set.

    Attributes:
        steps: Most iterations (accepted steps); each takes one evaluation, rarely more.
        tolerance: A replica has converged when no component of its gradient exceeds this (of the standardised problem).
        patience: A replica has stalled when over so many evaluations its loss fell by less than the fraction
            ``progress``.
        progress: See ``patience``.
    """

    needs_float64 = True

    tolerance: float = 1e-13
    patience: int = 200
    progress: float = 1e-2

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "tolerance", self.tolerance, 0.0)
        check_number(self.name, "patience", self.patience, 1)
        check_number(self.name, "progress", self.progress, 0.0, 1.0)

    @abstractmethod
    def curvature(self, ensemble: Ensemble) -> Curvature:
        """What is to be learnt, with nothing known yet."""

    def begin(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> Descent:
        """See :class:`Stage`."""
        return QuasiNewtonDescent(self, ensemble, theta, watch)


@dataclasses.dataclass
class _Replica:
    """Where one replica stands.

    Attributes:
        slot: Its number when the descent began.
        loss: Present loss.
        mark: Loss when patience last began.
        search: The line search under way.
        steps: Accepted steps.
        recorded: Steps when the replica was last recorded.
        evaluations: Of loss and gradient, since the start.
        marked: Evaluations when patience last began.
    """

    slot: int
    loss: float
    mark: float
    search: LineSearch
    steps: int = 0
    recorded: int = 0
    evaluations: int = 0
    marked: int = 0

    def try_out(self, loss: float, slope: float) -> Verdict:
        """Take the evaluation that the line search has asked for."""
        self.evaluations += 1
        return self.search.advance(loss, slope)

    def state(self) -> list[float | list[float]]:
        """All but the slot, as plain numbers."""
        counts = [self.steps, self.recorded, self.evaluations, self.marked]
        return [self.loss, self.mark, self.search.state(), *counts]


class QuasiNewtonDescent(Descent):
    """A quasi-Newton stage at work. Rows of its tensors and entries of ``replicas`` are the replicas still going."""

    def __init__(self, stage: QuasiNewton, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        self.stage, self.ensemble, self.watch = stage, ensemble, watch
        self.curvature = stage.curvature(ensemble)
        self.theta, self.gradient = theta, torch.zeros_like(theta)
        losses = ensemble.value_and_gradient(theta, self.gradient).tolist()
        self.direction = -self.gradient
        slopes = _dots(self.direction, self.gradient)
        self.replicas = [
            _Replica(slot, loss, loss, LineSearch(loss, slope, _cautious(slope)))
            for slot, (loss, slope) in enumerate(zip(losses, slopes, strict=True))
        ]
        self._begun = False
        self._every = max(1, stage.steps // _CHECKPOINTS)

    def advance(self) -> bool:
        """See :class:`Descent`."""
        if not self._begun:
            self._begun = True
            peaks = _peaks(self.gradient)
            self._leave([self._settled(one, peak) for one, peak in zip(self.replicas, peaks, strict=True)])
        for _ in range(_ROUNDS):
            if not self.replicas:
                return False
            self._leave(self._round())
        if self.replicas:
            losses = self.theta.new_tensor([one.loss for one in self.replicas])
            self.watch.report(max(one.steps for one in self.replicas), losses)
        return bool(self.replicas)

    def state(self) -> State:
        """See :class:`Descent`."""
        known = self.curvature.state([one.slot for one in self.replicas])
        return {
            "theta": self.theta,
            "gradient": self.gradient,
            "direction": self.direction,
            "replicas": [one.state() for one in self.replicas],
            "begun": self._begun,
            "curvature": known,
        }

    def restore(self, state: State) -> None:
        """See :class:`Descent`."""
        for name in ("theta", "gradient", "direction"):
            getattr(self, name).copy_(state[name])
        self.replicas = [
            _Replica(slot, loss, mark, LineSearch.resumed(search), *rest)
            for slot, (loss, mark, search, *rest) in enumerate(state["replicas"])
        ]
        self._begun = state["begun"]
        self.curvature.restore(state["curvature"])

    def _round(self) -> list[Outcome | None]:
        """One batched evaluation; every replica then goes on with its own search or its next step."""
        lengths = self.theta.new_tensor([one.search.length for one in self.replicas])
        trial = torch.addcmul(self.theta, lengths[:, None], self.direction)
        gradient = torch.empty_like(trial)
        losses = self.ensemble.value_and_gradient(trial, gradient).tolist()
        slopes = _dots(gradient, self.direction)
        verdicts = [one.try_out(loss, slope) for one, loss, slope in zip(self.replicas, losses, slopes, strict=True)]
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
        ones = [self.replicas[i] for i in moved]
        lengths, firsts = [one.search.length for one in ones], [self._first(one) for one in ones]
        slots = [one.slot for one in ones]
        moves = Moves(moved, slots, lengths, self.theta, trial, self.gradient, gradient, self.direction)
        self.curvature.turn(moves)
        if len(moved) == len(self.replicas):
            self.theta, self.gradient = trial, gradient
        else:
            rows = torch.tensor(moved, device=trial.device)
            self.theta[rows], self.gradient[rows] = trial[rows], gradient[rows]
        slopes, peaks = _dots(self.direction, self.gradient), _peaks(self.gradient)
        for i, one, first in zip(moved, ones, firsts, strict=True):
            one.loss, one.steps = losses[i], one.steps + 1
            finished[i] = self._settled(one, peaks[i])
            if finished[i] is None:
                self._begin(i, slopes[i], first)

    def _first(self, one: _Replica) -> float:
        """First length of the line search after this one, if the curvature is known then.

        A scaled inverse Hessian overrates what it has not seen yet: two of three full steps are too long, and by about
        as much as the last. To begin near the last length saves most of the second evaluations.
        """
        return min(1.0, _GROWTH * one.search.length) if self.curvature.knows(one.slot) else 1.0

    def _begin(self, i: int, slope: float, first: float) -> None:
        """Start the next line search; where the direction does not descend, start again from the gradient."""
        one = self.replicas[i]
        if not slope < 0.0:
            self.curvature.forget(one.slot)
            self.direction[i] = -self.gradient[i]
            slope = -float(torch.dot(self.gradient[i], self.gradient[i]))
        one.search = LineSearch(one.loss, slope, first if self.curvature.knows(one.slot) else _cautious(slope))

    def _restart(self, i: int) -> Outcome | None:
        """After a failed search: once more along the gradient, and give up if that was the direction already."""
        if not self.curvature.knows(self.replicas[i].slot):
            return Outcome.STALLED
        self._begin(i, 0.0, 1.0)
        return None

    def _settled(self, one: _Replica, peak: float) -> Outcome | None:
        """Whether the replica is done after an accepted step."""
        if not peak < math.inf:
            return Outcome.NON_FINITE
        if peak <= self.stage.tolerance:
            return Outcome.CONVERGED
        if one.steps >= self.stage.steps:
            return Outcome.BUDGET_SPENT
        if one.evaluations >= one.marked + self.stage.patience:
            if one.loss > (1.0 - self.stage.progress) * one.mark:
                return Outcome.STALLED
            one.mark, one.marked = one.loss, one.evaluations
        return None

    def _leave(self, finished: list[Outcome | None]) -> None:
        """Record the replicas that are done or due, and take out those that are done."""
        due = [
            place
            for place, (one, outcome) in enumerate(zip(self.replicas, finished, strict=True))
            if outcome is not None or one.steps >= one.recorded + self._every
        ]
        for place, broken in zip(due, self._record(due), strict=True):
            finished[place] = broken or finished[place]
        if self.watch.onlooker is not None:
            steps, ended = [one.steps for one in self.replicas], [outcome is not None for outcome in finished]
            self.watch.observe(Sight(self.ensemble, self.theta, steps, ended))
        if not any(finished):
            return
        for place, outcome in enumerate(finished):
            if outcome is not None:
                self.watch.count(place, self.replicas[place].steps)
        keep = self.watch.drop(finished)
        rows = torch.tensor(keep, dtype=torch.long, device=self.theta.device)
        self.ensemble = self.ensemble.subset(rows)
        self.theta, self.gradient, self.direction = self.theta[rows], self.gradient[rows], self.direction[rows]
        self.replicas = [self.replicas[place] for place in keep]

    def _record(self, places: list[int]) -> list[Outcome | None]:
        """Record some of the replicas, and these alone: what is kept of a replica must not depend on companions."""
        if not places:
            return []
        ones, everyone = [self.replicas[place] for place in places], self.watch.rows
        for one in ones:
            one.recorded = one.steps
        self.watch.rows = [everyone[place] for place in places]
        losses = self.theta.new_tensor([one.loss for one in ones])
        found = self.watch.record(self.theta[places], losses, [one.steps for one in ones])
        self.watch.rows = everyone
        return found


def _cautious(slope: float) -> float:
    """First length along a gradient of which nothing else is known: a step of norm 0.1."""
    return 0.1 / math.sqrt(max(-slope, 1e-300))


def _dots(a: Tensor, b: Tensor) -> list[float]:
    """Inner products of corresponding rows."""
    products: list[float] = (a * b).sum(1).tolist()
    return products


def _peaks(rows: Tensor) -> list[float]:
    """Largest absolute entry of each row."""
    peaks: list[float] = rows.abs().amax(1).tolist()
    return peaks
