"""The passes of the native backend: compiled loops on the memory of torch tensors, and buffers made once."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from approxrates.backends.base import CompiledSteps, Problem
from approxrates.backends.layout import Layout
from approxrates.backends.native import passes, updates
from approxrates.backends.native.kinds import kinds_of, power_of
from approxrates.backends.native.stale import drop_stale

_CACHE_BYTES = 400_000
"""Activations of a block of points shall take no more than this, a part of the second-level cache."""

Array = NDArray[Any]

# Once, before the first call: only then is compiled code looked for on disk.
drop_stale(Path(passes.outputs.stats.cache_path), Path(__file__).parent)


class NativePasses(CompiledSteps):
    """Passes and steps by compiled loops, one network after the other.

    The result of a replica is the same bits in any company, as each is computed alone.
    """

    def __init__(self, problem: Problem) -> None:
        self.problem = problem
        layout = problem.layout
        kinds, power = kinds_of(layout.activation, layout.width), power_of(problem.objective)
        assert kinds is not None, "whoever chooses the backend asks first"
        assert power is not None, "whoever chooses the backend asks first"
        self.power = power
        self.dtype = problem.points.numpy().dtype
        self.shape = (
            layout.width, layout.depth, layout.dim, layout.n_outputs, int(layout.bias), int(layout.injection),
            int(layout.residual), kinds.split,
        )  # fmt: skip
        self.units = (kinds.kinds, kinds.numbers(self.dtype))
        self.points, self.values, self.weights = (
            np.ascontiguousarray(a.numpy()) for a in (problem.points, problem.values, problem.weights)
        )
        self.targets = problem.targets.numpy().astype(np.int64)
        penalty = problem.l2_penalty
        self.penalties = np.zeros(len(self.targets), self.dtype) if penalty is None else penalty.numpy()
        self.buffers = _buffers(layout, self.points.shape[-1], self.dtype)

    @property
    def data(self) -> tuple[Any, ...]:
        """Arguments that tell the problem."""
        return (self.power, self.points, self.values, self.weights, self.targets)

    def value_and_gradient(self, theta: Tensor, gradient: Tensor | None, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        losses = torch.empty(len(theta), dtype=theta.dtype)
        wanted = gradient is not None
        target = _rows(theta if gradient is None else gradient)
        passes.values_and_gradients(
            _rows(theta), self.shape, *self.units, *self.data, set_index % self.problem.n_sets, *self.buffers,
            losses.numpy(), target, wanted,
        )  # fmt: skip
        return losses

    def outputs(self, theta: Tensor, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        return self._outputs(theta, theta.new_empty(1, 1, 1), set_index, False)

    def jacobian(self, theta: Tensor, jacobian: Tensor, set_index: int) -> Tensor:
        """See :class:`Passes`."""
        found = self._outputs(theta, jacobian, set_index, True)
        jacobian[:, self.problem.layout.n_params :] = 0.0
        return found

    def _outputs(self, theta: Tensor, jacobian: Tensor, set_index: int, wanted: bool) -> Tensor:
        """Outputs, and the Jacobian if wanted."""
        found = theta.new_empty(len(theta), self.problem.layout.n_outputs, self.problem.n_points)
        passes.outputs(
            _rows(theta), self.shape, *self.units, self.points, self.targets,
            set_index % self.problem.n_sets, *self.buffers, found.numpy(), jacobian.numpy(), wanted,
        )  # fmt: skip
        return found

    def adam_steps(
        self,
        theta: Tensor,
        moments: Sequence[Tensor],
        sets: Array,
        rates: Array,
        epsilons: Array,
        betas: Sequence[float],
    ) -> None:
        """See :class:`CompiledSteps`."""
        updates.adam_steps(*self._step_arguments(theta, moments, sets, rates, epsilons, betas))

    def soap_steps(
        self,
        theta: Tensor,
        moments: Sequence[Tensor],
        sets: Array,
        rates: Array,
        epsilons: Array,
        betas: Sequence[float],
        decay: float,
        hidden: tuple[int, int, int, int],
        matrices: Sequence[Tensor],
    ) -> None:
        """See :class:`CompiledSteps`."""
        scalar = self.dtype.type
        work = np.zeros((3, *matrices[-1].shape[1:]), dtype=self.dtype)
        updates.soap_steps(
            *self._step_arguments(theta, moments, sets, rates, epsilons, betas), scalar(decay), hidden,
            *(m.numpy() for m in matrices), work,
        )  # fmt: skip

    def _step_arguments(
        self,
        theta: Tensor,
        moments: Sequence[Tensor],
        sets: Array,
        rates: Array,
        epsilons: Array,
        betas: Sequence[float],
    ) -> tuple[Any, ...]:
        """What both kinds of steps take."""
        gradient = np.zeros(self.problem.layout.n_params, dtype=self.dtype)
        return (
            _rows(theta), self.shape, *self.units, *self.data, sets.astype(np.int64), *self.buffers, gradient,
            *(_rows(m) for m in moments), rates.astype(self.dtype), epsilons.astype(self.dtype),
            *(self.dtype.type(beta) for beta in betas), self.penalties,
        )  # fmt: skip


def _rows(theta: Tensor) -> Array:
    """The memory of parameter rows."""
    assert theta.is_contiguous(), "rows of parameters lie one after the other"
    rows: Array = theta.numpy()
    return rows


def _buffers(layout: Layout, n_points: int, dtype: Any) -> tuple[Array, ...]:
    """Input block, activations, derivatives, outputs and deltas for blocks of points as large as fit the cache."""
    width, depth = layout.width, layout.depth
    inner = width + layout.injection * layout.dim
    bytes_each = depth * (inner + width) * np.dtype(dtype).itemsize
    block = 32
    while block < min(256, n_points) and 2 * block * bytes_each <= _CACHE_BYTES:
        block *= 2
    shapes = (
        (layout.dim, block),
        (depth, inner, block),
        (depth, width, block),
        (layout.n_outputs, block),
        (3, width, block),
    )
    return tuple(np.zeros(shape, dtype=dtype) for shape in shapes)
