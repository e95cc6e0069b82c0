r"""Proven models of splines on dyadic nodes: what Gaussian paths and fields are on a cell.

*Cells of the mesh and finer*: the spline is one polynomial there, a product of linear or cubic ones in d > 1. It is
expanded at the centre; ``t_i^3`` becomes ``3/4 t_i`` (off by 1/4 at most), ``t_i^2 t_j`` becomes ``t_j / 2`` (off by
1/2), and what is of higher order counts by its height. Polygons in d = 1 and bilinear pieces are exact.

*Coarser cells*: a B-spline sum lies between the least and the greatest of the coefficients that reach the cell, since
the B-splines are not negative and sum to 1. So it is off a polynomial by at most the largest distance of their
coefficients. All are known: the polynomial is fitted to them by least squares, and the distance is read off, once for
all cells of a level. Linear functions and products ``t_i t_j`` have their values at the nodes as coefficients. With
spacing ``delta`` of the nodes in t, ``t^2`` has ``t_j^2 - delta^2 / 3`` for cubic splines (its blossom at three knots);
polygons have no ``t^2``, but ``t_j^2 - delta^2 / 8`` is off by at most ``delta^2 / 8``.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators.base import ROUND_UP, Floats
from approxrates.generators.gaussian_paths import WEIGHTS, NodeSpline
from approxrates.generators.models import Cells, checked_cells
from approxrates.taylor import UNIT, TaylorModel, n_terms

_CHUNK = 16_384
# Sums over all weights of the absolute values of the coefficients of their derivatives, over factorials.
_SIZES = {2: (3.0, 2.0), 4: (16.0 / 3.0, 9.0, 6.0, 4.0 / 3.0)}


@dataclass(frozen=True)
class NodeModel:
    """The enclosure of a spline on nodes in one or two variables, see the text of the module."""

    total: NodeSpline

    @property
    def dim(self) -> int:
        """Number of variables."""
        return self.total.coefficients.ndim

    def __getstate__(self) -> dict[str, Any]:
        """Without the tables, which are larger than the nodes and quickly made."""
        return {"total": self.total}

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the dyadic cells of a level, given as whole numbers of shape ``(n, dim)``."""
        numbers, level = checked_cells(2, self.dim, level, index), int(level)
        if level < self.total.levels:
            terms, remainder = self.coarse[level]
            rows = np.ravel_multi_index(tuple(numbers.T), (2**level,) * self.dim)
            return TaylorModel(self.dim, terms[:, rows], remainder[rows])
        terms, remainder = np.zeros((n_terms(self.dim), len(numbers))), np.zeros(len(numbers))
        for start in range(0, len(numbers), _CHUNK):
            rows = slice(start, start + _CHUNK)
            terms[:, rows], remainder[rows] = self._fine(level - self.total.levels, numbers[rows])
        return TaylorModel(self.dim, terms, remainder)

    @functools.cached_property
    def coarse(self) -> list[tuple[Floats, Floats]]:
        """Terms and remainders of all cells, in the order of their numbers, for each level above the mesh."""
        return [self._fitted(level) for level in range(self.total.levels)]

    def _fitted(self, level: int) -> tuple[Floats, Floats]:
        """Least squares on the coefficients that reach each cell of a level, and the largest distance from them."""
        d, order = self.dim, self.total.order
        pieces = 2 ** (self.total.levels - level)
        spacing = 2.0 / pieces
        places = (np.arange(pieces + order - 1) - (order // 2 - 1)) * spacing - 1.0
        sides = [side.ravel() for side in np.meshgrid(*[places] * d, indexing="ij")]
        shift = spacing**2 / (3.0 if order == 4 else 8.0)
        rows, columns = np.triu_indices(d)
        pairs = [
            sides[i] * sides[j] - (shift if i == j else 0.0)
            for i, j in zip(rows.tolist(), columns.tolist(), strict=True)
        ]
        basis = np.stack([np.ones_like(sides[0]), *sides, *pairs], axis=1)
        windows = np.lib.stride_tricks.sliding_window_view(self.total.coefficients, (len(places),) * d)
        values = windows[(slice(None, None, pieces),) * d].reshape(-1, len(basis)).T
        terms = np.linalg.lstsq(basis, values, rcond=None)[0]
        off = values - basis @ terms
        high, low = off.max(axis=0), off.min(axis=0)
        sizes = np.abs(terms).sum(axis=0)
        terms[0] += 0.5 * (high + low)
        # Entries of the basis are at most 4 and good to 3 units; sums of at most 6 products; then the two ends.
        remainder = 0.5 * (high - low) + UNIT * (64.0 * sizes + 4.0 * (np.abs(high) + np.abs(low)))
        if order == 2:
            remainder += shift * np.abs(terms[1 + d + np.flatnonzero(rows == columns)]).sum(axis=0)
        return np.ascontiguousarray(terms), ROUND_UP * remainder

    def rounding(self, half: float) -> float:
        """Errors of all coefficients on parts of that half width of a mesh cell.

        Horner's rule on at most four rounded coefficients costs 8 units of the sum of their absolute values; products
        with the other factor and with a node, and sums of at most 16 of them, cost 16 more.
        """
        d = self.dim
        size = math.fsum(s * half**k for k, s in enumerate(_SIZES[self.total.order]))
        largest = float(np.max(np.abs(self.total.coefficients)))
        return 1.01 * UNIT * 24.0 * d * size**d * largest

    def _fine(self, depth: int, numbers: Cells) -> tuple[Floats, Floats]:
        """Terms and remainder on parts of mesh cells, cut ``depth`` times."""
        d, order = self.dim, self.total.order
        mesh = numbers >> depth
        half = 0.5 ** (depth + 1)
        centre = (2 * (numbers - (mesh << depth)) + 1).astype(np.float64) * half
        shifts = np.arange(order)
        nodes = [
            mesh[:, i].reshape(-1, *[1] * d) + shifts.reshape([-1 if i == j else 1 for j in range(d)]) for i in range(d)
        ]
        factors = [_expanded(order, centre[:, i], half) for i in range(d)]
        form = "na,nak->nk" if d == 1 else "nab,nak,nbl->nkl"
        powers = np.einsum(form, self.total.coefficients[tuple(nodes)], *factors)
        terms, lost = _line(powers) if d == 1 else _plane(powers)
        return terms, ROUND_UP * (lost + self.rounding(half))


def _expanded(order: int, centre: Floats, half: float) -> Floats:
    """Coefficients of the powers of t of each weight on ``centre + half t``, shape ``(n, order, order)``."""
    result = np.empty((len(centre), order, order))
    for row, weight in enumerate(WEIGHTS[order]):
        for k in range(order):
            derived = [float(math.comb(i, k) * a) for i, a in enumerate(weight)][k:]
            result[:, row, k] = np.polynomial.polynomial.polyval(centre, derived) * half**k
    return result


def _line(powers: Floats) -> tuple[Floats, Floats]:
    """Terms and remainder of polynomials in one variable, shape ``(n, 2)`` or ``(n, 4)``."""
    terms, lost = np.zeros((3, len(powers))), np.zeros(len(powers))
    terms[: min(3, powers.shape[1])] = powers[:, :3].T
    if powers.shape[1] == 4:
        terms[1] += 0.75 * powers[:, 3]
        lost += 0.25 * np.abs(powers[:, 3])
    return terms, lost


def _plane(powers: Floats) -> tuple[Floats, Floats]:
    """Terms and remainder of polynomials in two variables, shape ``(n, 2, 2)`` or ``(n, 4, 4)``."""
    terms, lost = np.zeros((6, len(powers))), np.zeros(len(powers))
    for row, (k, m) in enumerate([(0, 0), (1, 0), (0, 1), (2, 0), (1, 1), (0, 2)]):
        if max(k, m) < powers.shape[1]:
            terms[row] = powers[:, k, m]
    if powers.shape[1] == 2:
        return terms, lost
    terms[1] += 0.75 * powers[:, 3, 0] + 0.5 * powers[:, 1, 2]
    terms[2] += 0.75 * powers[:, 0, 3] + 0.5 * powers[:, 2, 1]
    shares = {(3, 0): 0.25, (0, 3): 0.25, (1, 2): 0.5, (2, 1): 0.5}
    for k in range(4):
        for m in range(4):
            if k + m > 2:
                lost += shares.get((k, m), 1.0) * np.abs(powers[:, k, m])
    return terms, lost


def node_enclosure(total: NodeSpline) -> NodeModel:
    """The enclosure of a spline on nodes: a ``Target.enclosure``."""
    return NodeModel(total)
