r"""Continuous piecewise polynomials from point values, in a form that tables with ramps cannot spoil.

A cell has the coordinate ``tau`` in ``[0, 1]``, 0 at its even border and 1 at its odd one: cells are reflected in turn,
so ``tau`` is a continuous function of x. The interpolant of f at k + 1 nodes of the cell, both borders among them, is

    v_0 (1 - tau) + v_1 tau + tau (1 - tau) (d_0 + d_1 tau + ... + d_(k-2) tau^(k-2)),

``v_0`` and ``v_1`` the values at the borders. A table of ``v_0`` steps where ``tau = 1``, one of ``v_1`` where ``tau =
0``, those of the ``d_j`` at both: each steps where what it is multiplied by vanishes. In d = 2 the same holds for
products of these k + 1 functions of either coordinate.

All coefficients are linear in the values of f: divided differences, computed here in integers. With the Lebesgue
constant ``Lambda`` of the nodes and ``r = kappa + alpha``, ``kappa = ceil(r) - 1 <= k``, the interpolant is off by at
most ``(1 + Lambda) radius (h/2)^r Gamma(1 + alpha) / Gamma(1 + r)``: the projection is off by at most ``1 + Lambda``
times as much as any polynomial, in particular the Taylor polynomial at the centre of the cell, whose remainder is the
``kappa``-fold integral of ``radius t^alpha`` up to ``t = h/2``. In d = 2, ``f - I_1 I_2 f = (f - I_1 f) + I_1 (f - I_2
f)``, so the constant is multiplied by ``1 + Lambda`` once more.
"""

from __future__ import annotations

import functools
import itertools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.layers import Dyadic
from approxrates.target import Target

MOST_DEGREE = 6
_GRID = 64
_FINE = 4096
_VALUE_BITS = 60

Integers = NDArray[Any]
"""Python integers in an array."""


@functools.cache
def nodes(degree: int) -> tuple[Fraction, ...]:
    """Nodes of the cell: the Chebyshev-Lobatto points, rounded to multiples of 1/64; symmetric, with both borders."""
    whole = [round(_GRID * (1 - math.cos(math.pi * j / degree)) / 2) for j in range(degree + 1)]
    mirrored = [min(a, _GRID - b) if j < (degree + 1) / 2 else max(a, _GRID - b)
                for j, (a, b) in enumerate(zip(whole, reversed(whole), strict=True))]  # fmt: skip
    return tuple(Fraction(n, _GRID) for n in mirrored)


@functools.cache
def lebesgue(degree: int) -> float:
    """Upper bound on the Lebesgue constant of the nodes.

    The largest sum ``sum_j |l_j|`` on a grid of 4097 points, made into a bound by Markov's inequality: a polynomial of
    degree k changes between grid points by at most ``2 k^2 / 8192`` of its maximum.
    """
    at, t = np.array([float(x) for x in nodes(degree)]), np.arange(_FINE + 1) / _FINE
    total = np.zeros_like(t)
    for j in range(degree + 1):
        others = np.delete(at, j)
        total += np.abs(np.prod((t[:, None] - others) / (at[j] - others), axis=1))
    return float(total.max()) * 1.000001 / (1 - (degree + 1) * degree**2 / _FINE)


@functools.cache
def coefficient_matrix(degree: int) -> tuple[tuple[Fraction, ...], ...]:
    """Rows ``v_0, v_1, d_0, ..., d_(k-2)`` as rational combinations of the values at the nodes."""
    at, k = nodes(degree), degree
    rows = [[Fraction(int(j == 0)) for j in range(k + 1)], [Fraction(int(j == k)) for j in range(k + 1)]]
    inner = at[1:-1]
    # g = (f - v_0 (1 - t) - v_1 t) / (t (1 - t)) at the inner nodes, and its interpolant in powers of t.
    values = [
        [(Fraction(int(j == i)) - (1 - t) * int(j == 0) - t * int(j == k)) / (t * (1 - t)) for j in range(k + 1)]
        for i, t in enumerate(inner, start=1)
    ]
    powers = [[Fraction(0)] * (k + 1) for _ in inner]
    for i, t in enumerate(inner):
        basis = [Fraction(1)]
        for other in (x for m, x in enumerate(inner) if m != i):
            shifted = [Fraction(0), *basis]
            basis = [
                (a - other * b) / (t - other) for a, b in itertools.zip_longest(shifted, basis, fillvalue=Fraction(0))
            ]
        for power, share in enumerate(basis):
            powers[power] = [a + share * b for a, b in zip(powers[power], values[i], strict=True)]
    return tuple(map(tuple, [*rows, *powers]))


def interpolation_bound(smoothness: float, radius: float, degree: int, dim: int) -> float:
    """``c`` with ``|f - interpolant| <= c h^r`` on cells of side h; see the text of the module."""
    alpha = smoothness - (math.ceil(smoothness) - 1)
    lebesgues = math.pow(1 + lebesgue(degree), dim)
    taylor = math.gamma(1 + alpha) / math.gamma(1 + smoothness) * math.pow(2.0, -smoothness)
    return 1.000001 * lebesgues * radius * taylor


@dataclass(frozen=True)
class Pieces:
    """Coefficients of a continuous piecewise polynomial.

    Attributes:
        degree: The k.
        numerators: For each multi-index of ``{0, ..., k}^dim``, all cells' coefficients times ``scale``: integers of
            shape ``(cells,) * dim``.
        scale: Common denominator.
        noise: Bound on what the rounding of point values does to the interpolant.
    """

    degree: int
    numerators: dict[tuple[int, ...], Integers]
    scale: int
    noise: float

    def largest(self, kinds: set[tuple[int, ...]]) -> Fraction:
        """Largest coefficient, in modulus, among some multi-indices."""
        tops = (max(abs(int(n)) for n in self.numerators[kind].flat) for kind in kinds)
        return Fraction(max(tops), self.scale)


def encode_pieces(target: Target, n_cells: int, degree: int) -> Pieces:
    """The piecewise interpolant on ``n_cells`` cells per axis, a power of two so that all nodes are float64 numbers.

    ``noise`` counts the rounding to multiples of ``2**-60`` and, where it is known, the target's own rounding.
    """
    matrix, dim = coefficient_matrix(degree), target.dim
    at = np.array([float(t) for t in nodes(degree)])
    local = np.where(np.arange(n_cells)[:, None] % 2 == 0, at, 1.0 - at)
    axis = ((np.arange(n_cells)[:, None] + local) / n_cells).ravel()
    points = np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    floats = target(points).reshape((n_cells, degree + 1) * dim)
    values = np.array([int(v * 2.0**_VALUE_BITS) for v in floats.ravel()], dtype=object).reshape(floats.shape)
    common = math.lcm(*(c.denominator for row in matrix for c in row))
    whole = np.array([[int(c * common) for c in row] for row in matrix], dtype=object)
    for _ in range(dim):
        # Cells and coefficients of this axis go last; the next axis comes first.
        values = np.moveaxis(np.tensordot(values, whole, axes=([1], [1])), 0, -2)
    numerators = {
        kind: values[tuple(part for p in kind for part in (slice(None), p))]
        for kind in itertools.product(range(degree + 1), repeat=dim)
    }
    rounding = (target.evaluation_error or 0.0) + 2.0**-_VALUE_BITS
    return Pieces(degree, numerators, common**dim << _VALUE_BITS, rounding * math.pow(lebesgue(degree), dim))


def entry(numerator: int, scale: int, top: int, bits: int) -> Dyadic:
    """``(c / 2^top + 1) / 2`` to the nearest multiple of ``2**-bits`` below 1, for ``c = numerator / scale``."""
    place = Fraction(numerator, scale << top) if top >= 0 else Fraction(numerator << -top, scale)
    return Dyadic(min(max(round((place + 1) * (1 << bits - 1)), 0), (1 << bits) - 1), -bits)
