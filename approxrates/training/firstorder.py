"""The loop of the first-order stages: learning-rate schedule, point sets that are swapped, checkpoints."""

from __future__ import annotations

import dataclasses
import math
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.training.base import Descent, Outcome, Sight, Stage, State, Watch, check_number
from approxrates.training.refinement import Refinement, refined_ensemble

_CHECKPOINTS = 20
_CHECKPOINTS_BETWEEN_MOVES = 4


@dataclasses.dataclass(frozen=True)
class Stretch:
    """Steps to be done one after the other.

    Attributes:
        begun: Steps done before.
        sets: Point set of each step, ``(K,)``.
        rates: Learning rates, ``(n, K)``.
    """

    begun: int
    sets: NDArray[np.int64]
    rates: NDArray[np.float64]

    def part(self, begin: int, end: int) -> Stretch:
        """Some of the steps."""
        return Stretch(self.begun + begin, self.sets[begin:end], self.rates[:, begin:end])


class Rule(ABC):
    """An update rule with its memory, for replicas stacked along the first axis."""

    @abstractmethod
    def update(self, theta: Tensor, gradient: Tensor, rates: Tensor, step: int) -> None:
        """Move ``theta [n, stride]`` in place.

        Args:
            theta: Parameters.
            gradient: Gradients ``[n, stride]``.
            rates: Learning rates ``[n, 1]``.
            step: Number of this step, from 1.
        """

    def advance(self, ensemble: Ensemble, theta: Tensor, stretch: Stretch) -> None:
        """Do several steps; a rule with a compiled form overrides this.

        Args:
            ensemble: Loss and gradient.
            theta: Parameters ``[n, stride]``, moved in place.
            stretch: Which steps.
        """
        gradient = torch.zeros_like(theta)
        rates = torch.as_tensor(stretch.rates, dtype=theta.dtype, device=theta.device)
        for k, set_index in enumerate(stretch.sets.tolist()):
            ensemble.value_and_gradient(theta, gradient, set_index)
            self.update(theta, gradient, rates[:, k : k + 1], stretch.begun + k + 1)

    def preconditioner(self, step: int) -> Tensor | None:
        """The diagonal that the gradient is divided by after so many steps, ``[n, stride]``; None if it is none."""
        return None

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Forget all replicas but these."""

    @abstractmethod
    def state(self) -> State:
        """The memory, by name."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Take up a memory."""


@dataclasses.dataclass(frozen=True)
class FirstOrder(Stage):
    """A stage that follows the gradient with a learning rate.

    Attributes:
        learning_rate: Peak learning rate; a tuple is dealt out to the replicas by their numbers.
        cosine: Let the rate fall to zero along a half cosine; otherwise it stays.
        warm_up: Steps over which the rate rises linearly to its peak.
        swap: The set of sampling points is changed every so many steps.
        adapt: After every fifth of the steps, move points of every replica's sets to where its own error is large; for
            rough targets of two or three variables. See docs/sampling.md.
    """

    learning_rate: float | Sequence[float] = 1e-2
    cosine: bool = True
    warm_up: int = 100
    swap: int = 5
    adapt: bool = False

    def __post_init__(self) -> None:
        super().__post_init__()
        many = isinstance(self.learning_rate, Sequence) and not isinstance(self.learning_rate, str)
        rates = (
            tuple(self.learning_rate) if isinstance(self.learning_rate, Sequence) and many else (self.learning_rate,)
        )
        if many:
            object.__setattr__(self, "learning_rate", rates)
        if not rates:
            raise ValueError(f"learning_rate of {self.name} must hold at least one number. Got none. Write e.g. 1e-2.")
        for rate in rates:
            check_number(self.name, "learning_rate", rate, 0.0, closed=False)
        check_number(self.name, "warm_up", self.warm_up, 0)
        check_number(self.name, "swap", self.swap, 1)
        for name in ("cosine", "adapt"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} of {self.name} must be True or False. Got {getattr(self, name)!r}.")

    @property
    def needs_network(self) -> bool:
        """See :class:`Stage`: to move points."""
        return self.adapt

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """See :class:`Stage`: moments and averages, and points of one's own where they follow the error."""
        own = Refinement().bytes_per_replica(layout.dim, layout.n_outputs, n_points) if self.adapt else 0
        return super().bytes_per_replica(layout, n_points) + own

    @abstractmethod
    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """The update rule, with empty memory, for parameters like ``theta``."""

    def factor(self, step: int) -> float:
        """Learning rate of step ``step`` (from 1) over its peak."""
        rise = min(1.0, step / self.warm_up) if self.warm_up else 1.0
        return rise * (0.5 * (1.0 + math.cos(math.pi * (step - 1) / self.steps)) if self.cosine else 1.0)

    def peak_rates(self, watch: Watch) -> list[float]:
        """Peak learning rate of each replica, by its number."""
        dealt = self.learning_rate if isinstance(self.learning_rate, Sequence) else (self.learning_rate,)
        return [dealt[replica % len(dealt)] for replica in watch.replicas]

    def begin(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> Descent:
        """See :class:`Stage`."""
        return _FirstOrderDescent(self, ensemble, theta, watch)


class _FirstOrderDescent(Descent):
    """A first-order stage at work. A stretch goes to the next checkpoint, where replicas that broke down are taken out.

    The others never notice.
    """

    def __init__(self, stage: FirstOrder, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        self.stage, self.ensemble, self.theta, self.watch = stage, ensemble, theta, watch
        self.rule = stage.rule(theta, ensemble.layout)
        self.step = 0
        self.every = max(1, stage.steps // _CHECKPOINTS)
        self.moved, self.seen = ensemble, theta[:0]

    def advance(self) -> bool:
        """See :class:`Descent`."""
        stage, begun = self.stage, self.step
        if stage.adapt and begun and begun // self.every % _CHECKPOINTS_BETWEEN_MOVES == 0:
            self._move_points(self.theta.clone())
        self.step = min(stage.steps, begun + self.every)
        steps = range(begun + 1, self.step + 1)
        moving = max(1, self.moved.n_sets - 1)
        sets = [(step - 1) // stage.swap % moving for step in steps]
        peak = stage.peak_rates(self.watch)
        rates = np.array([[rate * stage.factor(step) for step in steps] for rate in peak])
        stretch, done = Stretch(begun, np.array(sets), rates), begun
        for stop in self.watch.stops_within(begun, self.step):
            self.rule.advance(self.moved, self.theta, stretch.part(done - begun, stop - begun))
            done = stop
            self._show(stop)
        for place in range(len(self.theta)):
            self.watch.count(place, len(steps))
        outcomes = self.watch.record(self.theta, self.ensemble.value(self.theta), self.step)
        if any(outcomes):
            self._keep(self.watch.drop(outcomes))
        if self.step == stage.steps or not len(self.theta):
            self.watch.drop([Outcome.BUDGET_SPENT] * len(self.theta))
            return False
        return True

    def _show(self, step: int) -> None:
        """Let be seen how things stand after a step."""
        if self.watch.onlooker is not None:
            n = len(self.theta)
            ended, diagonal = [step == self.stage.steps] * n, self.rule.preconditioner(step)
            self.watch.observe(Sight(self.ensemble, self.theta, [step] * n, ended, diagonal))

    def _keep(self, places: list[int]) -> None:
        """Go on with these replicas only."""
        keep = torch.tensor(places, dtype=torch.long, device=self.theta.device)
        self.ensemble, self.theta = self.ensemble.subset(keep), self.theta[keep]
        self.moved, self.seen = self.moved.subset(keep), self.seen[keep] if len(self.seen) else self.seen
        self.rule.keep(keep)

    def _move_points(self, seen: Tensor) -> None:
        """Points for the errors of these parameters; they follow from them, so a checkpoint holds these only."""
        self.seen, self.moved = seen, refined_ensemble(self.ensemble, seen)

    def state(self) -> State:
        """See :class:`Descent`."""
        return {"step": self.step, "theta": self.theta, "seen": self.seen} | {
            f"rule.{k}": v for k, v in self.rule.state().items()
        }

    def restore(self, state: State) -> None:
        """See :class:`Descent`."""
        self.step = state["step"]
        self.theta.copy_(state["theta"])
        if len(state["seen"]):
            self._move_points(state["seen"])
        self.rule.restore({k.removeprefix("rule."): v for k, v in state.items() if k.startswith("rule.")})
