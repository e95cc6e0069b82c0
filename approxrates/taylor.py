r"""Quadratic polynomials with remainder bounds on boxes: what a target and a network are compared by.

On the box ``prod_i [c_i - h_i, c_i + h_i]`` a function is written in ``t = (x - c) / h``, ``t`` in ``[-1, 1]^dim``:
``|f(x) - p(t)| <= remainder`` with ``p`` of degree two. Many boxes are held side by side.

Reference:
    Makino & Berz (2003), Int. J. Pure Appl. Math. 4, 379-456 (Taylor models).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
UNIT = 2.0**-53
"""Unit round-off of float64."""


def n_terms(dim: int) -> int:
    """Coefficients of a polynomial of degree two in ``dim`` variables."""
    return 1 + dim + dim * (dim + 1) // 2


@dataclass(frozen=True, eq=False)
class TaylorModel:
    """``|f(x) - p(t)| <= remainder`` on each of ``n`` boxes; errors of rounding in ``terms`` are in ``remainder``.

    Attributes:
        dim: Number of variables.
        terms: Coefficients, shape ``(n_terms(dim), n)``: the constant, those of ``t_0 .. t_{dim-1}``, those of
            ``t_i t_j`` for ``i <= j`` in the order of ``numpy.triu_indices(dim)``.
        remainder: Shape ``(n,)``, not negative; ``inf`` or NaN where nothing is known.
    """

    dim: int
    terms: Array
    remainder: Array

    def __sub__(self, other: TaylorModel) -> TaylorModel:
        """Model of the difference on the same boxes."""
        terms = self.terms - other.terms
        rounding = UNIT * np.abs(terms).sum(axis=0)
        return TaylorModel(self.dim, terms, (self.remainder + other.remainder + rounding) * (1.0 + 4 * UNIT))

    def magnitude(self) -> Array:
        """Upper bounds of ``|f|`` on the boxes, shape ``(n,)``, rounding counted; exact for polynomials in d = 1."""
        bound = np.maximum(_greatest(self.dim, self.terms), _greatest(self.dim, -self.terms))
        # Each bound is a sum of at most m + 1 terms of which none exceeds the sum of the absolute values.
        rounding = 4 * (len(self.terms) + 2) * UNIT * np.abs(self.terms).sum(axis=0)
        total = (bound + rounding + self.remainder) * (1.0 + 4 * UNIT)
        result: Array = np.where(np.isnan(total), np.inf, total)
        return result


def _greatest(dim: int, terms: Array) -> Array:
    """Upper bound of ``max p`` over ``[-1, 1]^dim``: every variable with its square, products of two by themselves."""
    rows, columns = np.triu_indices(dim)
    total = terms[0].copy()
    for index, (i, j) in enumerate(zip(rows, columns, strict=True)):
        square = terms[1 + dim + index]
        if i != j:
            total += np.abs(square)
            continue
        slope = np.abs(terms[1 + i])
        inside = (square < 0.0) & (slope < -2.0 * square)
        with np.errstate(all="ignore"):
            vertex = slope * slope / np.where(inside, -4.0 * square, 1.0)
        total += np.where(inside, vertex, slope + square)
    return total
