"""Norms of errors over the unit cube by quadrature, each with an estimate of its own error.

Three rules, chosen by the smoothness ``r`` of what is integrated:

- *Pieces* (d = 1, piecewise-linear network, ``r >= 2``): five Gauss--Legendre nodes on every cell of the network's
  break-points merged with a uniform mesh. Exact to rounding if the target is a polynomial of degree 4 there.
- *Cells* (other networks, ``r >= 2``): a tensor Gauss--Legendre rule on uniform cells, the same for all networks.
- *Samples* (``r < 2``, or d > 3): one point in each uniform cell, at a place that is equidistributed over the cells, so
  that no scale of a self-similar target is always met at the same phase. Good to about 1 %.

*The estimate.* Gauss rules are joined by a second one with other nodes on the same cells. If ``D_c`` is the difference
of the two on cell c, the integral is taken to be off by ``1.5 |sum D_c| + 2 sqrt(sum D_c^2)``: the first term for what
all cells miss alike (smooth integrands), the second for what they miss by chance (kinks and jumps inside cells). For
samples it is twice the standard error by successive differences between neighbouring cells, which counts the variation
between cells in and so errs upwards (Wolter 2007, Introduction to Variance Estimation, sec. 8.2). It is an estimate,
not a bound: of a feature that no node meets it knows nothing.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass

import numpy as np

from approxrates.errors.base import UNIT, Array, equidistributed

_CELLS = {1: 2048, 2: 64, 3: 8}
_NODES = {1: 2, 2: 2, 3: 3}
_CHECK_NODES = {1: 3, 2: 3, 3: 4}
_PIECE_NODES, _PIECE_CHECK_NODES, _PIECE_CELLS = 5, 4, 64
_MANY = 1 << 14
_SPREAD = 2.0
"""Standard errors that the estimate counts: 95 % of a normal law."""
_ALIKE = 1.5
"""What the first rule misses in units of its difference to the second: just above 1 where that is better."""


@dataclass(frozen=True, eq=False)
class Rule:
    """Nodes and weights on the unit cube, with what tells the error of the sum.

    Attributes:
        points: Nodes, shape ``(n, dim)``: those of the rule, then those of the second rule on the same cells.
        weights: Weights of the rule, shape ``(m,)``; its nodes are the first ``m`` points, cell by cell.
        check_weights: Weights of the second rule, shape ``(n - m,)``; empty for samples.
        n_cells: Number of cells.
    """

    points: Array
    weights: Array
    check_weights: Array
    n_cells: int

    @property
    def is_sampled(self) -> bool:
        """Whether it is a mean over samples, not a Gauss rule."""
        return not len(self.check_weights)

    def norm(self, values: Array, p: float = 2.0, rounding: float = 0.0) -> tuple[float, float]:
        """The L^p norm of a function, and an estimate of its absolute error.

        Args:
            values: The function at ``points``, shape ``(n,)``.
            p: Exponent, finite and at least 1.
            rounding: How far the values may be off by rounding.

        Returns:
            ``(norm, error)``; both are inf where a value is not finite.
        """
        size = np.abs(values)
        scale = float(size.max(initial=0.0))
        if scale == 0.0:
            return 0.0, rounding
        if not math.isfinite(scale):
            return math.inf, math.inf
        powers = (size / scale) ** p  # scaled, so that tiny differences do not underflow
        integral = float(self.weights @ powers[: len(self.weights)])
        norm, error = _rooted(integral, self._spread(powers), p)
        return scale * norm, scale * (error + 16 * UNIT * norm) + rounding

    def _spread(self, powers: Array) -> float:
        """How far the integral may be off."""
        main, check = powers[: len(self.weights)], powers[len(self.weights) :]
        if not len(check):
            return _SPREAD * float(self.weights[0]) * math.sqrt(0.5 * float(np.sum(np.diff(main) ** 2)))
        cells = (self.n_cells, -1)
        difference = (self.weights * main).reshape(cells).sum(axis=1)
        difference -= (self.check_weights * check).reshape(cells).sum(axis=1)
        return _ALIKE * abs(float(difference.sum())) + _SPREAD * float(np.linalg.norm(difference))


def _rooted(integral: float, spread: float, p: float) -> tuple[float, float]:
    """The p-th root, and the most that it changes if the integral is off by the spread."""
    root = integral ** (1.0 / p)
    above = (integral + spread) ** (1.0 / p) - root
    below = root - max(0.0, integral - spread) ** (1.0 / p)
    return root, max(above, below)


def shared_rule(dim: int, smoothness: float) -> Rule:
    """The rule that serves every network: cells where the integrand may be smooth, else samples."""
    return cell_rule(dim) if dim <= 3 and smoothness >= 2.0 else sample_rule(dim)


@functools.cache
def cell_rule(dim: int) -> Rule:
    """Tensor Gauss--Legendre rules on uniform cells; ``dim <= 3``."""
    edges = np.linspace(0.0, 1.0, _CELLS[dim] + 1)
    points, weights = _tensor(edges, _NODES[dim], dim)
    check_points, check_weights = _tensor(edges, _CHECK_NODES[dim], dim)
    return Rule(np.concatenate([points, check_points]), weights, check_weights, _CELLS[dim] ** dim)


@functools.cache
def sample_rule(dim: int) -> Rule:
    """One node in each of as many cells as the tensor rule has nodes, with equal weights; above d = 3 no cells."""
    if dim > 3:
        points = equidistributed(_MANY, dim)
    else:
        n = _CELLS[dim] * _NODES[dim]
        cells = np.stack(np.meshgrid(*[np.arange(n)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
        points = (cells + equidistributed(len(cells), dim)) / n
    return Rule(points, np.full(len(points), 1.0 / len(points)), np.empty(0), len(points))


def piece_rule(mesh: Array) -> Rule:
    """Gauss--Legendre rules on the cells of a mesh of [0, 1] merged with uniform cells."""
    edges = np.union1d(mesh, np.linspace(0.0, 1.0, _PIECE_CELLS + 1))
    points, weights = _tensor(edges, _PIECE_NODES, 1)
    check_points, check_weights = _tensor(edges, _PIECE_CHECK_NODES, 1)
    return Rule(np.concatenate([points, check_points]), weights, check_weights, len(edges) - 1)


def _tensor(edges: Array, order: int, dim: int) -> tuple[Array, Array]:
    """Gauss--Legendre nodes and weights of ``order`` in each direction on every cell of a grid, cell by cell."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    x, w = middle[:, None] + half[:, None] * nodes, half[:, None] * weights
    cell, node = (
        np.stack(np.meshgrid(*[np.arange(n)] * dim, indexing="ij"), axis=-1).reshape(-1, 1, dim)
        for n in (len(middle), order)
    )
    node = node.reshape(1, -1, dim)
    points: Array = x[cell, node].reshape(-1, dim)
    return points, w[cell, node].prod(axis=-1).reshape(-1)


def root_mean_square(difference: Array, weights: Array) -> float:
    """``sqrt(sum_i w_i difference_i^2)`` without underflow of tiny differences."""
    scale = float(np.abs(difference).max())
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(float(weights @ (difference / scale) ** 2))
