r"""Spline bumps on parts of their cell: the polynomial pieces, their Taylor models and their derivative."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from approxrates.generators.tensor import Factor
from approxrates.taylor import Array

Whole = NDArray[np.int64]


class Spline(Protocol):
    """A bump that is a spline with ``order`` equal pieces of degree ``order - 1``, as often continuous as such are."""

    @property
    def order(self) -> int:
        """The m: number of pieces, and one more than their degree."""

    def exact(self, u: Fraction) -> Fraction:
        """Value at a rational fraction of a cell."""


def _interpolated(bump: Spline, piece: int) -> list[Fraction]:
    """Coefficients, in ``s = m u - piece``, of the polynomial that the bump is on one piece, by Newton's formula."""
    m = bump.order
    nodes = [Fraction(i, m) for i in range(m)]
    steps = [bump.exact((piece + s) / m) for s in nodes]
    for order in range(1, m):
        for i in range(m - 1, order - 1, -1):
            steps[i] = (steps[i] - steps[i - 1]) / (nodes[i] - nodes[i - order])
    result = [Fraction(0)] * m
    for step, node in zip(reversed(steps), reversed(nodes), strict=True):
        # result <- result * (s - node) + step
        result = [below - node * here for below, here in zip([Fraction(0), *result[:-1]], result, strict=True)]
        result[0] += step
    return result


def _derived(coefficients: list[Fraction]) -> list[Fraction]:
    """Coefficients of the derivative."""
    return [k * c for k, c in enumerate(coefficients)][1:]


def _sup(coefficients: list[Fraction]) -> Fraction:
    """Upper bound on a polynomial over ``[0, 1]``: its largest Bernstein coefficient."""
    n = len(coefficients) - 1
    shares = (
        sum((Fraction(math.comb(i, j), math.comb(n, j)) * coefficients[j] for j in range(i + 1)), start=Fraction(0))
        for i in range(n + 1)
    )
    return max(map(abs, shares))


class Pieces:
    r"""The polynomials of a spline bump, for evaluation with proven bounds.

    Write the bump on ``u0 + w t``, ``|t| <= 1``, by Taylor's formula at the centre with ``q = min(m - 1, 3)``:

    * ``m - 1 <= 3``: the q-th derivative is constant on pieces. Between the least and the greatest of its values on the
      pieces that the part meets lies, halfway, the number used in the formula; the error is at most half their distance
      times ``w^q / q!``, and nothing if one piece is met.
    * ``m - 1 > 3``: the error is at most ``sup |psi''''| w^4 / 24``; the bump has three continuous derivatives.

    A cubic term ``c t^3`` becomes ``3/4 c t`` with an error of ``|c| / 4``, the least there is (Chebyshev). A hat bent
    inside, ``1 - 2 w |t|``, is written with ``|t| = t^2 + 1/8``, which is off by at most 1/8.
    """

    def __init__(self, bump: Spline) -> None:
        """Find the pieces exactly, check how they fit together, and round them.

        Raises:
            ValueError: If the bump is no such spline, or none that is symmetric with values in [0, 1].
        """
        m = self.order = bump.order
        exact = [_interpolated(bump, i) for i in range(m)]
        scales, rows = [], exact
        for j in range(m):
            scales.append([[Fraction(m**j, math.factorial(j)) * c for c in row] for row in rows])
            joins = [sum(left) == right[0] for left, right in itertools.pairwise(rows)]
            if j < m - 1 and not (all(joins) and rows[0][0] == 0 and sum(rows[-1]) == 0):
                raise ValueError(f"a bump of order {m} must have {m - 2} continuous derivatives. Got fewer.")
            rows = [_derived(row) for row in rows]
        self.degree = m - 1
        self.tables = [np.array([[float(c) for c in row] for row in scale]) for scale in scales]
        """Coefficients of the j-th derivative over ``j!``, in fractions of a piece: shape ``(m, m - j)``."""
        self.sizes = [float(np.abs(table).sum(axis=1).max()) for table in self.tables]
        self.sups = [float(max(map(_sup, scale))) for scale in scales]
        self.fourth = self.sups[4] * (1.0 + 1e-12) if m > 4 else 0.0
        top = self.tables[min(self.degree, 3)][:, 0]
        self.middle, self.spread = np.zeros((m, m)), np.zeros((m, m))
        for i in range(m):
            for j in range(i, m):
                self.middle[i, j] = 0.5 * (top[i : j + 1].max() + top[i : j + 1].min())
                self.spread[i, j] = 0.5 * (top[i : j + 1].max() - top[i : j + 1].min()) * (1.0 + 1e-12)

    def magnitude(self, half: float) -> float:
        """Bound on ``|a| + |b| + |c| + e`` of a factor of that half width or less: below 1 plus e for hats."""
        if self.order == 2:
            return 1.0 + half
        return 1.0 + sum(sup * half**j for j, sup in enumerate(self.sups[: min(self.degree, 3) + 1]))

    def rounding(self, half: float) -> float:
        """Error of all coefficients of a factor together, in units of ``2**-53``.

        Horner's rule on coefficients and an argument good to one unit costs less than ``3 degree + 2`` units of the sum
        of the absolute terms; the powers of w and the conversion of the cubic term cost 6 more. Hats: 2 units for their
        value, 2 for their slope, and 2 for what a peak inside costs.
        """
        if self.order == 2:
            return 6.0
        terms = sum(size * half**j for j, size in enumerate(self.sizes[: min(self.degree, 3) + 1]))
        return (3 * self.degree + 8) * (1.0 + terms)

    def factor(self, number: Whole, parts: int) -> Factor:
        """Model of the bump on ``[(number - 1) / parts, (number + 1) / parts]``, parts even, shape ``(n,)``."""
        half = 1.0 / parts
        if self.order == 2:
            return self._hat(number, parts)
        scaled = self.order * number
        piece = scaled // parts
        s = (scaled - piece * parts) / float(parts)
        top = min(self.degree, 3)
        taylor = [self._at(j, piece, s) * half**j for j in range(top)]
        if self.degree > 3:
            taylor.append(self._at(top, piece, s) * half**top)
            error = np.full(len(s), self.fourth * half**4)
        else:
            first = self.order * (number - 1) // parts
            last = np.minimum((self.order * (number + 1) - 1) // parts, self.order - 1)
            taylor.append(self.middle[first, last] * half**top)
            error = self.spread[first, last] * half**top
        a, b, c = taylor[:3]
        if top == 3:
            b = b + 0.75 * taylor[3]
            error = error + 0.25 * np.abs(taylor[3])
        return self._by_height(a, b, c, error)

    def _by_height(self, a: Array, b: Array, c: Array, error: Array) -> Factor:
        """The factor, or the bump as 1/2 give or take 1/2 where that is better."""
        rough = error > 0.5
        if rough.any():
            a, b, c, error = (
                np.where(rough, 0.5, a),
                np.where(rough, 0.0, b),
                np.where(rough, 0.0, c),
                error.clip(0, 0.5),
            )
        return a, b, c, error

    def _hat(self, number: Whole, parts: int) -> Factor:
        """The model of a hat: affine unless the part has the peak in its middle."""
        side = 2.0 / parts
        place = (number - parts // 2) * side
        a, b = 1.0 - np.abs(place), -np.copysign(side, place)
        if parts // 2 % 2 == 0 and parts > 2:
            return a, b, None, None
        bent = place == 0.0
        wide = np.where(bent, side / 8.0, 0.0)
        return a - wide, np.where(bent, 0.0, b), np.where(bent, -side, 0.0), wide

    def _at(self, times: int, piece: Whole, s: Array) -> Array:
        """A derivative over its factorial, by Horner's rule on the pieces."""
        table = self.tables[times]
        value = table[piece, -1]
        for column in range(table.shape[1] - 2, -1, -1):
            value = value * s + table[piece, column]
        result: Array = value
        return result

    def slope(self, u: Array) -> Array:
        """First derivative at fractions of a cell."""
        scaled = self.order * u
        piece = np.minimum(scaled.astype(np.int64), self.order - 1)
        return self._at(1, piece, scaled - piece)
