"""Many networks of one shape at once: the face of the backends that stages and measurements work on.

The parameters of N replicas are the rows of one contiguous ``theta[N, stride]`` (see :class:`Layout`). Results of a
replica do not depend on how many are computed together, on either backend, bit for bit.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends.base import CompiledSteps, Problem
from approxrates.backends.choice import choose
from approxrates.backends.layout import Layout
from approxrates.objectives import Objective

if TYPE_CHECKING:
    from approxrates.backends.hessian import Hessian


class Ensemble:
    """Loss, gradient and Jacobian of N replicas, each with its own points, target values and weights of the points.

    Args:
        layout: Shape of the networks.
        objective: The loss.
        points: ``[T, S, dim, M]``: S sets of M points for each of T targets; M a multiple of 32.
        values: ``[T, S, k, M]``: target values, ``k`` the number of outputs (1 for class labels).
        weights: ``[T, S, 1, M]``: weights of the points, sum one, zero for padding.
        member_targets: For each replica the index of its target, length N.
        dtype: Of the computation.
        device: Of the computation.
        backend: ``"auto"``, ``"reference"`` or ``"native"``.
        l2_penalty: For each replica ``gamma`` of the term ``gamma * sum(theta**2)`` of its loss, over all parameters,
            biases too; None for no such term.
    """

    def __init__(
        self,
        layout: Layout,
        objective: Objective,
        points: NDArray[np.float64] | Tensor,
        values: NDArray[np.float64] | Tensor,
        weights: NDArray[np.float64] | Tensor,
        member_targets: Sequence[int],
        *,
        dtype: torch.dtype = torch.float64,
        device: torch.device | str = "cpu",
        backend: str = "auto",
        l2_penalty: Sequence[float] | Tensor | None = None,
    ) -> None:
        where = torch.device(device)
        data = [torch.as_tensor(a, dtype=dtype, device=where) for a in (points, values, weights)]
        targets = torch.as_tensor(list(member_targets), device=where)
        penalty = None if l2_penalty is None else torch.as_tensor(l2_penalty, dtype=dtype, device=where)
        assert penalty is None or penalty.shape == targets.shape, "one penalty for each replica"
        self._asked = backend
        self._bind(Problem(layout, objective, data[0], data[1], data[2], targets, penalty))

    def _bind(self, problem: Problem) -> None:
        """Take up a problem."""
        self.problem = problem
        self.backend, self.passes = choose(problem, self._asked)

    def _with(self, **changes: object) -> Ensemble:
        """The same with another problem."""
        other = object.__new__(Ensemble)
        other._asked = self._asked
        other._bind(dataclasses.replace(self.problem, **changes))  # type: ignore[arg-type]
        return other

    @property
    def layout(self) -> Layout:
        """Shape of the networks."""
        return self.problem.layout

    @property
    def objective(self) -> Objective:
        """The loss."""
        return self.problem.objective

    @property
    def dtype(self) -> torch.dtype:
        """Of the computation."""
        return self.problem.dtype

    @property
    def device(self) -> torch.device:
        """Of the computation."""
        return self.problem.points.device

    @property
    def n_sets(self) -> int:
        """Number of point sets; the last one is the full sampling set on which networks are compared."""
        return self.problem.n_sets

    def __len__(self) -> int:
        return len(self.problem.targets)

    @property
    def l2_penalty(self) -> Tensor | None:
        """What the sum of squared parameters counts in the loss of each replica, ``[N]``; None for nothing."""
        return self.problem.l2_penalty

    @property
    def compiled_steps(self) -> CompiledSteps | None:
        """Passes that do many first-order steps in one call, penalty included, if the backend has them."""
        return self.passes if isinstance(self.passes, CompiledSteps) else None

    def subset(self, rows: Tensor) -> Ensemble:
        """The same for some of the replicas only; ``rows`` are indices."""
        penalty = self.l2_penalty
        return self._with(targets=self.problem.targets[rows], l2_penalty=None if penalty is None else penalty[rows])

    def unpenalised(self) -> Ensemble:
        """The same without the penalty: the error alone."""
        return self if self.l2_penalty is None else self._with(l2_penalty=None)

    def with_objective(self, objective: Objective) -> Ensemble:
        """The same with another loss."""
        return self._with(objective=objective)

    def reweighted(self, weights: Tensor) -> Ensemble:
        """The same on the full set alone, with weights of the points for each replica.

        Args:
            weights: ``[N, 1, M]``, sums one, zero for padding.
        """
        targets = self.problem.targets
        return self._with(
            points=self.problem.points[targets, -1:].contiguous(),
            values=self.problem.values[targets, -1:].contiguous(),
            weights=weights[:, None].contiguous(),
            targets=torch.arange(len(targets), device=targets.device),
        )

    def points(self, set_index: int = -1) -> Tensor:
        """Points of one of the sets for each replica, ``[N, dim, M]``."""
        return self.problem.points[self.problem.targets, set_index]

    def values(self, set_index: int = -1) -> Tensor:
        """Target values at one of the sets for each replica, ``[N, k, M]``."""
        return self.problem.values[self.problem.targets, set_index]

    def weights(self, set_index: int = -1) -> Tensor:
        """Weights of the points of one of the sets for each replica, ``[N, 1, M]``."""
        return self.problem.weights[self.problem.targets, set_index]

    def value(self, theta: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets.

        Args:
            theta: Parameter rows ``[N, stride]``.
            set_index: Which set.
        """
        return self._penalised(theta, self.passes.value_and_gradient(theta, None, set_index))

    def value_and_gradient(self, theta: Tensor, gradient: Tensor, set_index: int = -1) -> Tensor:
        """Losses ``[N]`` on one of the point sets; their gradients are written into ``gradient [N, stride]``."""
        value = self._penalised(theta, self.passes.value_and_gradient(theta, gradient, set_index))
        if self.l2_penalty is not None:
            gradient.addcmul_(theta, self.l2_penalty[:, None], value=2.0)
        return value

    def _penalised(self, theta: Tensor, value: Tensor) -> Tensor:
        """Losses with the penalty added."""
        if self.l2_penalty is None:
            return value
        return value + self.l2_penalty * theta.square().sum(1)

    def hessian(self, theta: Tensor, set_index: int = -1) -> Hessian:
        """The Hessians of the losses, penalty included, at these parameters, as products with directions.

        Args:
            theta: Parameter rows ``[N, stride]``.
            set_index: Which set.
        """
        from approxrates.backends.hessian import Hessian

        return Hessian(self.problem, theta, set_index, self.l2_penalty)

    def outputs(self, theta: Tensor, set_index: int = -1) -> Tensor:
        """Network outputs ``[N, n_outputs, M]`` at one of the point sets."""
        return self.passes.outputs(theta, set_index)

    def jacobian(self, theta: Tensor, jacobian: Tensor, set_index: int = -1) -> Tensor:
        """Outputs ``[N, 1, M]`` of networks of one output, and their derivatives by the parameters.

        Args:
            theta: Parameter rows ``[N, stride]``.
            jacobian: ``[N, stride, M]``, contiguous; written, zero for the padding of the rows.
            set_index: Which set.
        """
        assert self.layout.n_outputs == 1, "a Jacobian is of one output"
        return self.passes.jacobian(theta, jacobian, set_index)
