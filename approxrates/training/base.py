"""What the stages of a plan share: outcomes, the record of the best parameters seen, and the face of a stage."""

from __future__ import annotations

import dataclasses
import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from enum import StrEnum
from typing import Any, ClassVar, Protocol

import torch
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.objectives import Objective

Progress = Callable[[str, int, int, float], None]
"""``progress(stage, step, steps, median_loss)``, called a few times a second at most."""

_DIVERGED_FACTOR = 1e4
_SECONDS_BETWEEN_REPORTS = 0.3


class Outcome(StrEnum):
    """How the fit of one replica ended."""

    CONVERGED = "converged"
    BUDGET_SPENT = "budget-spent"
    STALLED = "stalled"
    DIVERGED = "diverged"
    NON_FINITE = "non-finite"

    @property
    def sentence(self) -> str:
        """The outcome in words."""
        return _SENTENCES[self]

    @property
    def failed(self) -> bool:
        """Whether training broke down; the parameters kept are then the best ones seen before."""
        return self in (Outcome.DIVERGED, Outcome.NON_FINITE)


_SENTENCES = {
    Outcome.CONVERGED: "The gradient vanished to the accuracy of the arithmetic.",
    Outcome.BUDGET_SPENT: "All steps were spent; a larger budget may lower the error.",
    Outcome.STALLED: "The loss stopped falling before the steps were spent.",
    Outcome.DIVERGED: "The loss grew far beyond its starting value; a smaller learning rate may help.",
    Outcome.NON_FINITE: "The loss became infinite or not a number; a smaller learning rate may help.",
}


@dataclasses.dataclass(frozen=True)
class Sight:
    """Replicas at work, as whoever looks on sees them.

    Attributes:
        ensemble: Their losses.
        theta: Their parameters now, ``[n, stride]``.
        steps: Steps that each has done in this stage.
        ended: Whether each is done with the stage.
        preconditioner: Diagonal that the update rule divides the gradient by, ``[n, stride]``; None if it has none.
    """

    ensemble: Ensemble
    theta: Tensor
    steps: Sequence[int]
    ended: Sequence[bool]
    preconditioner: Tensor | None = None


class Onlooker(Protocol):
    """Whoever looks on while replicas are trained; it changes nothing."""

    def begin_stage(self, steps: int) -> None:
        """A stage of so many steps begins."""

    def stops_within(self, begin: int, end: int) -> list[int]:
        """Steps after ``begin`` and up to ``end`` to be looked at, ``end`` itself in any case."""

    def observe(self, sight: Sight, rows: Sequence[int], before: Sequence[int]) -> None:
        """A look at replicas: which rows of the record they are, and their steps before the stage."""

    def state(self) -> State:
        """What was seen."""

    def restore(self, state: State) -> None:
        """Take up what was seen."""


class Population:
    """Best parameters seen of every replica, by loss on the full sampling set, and how each is faring.

    Attributes:
        theta: Best rows ``[N, stride]``, float64.
        last: The latest recorded, whatever their loss.
        loss: Their losses ``[N]``, float64; infinite where no finite loss was seen.
        steps: Steps done by each replica.
        outcomes: Outcome of each replica so far; None while it may go on.
        replicas: Replica numbers, which per-replica settings go by.
        curves: ``(step, loss)`` of each replica at its checkpoints, steps counted over all stages.
    """

    def __init__(self, theta: Tensor, replicas: Sequence[int]) -> None:
        n = len(theta)
        self.theta, self.last, self.replicas = theta, theta.clone(), list(replicas)
        self.loss = torch.full((n,), math.inf, dtype=torch.float64, device=theta.device)
        self.limit = self.loss.clone()
        self.steps = [0] * n
        self.outcomes: list[Outcome | None] = [None] * n
        self.curves: list[list[tuple[int, float]]] = [[] for _ in range(n)]

    def state(self) -> State:
        """Everything, as tensors and plain data."""
        plain = {
            "steps": list(self.steps),
            "outcomes": [outcome and outcome.value for outcome in self.outcomes],
            "curves": [[list(point) for point in curve] for curve in self.curves],
        }
        return {"theta": self.theta, "last": self.last, "loss": self.loss, "limit": self.limit, **plain}

    def restore(self, state: State) -> None:
        """Take up a state."""
        for name in ("theta", "last", "loss", "limit"):
            getattr(self, name).copy_(state[name])
        self.steps = list(state["steps"])
        self.outcomes = [Outcome(value) if value else None for value in state["outcomes"]]
        self.curves = [[(int(step), float(loss)) for step, loss in curve] for curve in state["curves"]]

    def alive(self) -> list[int]:
        """Replicas that have not broken down."""
        return [i for i, outcome in enumerate(self.outcomes) if outcome is None or not outcome.failed]


class Watch:
    """Follows the replicas of one stage: keeps the best parameters, takes out those that break down, reports progress.

    Args:
        population: The record to be kept.
        rows: Replicas (rows of the record) that the stage trains, in the order of its tensors.
        stage: Name of the stage.
        steps: Its steps.
        progress: Callback, or None.
        onlooker: Who looks on, or None.

    Attributes:
        before: Steps that each replica of the record had done when the stage began.
    """

    def __init__(
        self,
        population: Population,
        rows: Sequence[int],
        stage: str,
        steps: int,
        progress: Progress | None,
        onlooker: Onlooker | None = None,
    ) -> None:
        self.population, self.rows, self.onlooker = population, list(rows), onlooker
        self._stage, self._steps, self._progress = stage, steps, progress
        self._reported = -math.inf
        self.before = list(population.steps)

    @property
    def replicas(self) -> list[int]:
        """Replica numbers of the rows that are still trained."""
        return [self.population.replicas[row] for row in self.rows]

    def record(self, theta: Tensor, loss: Tensor, steps: int | Sequence[int]) -> list[Outcome | None]:
        """Keep parameters that are better than the best; says which replicas have broken down.

        Args:
            theta: Rows ``[n, stride]`` of the replicas still trained.
            loss: Their losses on the full sampling set, ``[n]``.
            steps: Steps done in this stage, one number or one for each.
        """
        people, loss = self.population, loss.to(torch.float64)
        rows = torch.tensor(self.rows, device=loss.device)
        people.last[rows] = theta.to(torch.float64)
        sound = torch.isfinite(loss) & torch.isfinite(theta).all(1)
        better = sound & (loss < people.loss[rows])
        people.theta[rows[better]] = theta[better].to(torch.float64)
        people.loss[rows[better]] = loss[better]
        first = sound & torch.isinf(people.limit[rows])
        people.limit[rows[first]] = _DIVERGED_FACTOR * loss[first].clamp_min(1.0)
        diverged = sound & (loss > people.limit[rows])
        done = [steps] * len(self.rows) if isinstance(steps, int) else steps
        for row, step, value in zip(self.rows, done, loss.tolist(), strict=True):
            people.curves[row].append((self.before[row] + step, value))
        self.report(steps if isinstance(steps, int) else max(steps), loss)
        return [
            Outcome.NON_FINITE if not ok else Outcome.DIVERGED if far else None
            for ok, far in zip(sound.tolist(), diverged.tolist(), strict=True)
        ]

    def observe(self, sight: Sight) -> None:
        """Let the onlooker have a look, if there is one.

        Args:
            sight: The replicas still trained, in the order of the rows.
        """
        if self.onlooker is not None and len(self.rows):
            self.onlooker.observe(sight, self.rows, [self.before[row] for row in self.rows])

    def observe_start(self, ensemble: Ensemble, theta: Tensor) -> None:
        """Let the onlooker have a look before the first step."""
        self.observe(Sight(ensemble, theta, [0] * len(theta), [False] * len(theta)))

    def stops_within(self, begin: int, end: int) -> list[int]:
        """Steps after ``begin`` and up to ``end`` that somebody wants to look at, and ``end``."""
        return [end] if self.onlooker is None else self.onlooker.stops_within(begin, end)

    def replace(self, theta: Tensor, loss: Tensor) -> None:
        """Put parameters in place of the best ones, for a stage that judges by something else than the loss.

        Args:
            theta: Rows ``[n, stride]`` of the replicas still trained.
            loss: Their losses on the full sampling set, ``[n]``, by the objective of the fit.
        """
        rows = torch.tensor(self.rows, device=theta.device)
        self.population.theta[rows] = theta.to(torch.float64)
        self.population.loss[rows] = loss.to(torch.float64)

    def drop(self, outcomes: Sequence[Outcome | None]) -> list[int]:
        """Note the outcomes of replicas that are done; returns the places of those to go on with."""
        for row, outcome in zip(self.rows, outcomes, strict=True):
            self.population.outcomes[row] = outcome
        keep = [place for place, outcome in enumerate(outcomes) if outcome is None]
        self.rows = [self.rows[place] for place in keep]
        return keep

    def count(self, place: int, steps: int) -> None:
        """Add the steps that the replica at this place has done."""
        self.population.steps[self.rows[place]] += steps

    def report(self, step: int, loss: Tensor) -> None:
        """Call the progress callback, unless it was called a moment ago."""
        now = time.monotonic()
        if self._progress is None or (now - self._reported < _SECONDS_BETWEEN_REPORTS and step < self._steps):
            return
        self._reported = now
        self._progress(self._stage, step, self._steps, float(loss.median()) if len(loss) else math.nan)


State = dict[str, Any]
"""What a descent needs to go on: tensors, and plain data."""


class Descent(ABC):
    """A stage at work on its replicas. It can be left at any moment between two stretches, and taken up again."""

    @abstractmethod
    def advance(self) -> bool:
        """Do a stretch of the work; whether there is more."""

    @abstractmethod
    def state(self) -> State:
        """Everything needed to go on, tensors (by name) and plain data."""

    @abstractmethod
    def restore(self, state: State) -> None:
        """Go on from a state, in a descent begun afresh for the replicas that were left; the same bits follow."""


@dataclasses.dataclass(frozen=True)
class Stage(ABC):
    """One part of a plan: an optimiser with its settings. Immutable; checked when made.

    Attributes:
        steps: Steps, at least 1; for second-order stages a maximum.
    """

    name: ClassVar[str]
    needs_float64: ClassVar[bool] = False
    takes_penalty: ClassVar[bool] = True
    """Whether it can minimise a loss with an L2 penalty."""

    steps: int

    def __post_init__(self) -> None:
        if isinstance(self.steps, bool) or not isinstance(self.steps, int):
            raise TypeError(f"steps must be an integer. Got {self.steps!r}. Write e.g. steps=1000.")
        if self.steps < 1:
            raise ValueError(f"steps must be at least 1. Got steps={self.steps}. Write e.g. steps=1000.")

    @property
    def needs_network(self) -> bool:
        """Whether it looks into fully connected networks, their layers, outputs or points, and cannot train others."""
        return False

    @abstractmethod
    def begin(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> Descent:
        """The stage at work on given replicas; it leaves its results in ``watch.population``.

        Args:
            ensemble: Loss and gradient of the replicas.
            theta: Their parameters ``[n, stride]``, in the type of the ensemble; owned by the stage.
            watch: Keeps the record.
        """

    def bytes_per_replica(self, layout: Layout, n_points: int) -> int:
        """Memory that the stage takes for each replica besides the passes, in bytes. Groups are cut by it."""
        return 10 * 8 * layout.stride

    def check(self, layout: Layout, objective: Objective) -> None:  # noqa: B027  (most stages train everything)
        """Refuse, before anything is computed, networks or losses that the stage cannot train.

        Raises:
            ValueError: Saying what is required, what came, and what to write.
        """

    def is_preconditioned(self, layout: Layout) -> bool:
        """Whether its update rule divides the gradient by a diagonal, and by nothing else."""
        return False

    def to_spec(self) -> dict[str, Any]:
        """Plain data that ``stage_from_spec`` turns back into this stage; settings at their default are left out."""
        spec: dict[str, Any] = {"stage": self.name}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if field.default is dataclasses.MISSING or value != field.default:
                spec[field.name] = list(value) if isinstance(value, tuple) else value
        return spec


def check_number(stage: str, name: str, value: Any, low: float, high: float = math.inf, *, closed: bool = True) -> None:
    """Refuse settings of the wrong kind or outside their range (``closed``: the lower end is allowed)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise TypeError(f"{name} of {stage} must be a number. Got {value!r}.")
    if not ((low <= value if closed else low < value) and value < high):
        bound = f"{'at least' if closed else 'greater than'} {low:g}"
        bound += "" if math.isinf(high) else f" and below {high:g}"
        raise ValueError(f"{name} of {stage} must be {bound}. Got {name}={value}.")
