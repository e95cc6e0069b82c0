"""The loop of the first-order stages: learning-rate schedule, point sets that are swapped, checkpoints."""

from __future__ import annotations

import dataclasses
import math
from abc import abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor

from approxrates.training.base import Outcome, Stage, Watch, check_number
from approxrates.training.ensemble import Ensemble, Layout

_CHECKPOINTS = 20


class Rule:
    """An update rule with its memory, for replicas stacked along the first axis."""

    @abstractmethod
    def update(self, theta: Tensor, gradient: Tensor, rates: float | Tensor, step: int) -> None:
        """Move ``theta [n, stride]`` in place.

        Args:
            theta: Parameters.
            gradient: Gradients ``[n, stride]``.
            rates: Learning rate, a number or ``[n, 1]``.
            step: Number of this step, from 1.
        """

    @abstractmethod
    def keep(self, rows: Tensor) -> None:
        """Forget all replicas but these."""


@dataclasses.dataclass(frozen=True)
class FirstOrder(Stage):
    """A stage that follows the gradient with a learning rate.

    Attributes:
        learning_rate: Peak learning rate; a tuple is dealt out to the replicas by their numbers.
        cosine: Let the rate fall to zero along a half cosine; otherwise it stays.
        warm_up: Steps over which the rate rises linearly to its peak.
        swap: The set of sampling points is changed every so many steps.
    """

    learning_rate: float | Sequence[float] = 1e-2
    cosine: bool = True
    warm_up: int = 100
    swap: int = 5

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
        if not isinstance(self.cosine, bool):
            raise TypeError(f"cosine of {self.name} must be True or False. Got {self.cosine!r}.")

    @abstractmethod
    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """The update rule, with empty memory, for parameters like ``theta``."""

    def factor(self, step: int) -> float:
        """Learning rate of step ``step`` (from 1) over its peak."""
        rise = min(1.0, step / self.warm_up) if self.warm_up else 1.0
        return rise * (0.5 * (1.0 + math.cos(math.pi * (step - 1) / self.steps)) if self.cosine else 1.0)

    def peak_rates(self, watch: Watch, theta: Tensor) -> float | Tensor:
        """Peak learning rate, one number or ``[n, 1]`` by replica number."""
        if not isinstance(self.learning_rate, Sequence):
            return self.learning_rate
        dealt = [self.learning_rate[replica % len(self.learning_rate)] for replica in watch.replicas]
        return theta.new_tensor(dealt)[:, None]

    def run(self, ensemble: Ensemble, theta: Tensor, watch: Watch) -> None:
        """See :class:`Stage`. Replicas that break down are taken out at the next checkpoint; others never notice."""
        rule, peak = self.rule(theta, ensemble.layout), self.peak_rates(watch, theta)
        gradient = torch.zeros_like(theta)
        every = max(1, self.steps // _CHECKPOINTS)
        moving = max(1, ensemble.n_sets - 1)
        for step in range(1, self.steps + 1):
            ensemble.value_and_gradient(theta, gradient, (step - 1) // self.swap % moving)
            rule.update(theta, gradient, peak * self.factor(step), step)
            if step % every and step < self.steps:
                continue
            for place in range(len(theta)):
                watch.count(place, every if step % every == 0 else step % every)
            outcomes = watch.record(theta, ensemble.value(theta), step)
            if any(outcomes):
                keep = torch.tensor(watch.drop(outcomes), dtype=torch.long, device=theta.device)
                if not len(keep):
                    return
                ensemble, theta, gradient = ensemble.subset(keep), theta[keep], gradient[keep]
                rule.keep(keep)
                peak = self.peak_rates(watch, theta)
        watch.drop([Outcome.BUDGET_SPENT] * len(theta))
