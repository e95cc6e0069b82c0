"""Adam, for replicas stacked along the first axis."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends import Ensemble, Layout
from approxrates.training.base import State, check_number
from approxrates.training.firstorder import FirstOrder, Rule, Stretch


class AdamRule(Rule):
    """Moment estimates of the gradient, and the step that they give."""

    def __init__(self, theta: Tensor, beta1: float, beta2: float, epsilon: float) -> None:
        self.first, self.second, self.spare = (torch.zeros_like(theta) for _ in range(3))
        self.beta1, self.beta2, self.epsilon = beta1, beta2, epsilon

    def accumulate(self, gradient: Tensor) -> None:
        """Take a gradient into the moments."""
        self.first.lerp_(gradient, 1.0 - self.beta1)
        self.second.mul_(self.beta2).addcmul_(gradient, gradient, value=1.0 - self.beta2)

    def direction(self, step: int) -> Tensor:
        """Bias-corrected ``first / (sqrt(second) + epsilon)``, in a buffer that the next call overwrites."""
        scale = math.sqrt(1.0 - self.beta2**step)
        torch.sqrt(self.second, out=self.spare).add_(self.epsilon * scale)
        return torch.div(self.first, self.spare, out=self.spare).mul_(scale / (1.0 - self.beta1**step))

    def update(self, theta: Tensor, gradient: Tensor, rates: Tensor, step: int) -> None:
        """See :class:`Rule`."""
        self.accumulate(gradient)
        theta.sub_(self.direction(step).mul_(rates))

    def advance(self, ensemble: Ensemble, theta: Tensor, stretch: Stretch) -> None:
        """See :class:`Rule`."""
        compiled = ensemble.compiled_steps
        if compiled is None:
            super().advance(ensemble, theta, stretch)
            return
        compiled.adam_steps(theta, (self.first, self.second), stretch.sets, *self.corrected(stretch), self.betas)

    @property
    def betas(self) -> tuple[float, float]:
        """Decay of both moments."""
        return self.beta1, self.beta2

    def corrected(self, stretch: Stretch) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Learning rates ``(n, K)`` and epsilons ``(K,)`` with the bias corrections of the moments taken in."""
        steps = stretch.begun + 1.0 + np.arange(len(stretch.sets))
        scale = np.sqrt(1.0 - self.beta2**steps)
        return stretch.rates * (scale / (1.0 - self.beta1**steps)), self.epsilon * scale

    def preconditioner(self, step: int) -> Tensor | None:
        """See :class:`Rule`: ``sqrt(second) + epsilon`` with the bias correction; the momentum's is left out."""
        return (self.second / (1.0 - self.beta2**step)).sqrt_().add_(self.epsilon) if step else None

    def keep(self, rows: Tensor) -> None:
        """See :class:`Rule`."""
        self.first, self.second, self.spare = self.first[rows], self.second[rows], self.spare[rows]

    def state(self) -> State:
        """See :class:`Rule`."""
        return {"first": self.first, "second": self.second}

    def restore(self, state: State) -> None:
        """See :class:`Rule`."""
        self.first.copy_(state["first"])
        self.second.copy_(state["second"])


@dataclasses.dataclass(frozen=True)
class Adam(FirstOrder):
    """Adam with warm-up and cosine decay.

    Attributes:
        beta1: Decay of the first moment.
        beta2: Decay of the second moment; full-batch fits want it well below the usual 0.999.
        epsilon: Added to the root of the second moment.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Kingma & Ba (2015), arXiv:1412.6980, algorithm 1.
    """

    name: ClassVar[str] = "adam"

    beta1: float = 0.9
    beta2: float = 0.98
    epsilon: float = 1e-8

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "beta1", self.beta1, 0.0, 1.0)
        check_number(self.name, "beta2", self.beta2, 0.0, 1.0)
        check_number(self.name, "epsilon", self.epsilon, 0.0, closed=False)

    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """See :class:`FirstOrder`."""
        return AdamRule(theta, self.beta1, self.beta2, self.epsilon)

    def is_preconditioned(self, layout: Layout) -> bool:
        """See :class:`Stage`."""
        return True
