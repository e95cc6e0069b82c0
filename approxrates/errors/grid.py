"""Sup distance on a b-adic grid with endpoints and corners, refined where it is large: an estimate, not a proof.

``lower`` is the error at a point. ``upper`` estimates what is between the points: of the candidates that were refined,
the one that gained most over its grid value tells how much the others, just below the candidates, may hide; and the
last refinement tells what the best one may still gain. A spike narrower than a cell, away from all candidates, is
missed: hence ``certified=False``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.approximant import Approximant
from approxrates.errors.base import Array, equidistributed, values_of
from approxrates.errors.screening import errors_at, exact_errors_at, known_values
from approxrates.network import Network
from approxrates.sampling import badic_grid
from approxrates.target import Target

_CANDIDATES = {1: 48, 2: 48, 3: 32}
_ROUNDS = {1: 8, 2: 5, 3: 4}
DEFAULT_BUDGET = {1: 1 << 14, 2: 1 << 17, 3: 1 << 17}
_BLOCK = 4  # cells along each side of a block: one candidate comes from each, so that not all sit on one peak
_SHARE = 0.7
"""Share of the budget that the grid may take; the rest is for refinement."""


@dataclass(frozen=True, eq=False)
class Grid:
    """Points with target values, shared by all networks of a batch.

    Attributes:
        points: Shape ``(n, dim)``.
        values: Target values, shape ``(n,)``.
        spacing: Distance of neighbours along an axis.
    """

    points: Array
    values: Array
    spacing: float


@dataclass(frozen=True)
class Found:
    """``lower`` attained at ``where``, and the estimate ``upper``."""

    lower: float
    upper: float
    where: tuple[float, ...]
    n_evaluations: int


def make_grid(target: Target, n_params: int, budget: int | None) -> Grid:
    """The b-adic grid for networks of at most ``n_params`` parameters.

    In d = 1 it has at least 16 cells per parameter (two binary levels below 4 cells for each), if the budget allows; in
    d = 2, 3 the finest level that the budget allows; above, corners (as many as fit) and an equidistributed sequence.
    """
    dim, base = target.dim, max(2, target.base)
    most = _SHARE * (budget or DEFAULT_BUDGET.get(dim, 1 << 15))
    wanted = most if dim > 1 else min(most, max(2048, 16 * n_params))
    per_axis = wanted ** (1.0 / dim) - 1.0
    if dim > 3 and per_axis < base:
        points = np.concatenate([_corners(dim, int(wanted) // 4), equidistributed(int(wanted), dim)])
        return Grid(points, target(points), wanted ** (-1.0 / dim))
    level = max(1, math.floor(math.log(max(per_axis, 2.0)) / math.log(base) + 1e-9))
    points = badic_grid(level, base=base, dim=dim)
    return Grid(points, known_values(target, points, f"grid {base} {level}"), float(base) ** -level)


def _corners(dim: int, most: int) -> Array:
    """Corners of the cube: the first ``2^k <= most`` in binary order."""
    bits = min(dim, max(1, int(math.log2(max(most, 2)))))
    corners = (np.arange(2**bits)[:, None] >> np.arange(dim).clip(max=62)) & 1
    result: Array = corners.astype(np.float64)
    return result


def search_grid(networks: Sequence[Network | Approximant], target: Target, grid: Grid) -> list[Found]:
    """The largest error of each network on the grid and around its best points; values are finite or inf, never NaN."""
    n_candidates = _CANDIDATES.get(target.dim, 16)
    best_x = np.empty((len(networks), n_candidates, target.dim))
    best = np.empty((len(networks), n_candidates))
    below = np.zeros(len(networks))
    for i, network in enumerate(networks):
        error = errors_at(network, grid.points, grid.values)
        chosen, below[i] = _candidates(error, grid, n_candidates)
        best_x[i] = grid.points[chosen]
        best[i] = exact_errors_at(network, best_x[i], grid.values[chosen])
    first, last, spent = best.copy(), best.copy(), len(grid.points)
    offsets, radius = _offsets(target.dim, target.base), grid.spacing
    for _ in range(_ROUNDS.get(target.dim, 2)):
        last = best.copy()
        best_x, best = _round(networks, target, best_x, best, radius * offsets)
        spent += n_candidates * len(offsets)
        radius *= 1.0 / _steps(target.base)
    results = []
    for i in range(len(networks)):
        k = int(best[i].argmax())
        lower = float(best[i, k])
        with np.errstate(all="ignore"):
            hidden = below[i] + float((best[i] - first[i]).max())
            left = lower + float((best[i] - last[i]).max())
        upper = lower if not math.isfinite(lower) else max(lower, hidden, left)
        results.append(Found(lower, upper, tuple(map(float, best_x[i, k])), spent))
    return results


def _candidates(error: Array, grid: Grid, n: int) -> tuple[NDArray[np.intp], float]:
    """Indices of the best point of the ``n`` best blocks of the cube, and the largest error outside of these blocks."""
    top = np.argpartition(error, -16 * n)[-16 * n :] if 16 * n < len(error) else np.arange(len(error))
    top = top[np.argsort(-error[top], kind="stable")]
    blocks = np.floor(grid.points[top] / (_BLOCK * grid.spacing)).astype(np.int64)
    first = np.sort(np.unique(blocks, axis=0, return_index=True)[1])
    chosen, others = top[first[:n]], top[first[n:]]
    outside = float(error[others[0]]) if len(others) else float(error[top[-1]]) if len(top) < len(error) else 0.0
    return np.resize(chosen, n), outside


def _finite(error: Array) -> Array:
    """NaN counted as infinite."""
    result: Array = np.where(np.isnan(error), np.inf, error)
    return result


def _steps(base: int) -> int:
    """Into how many parts refinement cuts a cell: the base, if it is small."""
    return base if 2 <= base <= 4 else 2


def _offsets(dim: int, base: int) -> Array:
    """A small grid on ``[-1, 1]^dim`` with b-adic steps, its centre included."""
    steps = _steps(base)
    axis = np.arange(-steps, steps + 1) / steps
    if dim > 3:
        return np.concatenate([np.zeros((1, dim)), np.eye(dim) * 0.5, -np.eye(dim) * 0.5])
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def _round(
    networks: Sequence[Network | Approximant], target: Target, centres: Array, best: Array, offsets: Array
) -> tuple[Array, Array]:
    """Move every candidate to the best point around it."""
    x = np.clip(centres[:, :, None] + offsets, 0.0, 1.0)
    values = target(x.reshape(-1, target.dim)).reshape(x.shape[:-1])
    outputs = np.stack([_outputs(network, row) for network, row in zip(networks, x, strict=True)])
    error = _finite(np.abs(values - outputs))
    pick = error.argmax(axis=2)[..., None]
    found = np.take_along_axis(error, pick, axis=2)[..., 0]
    moved = np.take_along_axis(x, pick[..., None], axis=2)[:, :, 0]
    better = found > best
    return np.where(better[..., None], moved, centres), np.where(better, found, best)


def _outputs(network: Network | Approximant, x: Array) -> Array:
    """Values of a network with one output, shape of ``x`` without its last axis."""
    return values_of(network, x.reshape(-1, x.shape[-1])).reshape(x.shape[:-1])
