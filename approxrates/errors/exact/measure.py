"""Largest error at many points, each network value exact or within a proven radius: a lower end, and no upper one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.arithmetic.columns import evaluate_columns
from approxrates.errors.base import UNIT, Array, equidistributed
from approxrates.errors.exact.engine import POSITION
from approxrates.errors.exact.mesh import ONE_UNIT, first_mesh
from approxrates.network import Network
from approxrates.target import Target

_POINTS = {1: 1 << 16, 2: 1 << 15}
_LONG, _FEW_POINTS = 100_000, 1 << 10
"""Bits of a weight beyond which points are dear, and how many are taken then."""
_BLOCK = 32
_BEST, _STENCIL, _ROUNDS = 24, 16, 3


@dataclass(frozen=True)
class Measured:
    """``lower`` is the error at ``where`` less all rounding; ``largest`` the same with the rounding added."""

    lower: float
    largest: float
    where: tuple[float, ...]
    n_evaluations: int


def snapped(x: Array) -> Array:
    """Points of the cube moved to multiples of ``2^-52``: exact in float64 and for the network alike."""
    result: Array = np.rint(np.clip(x, 0.0, 1.0) * ONE_UNIT) / ONE_UNIT
    return result


def is_in_columns(network: Network) -> bool:
    """Whether points can share work: exact columns rather than balls, point by point."""
    return network.is_piecewise_linear or "sin" in network.activations


def values_and_radius(network: Network, x: Array) -> tuple[Array, float]:
    """Values of a network with one output at points that :func:`snapped` gave, and how far they may be off.

    Raises:
        ValueError: If no arithmetic knows the network's activations.
    """
    if is_in_columns(network):
        points = np.rint(x * ONE_UNIT).astype(np.int64)
        try:
            found = evaluate_columns(network.layers, points, POSITION)
            return found.values[:, 0], float(found.radius)
        except ValueError:
            if network.is_piecewise_linear:
                raise
    values, radius = network(x, arithmetic="ball")
    return np.asarray(values, dtype=np.float64).reshape(len(x)), float(np.max(radius, initial=0.0))


def measure(network: Network, target: Target, budget: int | None = None) -> Measured:
    """The largest error found: first on a mesh, then closer and closer to the best points.

    Args:
        network: One output, ``network.dim == target.dim``.
        target: What it shall approximate.
        budget: Most points; by default 65,536 in d = 1 and 32,768 above, 1,024 where a weight is longer than 100,000
            bits, or the activations need balls.
    """
    most = budget if budget is not None else _POINTS.get(network.dim, 1 << 15)
    if budget is None and (network.max_bits > _LONG or not is_in_columns(network)):
        most = _FEW_POINTS
    refine = min(_BEST, max(1, most // (4 * _STENCIL * _ROUNDS)))
    x = _points(network, max(2, most - refine * _STENCIL * _ROUNDS))
    lower, largest, where, spent = -math.inf, 0.0, x[0], 0
    radius = 2.0 / max(2.0, len(x) ** (1.0 / network.dim))
    for _ in range(_ROUNDS + 1):
        f = target(x)
        g, off = values_and_radius(network, x)
        spent += len(x)
        error = np.abs(f - g)
        error = np.where(np.isnan(error), math.inf, error)
        slack = off + (target.evaluation_error or 0.0) + 4 * UNIT * (np.abs(f) + np.abs(g))
        k = int(np.argmax(error - slack))
        if error[k] - slack[k] > lower:
            lower, where = float(error[k] - slack[k]), x[k]
        largest = max(largest, float((error + slack).max()))
        if spent + refine * _STENCIL > most:
            break
        best = x[np.argsort(-error)[: 4 * refine]]
        best = _spread(best, radius)[:refine]
        offsets = 2.0 * equidistributed(_STENCIL, network.dim) - 1.0
        x = snapped((best[:, None] + radius * offsets).reshape(-1, network.dim))
        radius /= 8.0
    return Measured(max(lower, 0.0), max(largest, 0.0), tuple(map(float, where)), spent)


def _spread(best: Array, radius: float) -> Array:
    """Points in order, those nearer than a quarter of the radius to an earlier one left out."""
    kept: list[Array] = []
    for point in best:
        if all(float(np.abs(point - other).max()) > 0.25 * radius for other in kept):
            kept.append(point)
    return np.array(kept)


def _points(network: Network, most: int) -> Array:
    """Where to look: the mesh of the provenance (d = 1) or a dyadic grid, and places in between."""
    if network.dim == 1:
        return _on_mesh(first_mesh(network), most)[:, None] / ONE_UNIT
    per_axis = 1 << max(1, int(math.log2(most / 2) / network.dim))
    grid = np.stack(np.meshgrid(*[np.arange(per_axis + 1) / per_axis] * network.dim, indexing="ij"), axis=-1)
    points = grid.reshape(-1, network.dim)
    rest = max(0, most - len(points))
    result: Array = snapped(np.concatenate([points, equidistributed(rest, network.dim)]))[:most]
    return result


def _on_mesh(mesh: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Mesh points and four places inside each interval; runs of neighbouring intervals where all are too many."""
    n = len(mesh) - 1
    chosen = np.arange(n)
    if 5 * n > most:
        blocks = max(1, most // (5 * _BLOCK))
        # Deterministic and equidistributed: no scale of a self-similar target is met at one phase only.
        starts = np.floor(equidistributed(blocks, 1)[:, 0] * max(1, n - _BLOCK)).astype(np.int64)
        chosen = np.unique((starts[:, None] + np.arange(_BLOCK)).ravel())
        chosen = chosen[chosen < n]
    width = mesh[chosen + 1] - mesh[chosen]
    inside = [mesh[chosen] + (width // 5) * k for k in range(5)]
    result: NDArray[np.int64] = np.unique(np.concatenate([*inside, mesh[:1], mesh[-1:]]))
    return result[:: max(1, -(-len(result) // most))]
