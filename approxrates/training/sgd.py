"""Gradient descent, with momentum if wanted, for replicas stacked along the first axis."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

import torch
from torch import Tensor

from approxrates.backends import Layout
from approxrates.training.base import State, check_number
from approxrates.training.firstorder import FirstOrder, Rule


class SGDRule(Rule):
    """The heavy ball: a velocity that gradients are added to, and that decays."""

    def __init__(self, theta: Tensor, momentum: float) -> None:
        self.momentum = momentum
        self.velocity = torch.zeros_like(theta) if momentum else theta[:, :0].clone()
        self.ones = torch.ones_like(theta[:1])

    def update(self, theta: Tensor, gradient: Tensor, rates: Tensor, step: int) -> None:
        """See :class:`Rule`."""
        if self.momentum:
            gradient = self.velocity.mul_(self.momentum).add_(gradient)
        theta.sub_(gradient * rates)

    def preconditioner(self, step: int) -> Tensor | None:
        """See :class:`Rule`: ones, if there is no momentum."""
        return None if self.momentum else self.ones.expand(len(self.velocity), -1)

    def keep(self, rows: Tensor) -> None:
        """See :class:`Rule`."""
        self.velocity = self.velocity[rows]

    def state(self) -> State:
        """See :class:`Rule`."""
        return {"velocity": self.velocity}

    def restore(self, state: State) -> None:
        """See :class:`Rule`."""
        self.velocity.copy_(state["velocity"])


@dataclasses.dataclass(frozen=True)
class SGD(FirstOrder):
    """Gradient descent with a constant learning rate, unless a schedule is asked for.

    Every step takes the gradient on a whole set of points: with data, or one set of points, this is full-batch gradient
    descent; targets on the cube have several sets, which take turns.

    Attributes:
        momentum: Decay of the velocity, in [0, 1): ``v <- momentum v + g``, ``theta <- theta - rate v``.

    Raises:
        ValueError: If a setting is out of its range.
        TypeError: If a setting is of the wrong kind.

    Reference:
        Polyak (1964), USSR Comput. Math. Math. Phys. 4(5), the heavy ball.
    """

    name: ClassVar[str] = "sgd"

    cosine: bool = False
    warm_up: int = 0
    momentum: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        check_number(self.name, "momentum", self.momentum, 0.0, 1.0)

    def rule(self, theta: Tensor, layout: Layout) -> Rule:
        """See :class:`FirstOrder`."""
        return SGDRule(theta, self.momentum)

    def is_preconditioned(self, layout: Layout) -> bool:
        """See :class:`Stage`."""
        return self.momentum == 0.0
