"""What backends share: the data of a fit, and the passes that every backend offers."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends.layout import LANES, Layout
from approxrates.objectives import Objective


@dataclasses.dataclass(frozen=True)
class Problem:
    """What N replicas are fitted to.

    Attributes:
        layout: Shape of the networks.
        objective: The loss.
        points: ``[T, S, dim, M]``: S sets of M points for each of T targets; M a multiple of 32.
        values: ``[T, S, k, M]``: target values, ``k`` the number of outputs (1 for class labels).
        weights: ``[T, S, 1, M]``: weights of the points, sum one, zero for padding.
        targets: For each replica the index of its target, ``[N]``.
        l2_penalty: For each replica what the sum of its squared parameters is multiplied by before it is added to the
            loss, ``[N]``; None for nothing. Passes leave it out, and :class:`~approxrates.backends.Ensemble` adds it;
            compiled steps take it in.
    """

    layout: Layout
    objective: Objective
    points: Tensor
    values: Tensor
    weights: Tensor
    targets: Tensor
    l2_penalty: Tensor | None = None

    def __post_init__(self) -> None:
        assert self.points.shape[-1] % LANES == 0, "points are padded by whoever makes them"

    @property
    def dtype(self) -> torch.dtype:
        """Of the computation."""
        return self.points.dtype

    @property
    def n_sets(self) -> int:
        """Number of point sets."""
        return self.points.shape[1]

    @property
    def n_points(self) -> int:
        """Points of a set, padding included."""
        return self.points.shape[-1]


class Passes(ABC):
    """Forward and backward passes through all replicas of a problem."""

    @abstractmethod
    def value_and_gradient(self, theta: Tensor, gradient: Tensor | None, set_index: int) -> Tensor:
        """Losses ``[N]``; gradients are written into ``gradient [N, stride]`` unless it is None.

        Args:
            theta: Parameter rows ``[N, stride]``.
            gradient: Where to write.
            set_index: Which point set.
        """

    @abstractmethod
    def outputs(self, theta: Tensor, set_index: int) -> Tensor:
        """Network outputs ``[N, n_outputs, M]``."""

    @abstractmethod
    def jacobian(self, theta: Tensor, jacobian: Tensor, set_index: int) -> Tensor:
        """Outputs ``[N, 1, M]``; their derivatives by the parameters are written into ``jacobian [N, stride, M]``."""


class CompiledSteps(Passes):
    """Passes that can do many first-order steps in one call, on the losses with their penalties."""

    @abstractmethod
    def adam_steps(
        self,
        theta: Tensor,
        moments: Sequence[Tensor],
        sets: NDArray[np.int64],
        rates: NDArray[np.float64],
        epsilons: NDArray[np.float64],
        betas: Sequence[float],
    ) -> None:
        """``K`` steps of Adam in place.

        Args:
            theta: Rows ``[N, stride]``.
            moments: First and second moments, like ``theta``.
            sets: Point set of each step, ``(K,)``.
            rates: Learning rates times the bias corrections of both moments, ``(N, K)``.
            epsilons: Added to the root of the second moment, that one's correction included, ``(K,)``.
            betas: Decay of both moments.
        """

    @abstractmethod
    def soap_steps(
        self,
        theta: Tensor,
        moments: Sequence[Tensor],
        sets: NDArray[np.int64],
        rates: NDArray[np.float64],
        epsilons: NDArray[np.float64],
        betas: Sequence[float],
        decay: float,
        hidden: tuple[int, int, int, int],
        matrices: Sequence[Tensor],
    ) -> None:
        """``K`` steps of SOAP in place, in a basis that stays.

        Args:
            theta: As for Adam, and so the next five.
            moments: Of the gradient.
            sets: Point sets.
            rates: Learning rates.
            epsilons: Of the second moments.
            betas: Decays.
            decay: Of the averages of ``G G'`` and ``G' G``.
            hidden: ``(n_layers, offset, n_out, n_columns)``: where the matrices of the hidden layers stand in a row.
            matrices: Both averages, both bases, and the second moments in the rotated coordinates, one matrix for each
                replica and hidden layer.
        """
