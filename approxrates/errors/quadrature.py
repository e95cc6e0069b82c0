"""Nodes and weights on the unit cube for L2 distances.

Three rules, chosen by the smoothness ``r`` of the target:

- *Pieces* (d = 1, piecewise-linear network, ``r >= 2``): five Gauss--Legendre nodes on every cell of the network's
  break-points merged with a uniform mesh. Exact to rounding if the target is a polynomial of degree 4 there.
- *Cells* (other networks, ``r >= 2``): a tensor Gauss--Legendre rule on uniform cells, the same for all networks.
- *Samples* (``r < 2``, or d > 3): one point in each uniform cell, at a place that is equidistributed over the cells, so
  that no scale of a self-similar target is always met at the same phase. Good to about 1 %.
"""

from __future__ import annotations

import math

import numpy as np

from approxrates.errors.base import Array, equidistributed

_CELLS = {1: 2048, 2: 64, 3: 8}
_NODES = {1: 2, 2: 2, 3: 3}
_MANY = 1 << 14


def cell_rule(dim: int) -> tuple[Array, Array]:
    """Nodes ``(n, dim)`` and weights ``(n,)`` of the tensor rule; ``dim <= 3``."""
    x, w = _composite(np.linspace(0.0, 1.0, _CELLS[dim] + 1), _NODES[dim])
    points = np.stack(np.meshgrid(*[x] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    weights = w
    for _ in range(dim - 1):
        weights = np.multiply.outer(weights, w)
    return points, weights.reshape(-1)


def sample_rule(dim: int) -> tuple[Array, Array]:
    """One node in each of as many cells as the tensor rule has nodes, with equal weights; above d = 3 no cells."""
    if dim > 3:
        return equidistributed(_MANY, dim), np.full(_MANY, 1.0 / _MANY)
    n_cells = _CELLS[dim] * _NODES[dim]
    cells = np.stack(np.meshgrid(*[np.arange(n_cells)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    return (cells + equidistributed(len(cells), dim)) / n_cells, np.full(len(cells), 1.0 / len(cells))


def piece_rule(mesh: Array) -> tuple[Array, Array]:
    """Nodes and weights on the cells of a mesh of [0, 1] merged with 64 uniform cells."""
    x, w = _composite(np.union1d(mesh, np.linspace(0.0, 1.0, 65)), 5)
    return x[:, None], w


def _composite(edges: Array, order: int) -> tuple[Array, Array]:
    """Gauss--Legendre nodes and weights of ``order`` on every cell between neighbouring edges."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    middle, half = 0.5 * (edges[1:] + edges[:-1]), 0.5 * np.diff(edges)
    return (middle[:, None] + half[:, None] * nodes).reshape(-1), (half[:, None] * weights).reshape(-1)


def root_mean_square(difference: Array, weights: Array) -> float:
    """``sqrt(sum_i w_i difference_i^2)`` without underflow of tiny differences."""
    scale = float(np.abs(difference).max())
    if scale == 0.0 or not math.isfinite(scale):
        return scale
    return scale * math.sqrt(float(weights @ (difference / scale) ** 2))
