r"""Quadratic polynomials with remainder bounds on boxes: what a target and a network are compared by.

On the box ``prod_i [c_i - h_i, c_i + h_i]`` a function is written in ``t = (x - c) / h``, ``t`` in ``[-1, 1]^dim``:
``|f(x) - p(t)| <= remainder`` with ``p`` of degree two. Many boxes are held side by side.

Reference:
    Makino & Berz (2003), Int. J. Pure Appl. Math. 4, 379-456 (Taylor models).
"""

from __future__ import annotations

from collections.abc import Callable
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

    @staticmethod
    def variable(dim: int, index: int, centre: Array, half: float) -> TaylorModel:
        """Model of the coordinate ``x_index`` on boxes of that centre, shape ``(n,)``, and half width, both exact."""
        terms = np.zeros((n_terms(dim), len(centre)))
        terms[0], terms[1 + index] = centre, half
        return TaylorModel(dim, terms, np.zeros(len(centre)))

    def __add__(self, other: TaylorModel) -> TaylorModel:
        """Model of the sum on the same boxes."""
        terms = self.terms + other.terms
        rounding = UNIT * np.abs(terms).sum(axis=0)
        return TaylorModel(self.dim, terms, (self.remainder + other.remainder + rounding) * (1.0 + 8 * UNIT))

    def __sub__(self, other: TaylorModel) -> TaylorModel:
        """Model of the difference on the same boxes."""
        terms = self.terms - other.terms
        rounding = UNIT * np.abs(terms).sum(axis=0)
        return TaylorModel(self.dim, terms, (self.remainder + other.remainder + rounding) * (1.0 + 8 * UNIT))

    def __mul__(self, other: TaylorModel) -> TaylorModel:
        """Model of the product on the same boxes; terms of degree three and four go into the remainder."""
        (a0, a1, a2), (b0, b1, b2) = self._sizes(), other._sizes()
        left, right = a0 + a1 + a2, b0 + b1 + b2
        lost = a1 * b2 + a2 * b1 + a2 * b2 + self.remainder * (right + other.remainder) + other.remainder * left
        terms = self.terms[0] * other.terms + other.terms[0] * self.terms
        terms[0] = self.terms[0] * other.terms[0]
        terms[1 + self.dim :] += _forms(self, other)
        return TaylorModel(self.dim, terms, (lost + 8 * UNIT * left * right) * (1.0 + 64 * UNIT))

    def scaled(self, factor: float, offset: float = 0.0) -> TaylorModel:
        """Model of ``factor * f + offset``, the factor good to one unit of rounding and the offset exact."""
        terms = factor * self.terms
        rounding = 2 * UNIT * np.abs(terms).sum(axis=0)
        terms[0] += offset
        rounding += UNIT * np.abs(terms[0])
        return TaylorModel(self.dim, terms, (abs(factor) * self.remainder + rounding) * (1.0 + 8 * UNIT))

    def composed(
        self,
        derivatives: Callable[[Array], tuple[Array, Array, Array]],
        third: Callable[[Array, Array], Array | float],
        units: float = 16.0,
    ) -> TaylorModel:
        """Model of ``g(f)``, by the Taylor polynomial of ``g`` at the constant term.

        Args:
            derivatives: ``y`` to the value, slope and second derivative of ``g``, each with an error of at most
                ``units * 2**-53`` times itself.
            third: ``(low, high)`` to a bound on the third derivative of ``g`` over ``[low, high]``.
            units: See above.
        """
        value, slope, bend = derivatives(self.terms[0])
        low, high = self.range()
        reach = np.maximum(high - self.terms[0], self.terms[0] - low) * (1.0 + 4 * UNIT)
        _, first, second = self._sizes()
        beside = second + self.remainder
        terms = slope * self.terms
        terms[0] = value
        terms[1 + self.dim :] += 0.5 * bend * _forms(self, self)
        sizes = np.abs(value) + np.abs(slope) * (first + second) + 0.5 * np.abs(bend) * first**2
        lost = np.abs(slope) * self.remainder + 0.5 * np.abs(bend) * (2.0 * first * beside + beside**2)
        lost = lost + third(low, high) * reach**3 / 6.0 + (units + 8.0) * UNIT * sizes
        return TaylorModel(self.dim, terms, lost * (1.0 + 2 * (units + 64.0) * UNIT))

    def capped(self, low: float, high: float) -> TaylorModel:
        """The same where the remainder is small; where it is not, the middle of the known range ``[low, high]``."""
        half = 0.5 * (high - low) * (1.0 + 4 * UNIT) + 2 * UNIT * max(abs(low), abs(high))
        loose = ~(self.remainder <= half)
        terms = np.where(loose, 0.0, self.terms)
        terms[0][loose] = 0.5 * (low + high)
        return TaylorModel(self.dim, terms, np.where(loose, half, self.remainder))

    def range(self) -> tuple[Array, Array]:
        """Lower and upper bounds of ``f`` on the boxes, each of shape ``(n,)``, rounding counted."""
        rounding = 4 * (len(self.terms) + 2) * UNIT * (np.abs(self.terms).sum(axis=0) + self.remainder)
        allowed = self.remainder + rounding
        low: Array = -_greatest(self.dim, -self.terms) - allowed
        return low, _greatest(self.dim, self.terms) + allowed

    def _sizes(self) -> tuple[Array, Array, Array]:
        """Absolute values of the coefficients, summed by degree."""
        sizes, d = np.abs(self.terms), self.dim
        return sizes[0], sizes[1 : 1 + d].sum(axis=0), sizes[1 + d :].sum(axis=0)

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
    total: Array = terms[0].copy()
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


def _forms(left: TaylorModel, right: TaylorModel) -> Array:
    """Coefficients of ``t_i t_j`` in the product of the linear parts."""
    d = left.dim
    a, b = left.terms[1 : 1 + d], right.terms[1 : 1 + d]
    rows, columns = np.triu_indices(d)
    products: Array = a[rows] * b[columns]
    apart = rows != columns
    products[apart] += a[columns[apart]] * b[rows[apart]]
    return products
