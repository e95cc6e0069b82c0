r"""From sampled errors of walks to a bound on whole cells, by bisection where the samples come near the largest error.

On an interval of length ``D = 2^-K`` inside a cell the target lies within ``gap`` of its chord (its own
``interpolation_gap(K)``, or ``C (D / 2)^r`` for a Hölder function: with ``x`` at the fraction ``u`` the distance is at
most ``C D^r ((1 - u) u^r + u (1 - u)^r) <= C D^r (2 u (1 - u))^r`` because ``u^r`` is concave). A walk has slopes
between ``-s / 2`` and ``s / 2`` per fine step, so it lies within ``s Y / 4`` of its chord, ``Y`` the length in fine
steps. So on the interval

    |error| <= max(|error| at both ends) + gap + s Y / 4,

and intervals where that exceeds the largest error seen are bisected until it does not exceed it by ``tolerance``.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.encoders.base import Floats, Mesh, values_on
from approxrates.constructions.encoders.walk import Walks, analogue
from approxrates.target import Target

Indices = NDArray[np.int64]
_POINTS = 1 << 18
_DEEPEST = 36
"""Bisections at most; where a claimed constant is far too large, or there is no error, the bound stays loose."""


def chord_gap(target: Target, level: int) -> float:
    """Largest distance of a target from its chord on a dyadic interval of length ``2^-level``; infinite if unknown."""
    if target.interpolation_gap is not None and target.base == 2:
        return float(target.interpolation_gap(level))
    radius, smoothness = target.regularity.radius, target.regularity.smoothness
    if radius is None or smoothness > 1.0:
        return math.inf
    between: float = radius * 2.0 ** (-smoothness * (level + 1)) * (1 + 1e-12)
    return between


def cell_bound(target: Target, walks: Walks, *, tolerance: float = 0.01) -> tuple[float, float]:
    """Bracket of ``sup |target - start - s P|`` over all cells, from walks of every cell of a power of two of them.

    Args:
        target: A target with ``dim == 1``, and an ``interpolation_gap`` or a Hölder radius.
        walks: Walks of all cells, as :func:`~approxrates.constructions.encoders.walk.encode_walks` returns them.
        tolerance: Relative width of the bracket; it may stay wider where the error is far below the scale.

    Returns:
        A value that the error takes (up to float64 rounding) and an upper bound that counts rounding; the bound is
        infinite where nothing is known of the target between points.
    """
    mesh, scale = walks.mesh, float(walks.scale)
    first = max(mesh.cells.bit_length() - 1, math.ceil(-math.log2(mesh.spacing)))
    if not math.isfinite(chord_gap(target, first)):
        return walks.error, math.inf
    rounding = (target.evaluation_error or 0.0) + scale * (mesh.steps + 2.0) ** 2 * 2.0**-50
    per_cell = (1 << first) // mesh.cells
    seen, chunk, upper = walks.error, max(1, _POINTS // (per_cell + mesh.steps)), 0.0
    for low in range(0, mesh.cells, chunk):
        high = min(low + chunk, mesh.cells)
        table = _Walk(walks, low, high)
        ends = np.arange(low * per_cell, high * per_cell + 1, dtype=np.int64)
        # A knot between cells has a walk on either side: take each interval's ends in its own cell.
        left, right = ends[:-1], ends[1:]
        cell = left // per_cell
        errors = [np.abs(table.error(target, point, first, cell)) for point in (left, right)]
        level = first
        while len(left):
            seen = max(seen, float(errors[0].max()), float(errors[1].max()))
            width = 2.0**-level / mesh.spacing
            slack = chord_gap(target, level) + scale * width / 4
            above = np.maximum(errors[0], errors[1]) + slack
            again = above > seen * (1 + tolerance)
            upper = max(upper, float(above[~again].max(initial=0.0)))
            if level >= first + _DEEPEST or np.count_nonzero(again) > _POINTS:
                upper = max(upper, float(above.max()))
                break
            left, right, cell = left[again] * 2, right[again] * 2, cell[again]
            errors = [side[again] for side in errors]
            level += 1
            if len(left):
                middle = left + 1
                inside = np.abs(table.error(target, middle, level, cell))
                left, right = np.concatenate([left, middle]), np.concatenate([middle, right])
                errors = [np.concatenate([errors[0], inside]), np.concatenate([inside, errors[1]])]
                cell = np.concatenate([cell, cell])
    return seen, max(upper, seen) + rounding


class _Walk:
    """Values of the walks of neighbouring cells at any points."""

    def __init__(self, walks: Walks, low: int, high: int) -> None:
        self.mesh: Mesh = walks.mesh
        self.low, self.scale = low, float(walks.scale)
        self.start = walks.starts[low:high]
        self.z = analogue(walks.digits[low:high], walks.spacing)
        self.before = np.concatenate([np.zeros((high - low, 1)), np.cumsum(self.z - 0.5, axis=1)], axis=1)

    def error(self, target: Target, points: Indices, level: int, cell: Indices) -> Floats:
        """Walk minus target at ``points 2^-level``, each taken as a point of the cell that is given."""
        x: Floats = np.ldexp(points.astype(np.float64), -level)
        knot = cell + cell % 2
        y = np.abs(x * self.mesh.cells - knot) * (self.mesh.steps + self.mesh.dead) - self.mesh.dead
        j = np.clip(np.floor(y), 0, self.mesh.steps - 1).astype(np.int64)
        t, row = np.maximum(y - j, 0.0), cell - self.low
        height = self.before[row, j] + np.maximum(self.z[row, j] - 1 + t, 0.0) - t / 2
        result: Floats = self.start[row] + self.scale * height
        result -= values_on(target, x)
        return result
