r"""Proven models of functions with one singular point on dyadic cells.

*Away from the point*: the cubic Taylor polynomial at the centre, with a bound on the fourth derivative over the cell;
``t^3`` becomes ``3/4 t``, which is off by 1/4 at most. *Near it*, powers are convex (exponent above 1) or concave on
either side: they lie between the chord and its largest distance from them, bounded by one tangent. *Across it*, for
exponents below 1, the range is taken. As ``|x|^r`` scales, each of these leaves ``O(h^r)`` there.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators.base import ROUND_UP, Floats
from approxrates.generators.models import cell_centres, checked_cells
from approxrates.generators.tensor import Factor, product
from approxrates.taylor import UNIT, TaylorModel, n_terms

_UNITS = 64.0 * UNIT
"""Relative error of a power of a difference times a few factors: 4 units for the difference, 8 for the power, two for
each factor, of which there are at most eight; the rest is to spare."""


_TINY = 1e-300  # covers what underflows


def economised(value: Floats, first: Floats, second: Floats, third: Floats, fourth: Floats) -> tuple[Floats, ...]:
    """``value + first t + second t^2 + third t^3`` up to ``fourth``: the polynomial of degree two, and its error."""
    return value, first + 0.75 * third, second, 0.25 * np.abs(third) + fourth


def better(one: tuple[Floats, ...], other: tuple[Floats, ...]) -> tuple[Floats, ...]:
    """Of two models the one with the smaller error, cell by cell; not one whose error is NaN."""
    left = ~(other[-1] <= one[-1])
    return tuple(np.where(left, a, b) for a, b in zip(one, other, strict=True))


def within(model: TaylorModel, low: Floats, high: Floats) -> TaylorModel:
    """The same where the remainder is small; where it is not, the middle of known ranges ``[low, high]``."""
    half = 0.5 * (high - low) * ROUND_UP + 2 * UNIT * (np.abs(low) + np.abs(high))
    loose = ~(model.remainder <= half)
    terms = np.where(loose, 0.0, model.terms)
    terms[0][loose] = 0.5 * (low + high)[loose]
    return TaylorModel(model.dim, terms, np.where(loose, half, model.remainder))


def _binomials(r: float) -> list[float]:
    """``r (r - 1) ... (r - k + 1) / k!`` for ``k <= 4``."""
    return [math.prod((r - i for i in range(k)), start=1.0) / math.factorial(k) for k in range(5)]


@dataclass(frozen=True)
class PowerModel:
    """The enclosure of ``|x - c (1, ..., 1)|^r`` or ``max(x - c, 0)^r``, ``0 < r < 4`` and not an integer."""

    exponent: float
    centre: float
    one_sided: bool
    dim: int

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the dyadic cells of a level, given as whole numbers of shape ``(n, dim)``."""
        centres, half = cell_centres(int(level), checked_cells(2, self.dim, level, index))
        with np.errstate(all="ignore"):
            if self.dim > 1:
                return self._distance(centres, half)
            *terms, error = better(self._near(centres[:, 0], half), self._far(centres[:, 0], half))
        return TaylorModel(1, np.stack(terms), error * ROUND_UP + _TINY)

    def _far(self, centres: Floats, half: float) -> tuple[Floats, ...]:
        """Taylor's formula on cells that do not hold the singular point, no bound on others."""
        r, away = self.exponent, centres - self.centre
        size, ratio = np.abs(away), half / np.abs(away)
        # What is left of the distance at the near end of the cell, rounding counted.
        left = np.where(size > half, np.maximum(1.0 - ratio - 8 * UNIT, 0.0), np.nan)
        c = [b * size**r * ratio**k for k, b in enumerate(_binomials(r))]
        sign = np.sign(away)
        *terms, error = economised(c[0], sign * c[1], c[2], sign * c[3], np.abs(c[4]) * left ** (r - 4.0))
        error = error + _UNITS * sum(map(np.abs, c[:4]))
        if self.one_sided:
            empty = sign < 0.0
            terms, error = [np.where(empty, 0.0, t) for t in terms], np.where(empty, 0.0 * left, error)
        return (*terms, error)

    def _value(self, z: Floats) -> Floats:
        """The function of the signed distance."""
        return np.asarray((np.maximum(z, 0.0) if self.one_sided else np.abs(z)) ** self.exponent)

    def _near(self, centres: Floats, half: float) -> tuple[Floats, ...]:
        """The chord, moved by half of the largest distance from it; or the range where the function is neither bend."""
        r = self.exponent
        low, high = centres - half - self.centre, centres + half - self.centre
        f_low, f_high = self._value(low), self._value(high)
        rise = f_high - f_low
        slope, bend = rise / (2.0 * half), 1.0 if r > 1.0 else -1.0
        place = np.sign(slope) * (np.abs(slope) / r) ** (1.0 / (r - 1.0))
        place = np.clip(place, low, high)
        inside = np.maximum(place, 0.0) if self.one_sided else place
        derivative = r * np.sign(inside) * np.abs(inside) ** (r - 1.0)
        off = bend * (f_low + slope * (place - low) - self._value(place))
        sizes = f_low + f_high + 2.0 * half * np.abs(derivative)
        # The distance is concave: it lies below its tangent at any place.
        off = np.maximum(off, 0.0) + 2.0 * half * np.abs(slope - derivative) + _UNITS * sizes
        middle = 0.5 * (f_low + f_high)
        zero = np.zeros_like(middle)
        chord = middle - 0.5 * bend * off, 0.5 * rise, zero, 0.5 * off + _UNITS * sizes
        if r > 1.0:
            return chord
        across = (low < 0.0) & (high > 0.0)
        most = 0.5 * np.maximum(f_low, f_high)
        crossed = (most, zero, zero, most * (1.0 + _UNITS))
        chord = (*chord[:3], np.where(across, np.nan, chord[3]))
        return better(crossed, chord)

    def _distance(self, centres: Floats, half: float) -> TaylorModel:
        r"""In more variables: the Taylor polynomial of degree two, or the range.

        With ``rho = |x - c|`` the third derivative in a direction at the angle ``arccos a`` from ``x - c`` is
        ``r (r - 2) rho^(r-3) (3 a + (r - 4) a^3)``; the bracket is largest at ``a^2 = 1 / (4 - r)`` or at 1.
        """
        r, d = self.exponent, self.dim
        away = centres - self.centre
        rho = np.sqrt((away**2).sum(axis=1))
        unit, (rows, columns) = half * away.T / rho, np.triu_indices(d)
        terms = np.concatenate([np.ones((1, len(rho))), r * unit / rho, r * (r - 2.0) * unit[rows] * unit[columns]])
        terms[1 + d :] /= rho**2
        squares = 1 + d + np.flatnonzero(rows == columns)
        terms[squares] = 0.5 * (terms[squares] + r * (half / rho) ** 2)
        sizes = rho**r * (np.abs(terms).sum(axis=0) + r * d * (half / rho) ** 2)
        size = np.abs(away)
        near, far = np.maximum(size * (1.0 - 4 * UNIT) - half, 0.0), size * (1.0 + 4 * UNIT) + half
        low, high = (np.sqrt((reach**2).sum(axis=1)) for reach in (near, far))
        bracket = max(abs(r - 1.0), 2.0 / math.sqrt(4.0 - r) if r <= 3.0 else 0.0)
        third = abs(r * (r - 2.0)) * bracket * (low if r < 3.0 else high) ** (r - 3.0)
        slack = (64.0 + 4.0 * d) * UNIT
        lost = ROUND_UP * third * (math.sqrt(d) * half) ** 3 / 6.0 + slack * sizes
        return within(TaylorModel(d, rho**r * terms, lost), low**r * (1.0 - slack), high**r * (1.0 + slack))


@dataclass(frozen=True)
class CornerModel:
    r"""The enclosure of ``Im z^r`` on cells of the unit square, ``0 < r < 4``.

    On a cell of centre w and half width h, ``z = w + h (t_0 + i t_1)``: the Taylor polynomial of degree two, off by
    ``|binom(r, 3)| (sqrt(2) h)^3`` times the largest ``|z|^(r-3)``, at the corner next to the origin or opposite to it.
    On the whole cell ``|z^r|`` is at most its value at the far corner, and the function not negative if ``r <= 2``.
    """

    exponent: float

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the dyadic cells of a level, given as whole numbers of shape ``(n, 2)``."""
        r = self.exponent
        centres, half = cell_centres(int(level), checked_cells(2, 2, level, index))
        distance, angle = np.hypot(*centres.T), np.arctan2(centres[:, 1], centres[:, 0])
        near, far = np.hypot(*(centres - half).T), np.hypot(*(centres + half).T)
        terms, sizes = np.zeros((6, len(centres))), np.zeros(len(centres))
        for k, factor in enumerate(_binomials(r)[:3]):
            size = factor * distance ** (r - k) * half**k
            real, imaginary = size * np.cos((r - k) * angle), size * np.sin((r - k) * angle)
            sizes += 2.0 ** (k / 2.0) * np.abs(size)
            # Im of (real + i imaginary) (t_0 + i t_1)^k
            if k == 0:
                terms[0] = imaginary
            elif k == 1:
                terms[1], terms[2] = imaginary, real
            else:
                terms[3], terms[4], terms[5] = imaginary, 2.0 * real, -imaginary
        with np.errstate(all="ignore"):
            bent = np.where(near > 0.0, near, 0.0) ** (r - 3.0) if r < 3.0 else far ** (r - 3.0)
        lost = abs(_binomials(r)[3]) * (math.sqrt(2.0) * half) ** 3 * bent * ROUND_UP
        # Angles up to 2 pi good to 9 units, sines to 8, distances and powers to 40, three products: 128 units.
        model = TaylorModel(2, terms, lost + 128.0 * 2.0 * UNIT * sizes)
        most = far**r * ROUND_UP
        return within(model, np.zeros_like(most) if r <= 2.0 else -most, most)


@functools.lru_cache(maxsize=64)
def _flat_polynomials(power: float) -> tuple[tuple[float, ...], ...]:
    """``Q_k`` with ``x^k D^k exp(-u) = Q_k(u) exp(-u)``, ``u = x^-power``, for ``k <= 4``, lowest coefficient first.

    ``x D`` maps ``Q exp(-u)`` to ``power u (Q - Q') exp(-u)``, and ``x^(k+1) D^(k+1) = (x D - k) x^k D^k``.
    """
    p = Fraction(power)
    rows = [[Fraction(1)]]
    for k in range(4):
        q = [*rows[-1], Fraction(0)]
        rows.append([(p * q[i - 1] if i else 0) - (p * i + k) * q[i] for i in range(len(q))])
    return tuple(tuple(float(c) for c in row) for row in rows)


@dataclass(frozen=True)
class FlatModel:
    """The enclosure of ``prod_i exp(-x_i^-power)``: a product of one model per coordinate."""

    power: float
    dim: int

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the dyadic cells of a level, given as whole numbers of shape ``(n, dim)``."""
        centres, half = cell_centres(int(level), checked_cells(2, self.dim, level, index))
        terms, lost = product([self._factor(column, half) for column in centres.T])
        assert terms.shape[0] == n_terms(self.dim)
        assert lost is not None
        rounding = 8.0 * self.dim * UNIT * np.abs(terms).sum(axis=0) + _TINY
        return within(TaylorModel(self.dim, terms, (lost + rounding) * ROUND_UP), *self._range(centres, half))

    def _values(self, x: Floats) -> Floats:
        """The factor, 0 at 0."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(np.exp(-(x**-self.power)))

    def _range(self, centres: Floats, half: float) -> tuple[Floats, Floats]:
        """Values at the corners: the function rises in every coordinate."""
        low, high = (self._ends(centres, reach).prod(axis=1) for reach in (-half, half))
        return low * (1.0 - self.dim * 1e-12), np.minimum(high * (1.0 + self.dim * 1e-12) + _TINY, 1.0)

    def _ends(self, centres: Floats, reach: float) -> Floats:
        """Bounds of the factors at one end of the cells: ``exp(-u)`` is tiny, or u at most 700 and good to 8 units."""
        values = self._values(centres + reach)
        return np.asarray(
            np.where(values > _TINY, values * (1.0 - 1e-12), 0.0) if reach < 0 else values * (1.0 + 1e-12) + _TINY
        )

    def _factor(self, x: Floats, half: float) -> Factor:
        """Taylor's formula for one coordinate, or the range."""
        low, high = self._ends(x, -half), np.minimum(self._ends(x, half), 1.0)
        middle, reach = 0.5 * (low + high), 0.5 * (high - low) * ROUND_UP + 4 * UNIT * high
        zero = np.zeros_like(middle)
        with np.errstate(all="ignore"):
            u, ratio = x**-self.power, half / x
            rows = _flat_polynomials(self.power)
            c, sizes = [], np.zeros_like(u)
            for k, row in enumerate(rows[:4]):
                parts = [a * u**i * np.exp(-u) * ratio**k / math.factorial(k) for i, a in enumerate(row)]
                c.append(np.asarray(sum(parts)))
                sizes += sum(map(np.abs, parts))
            fourth = sum((abs(a) * self._most(i + 4.0 / self.power, x, half) for i, a in enumerate(rows[4])), zero)
            *terms, error = economised(c[0], c[1], c[2], c[3], fourth * half**4 / 24.0)
            error = error + (10.0 * u + 96.0) * UNIT * sizes
        a, b, square, e = better((middle, zero, zero, reach), (*terms, np.where(u < 600.0, error, np.nan)))
        return a, b, square, e

    def _most(self, exponent: float, x: Floats, half: float) -> Floats:
        """Largest ``u^exponent exp(-u)`` over cells, bounded: it rises in u up to the exponent, then falls."""
        most, least = (x - half) ** -self.power, (x + half) ** -self.power
        u = np.clip(exponent, least * (1.0 - 1e-12), most * (1.0 + 1e-12))
        return np.asarray(u**exponent * np.exp(-u) * (1.0 + 1e-9))
