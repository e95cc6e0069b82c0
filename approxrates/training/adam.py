"""Adam, for replicas stacked along the first axis."""

from __future__ import annotations

import dataclasses
import math
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.training.base import check_number
from approxrates.training.ensemble import Layout
from approxrates.training.firstorder import FirstOrder, Rule


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

    def update(self, theta: Tensor, gradient: Tensor, rates: float | Tensor, step: int) -> None:
        """See :class:`Rule`."""
        self.accumulate(gradient)
        theta.sub_(self.direction(step).mul_(rates))

    def keep(self, rows: Tensor) -> None:
        """See :class:`Rule`."""
        self.first, self.second, self.spare = self.first[rows], self.second[rows], self.spare[rows]


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
