r"""Proven models of cosines on b-adic cells, one coordinate at a time.

``cos(alpha + theta t) = cos(alpha) cos(theta t) - sin(alpha) sin(theta t)``, and for ``|t| <= 1`` (Jacobi & Anger)

    cos(theta t) = J_0 + 2 sum_k (-1)^k J_2k T_2k(t),      sin(theta t) = 2 sum_k (-1)^k J_2k+1 T_2k+1(t),

Bessel functions at theta, Chebyshev polynomials of t. What is beyond degree two is at most ``2 (J_4 + J_6 + ...)`` and
``2 (J_3 + J_5 + ...)`` for ``theta <= pi``, where all of these are positive: a quarter and an eighth of what Taylor's
formula leaves out, and below 1 up to a whole turn.
"""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Protocol

import numpy as np

from approxrates.generators.base import ROUND_UP, Floats
from approxrates.generators.models import Cells, checked_cells
from approxrates.generators.tails import best_quadratic, cosine_bounds, grid_size, tail_bounds
from approxrates.generators.tensor import Factor, product
from approxrates.taylor import UNIT, TaylorModel, n_terms

_CHUNK = 16_384
_ORDERS = 40  # Bessel functions of higher order are below 1e-12 of the fourth for arguments up to pi
ANGLE_UNITS = 80.0
"""Error of the coefficients of a factor, in units of ``2**-53`` times their sum: 5 pi for the angle in turns, 2 pi for
its scaling and for theta each, 8 for a sine or cosine (see :mod:`~approxrates.generators.rounding`), 40 for the Bessel
functions."""


def _bessel(order: int, theta: float) -> float:
    """``J_order(theta)`` for ``0 <= theta <= pi``, by its series, whose terms decrease from the third on."""
    half = 0.5 * theta
    term = math.prod((half / k for k in range(1, order + 1)), start=1.0)
    terms = [term]
    for k in range(1, 40):
        term *= -half * half / (k * (k + order))
        terms.append(term)
    return math.fsum(terms)


@functools.lru_cache(maxsize=512)
def _coefficients(theta: float) -> tuple[float, float, float, float, float]:
    """``(A, B, S, E, F)``: ``cos(theta t) = A + B t^2`` up to E, and ``sin(theta t) = S t`` up to F."""
    bessel = [_bessel(n, theta) for n in range(_ORDERS)]
    even, odd = 2.0 * math.fsum(bessel[4::2]), 2.0 * math.fsum(bessel[3::2])
    return bessel[0] + 2.0 * bessel[2], -4.0 * bessel[2], 2.0 * bessel[1], ROUND_UP * even, ROUND_UP * odd


def wave(turns: Floats, theta: float) -> Factor:
    """Model of ``cos(2 pi turns + theta t)`` for centres in turns between -1 and 2, shape ``(n,)``; ``theta <= pi``."""
    angle = 2.0 * math.pi * (turns - np.rint(turns))
    cosine, sine = np.cos(angle), np.sin(angle)
    constant, square, slope, even, odd = _coefficients(theta)
    return cosine * constant, -slope * sine, cosine * square, np.abs(cosine) * even + np.abs(sine) * odd


def wave_size(theta: float) -> float:
    """Bound on ``|a| + |b| + |c| + e`` of such a factor."""
    return math.fsum(map(abs, _coefficients(theta)))


def wave_units(theta: float, dim: int) -> float:
    """Rounding of a product of ``dim`` such factors, all coefficients together, in units of ``2**-53``."""
    size = wave_size(theta)
    return dim * ANGLE_UNITS * size**dim + (dim + 3) * size**dim


class Cosines(Protocol):
    """The sum of ``amplitudes[n] prod_i cos(2 pi (base^n x_i + phases[n][i]))``."""

    @property
    def base(self) -> int:
        """The b."""

    @property
    def dim(self) -> int:
        """Number of coordinates."""

    @property
    def amplitudes(self) -> tuple[Fraction, ...]:
        """Height of each term."""

    @property
    def phases(self) -> tuple[tuple[Fraction, ...], ...]:
        """Phases in turns, multiples of ``2^-53`` in ``[0, 1)``."""


@dataclass(frozen=True)
class CosineModel:
    r"""The enclosure of a sum of cosines: terms of at most one turn on a cell by :func:`wave`, the finer ones together.

    In d = 1 the terms ``n >= L`` repeat on every cell of level L: they are one function, known by its phases, and one
    quadratic polynomial with its distance serves all cells. In d > 1 the terms ``n > L`` are at most
    ``sum_n a_n prod_i |cos_ni| <= prod_i (sum_n a_n |cos_ni|^d)^(1/d)`` (Hölder), each factor by its supremum. Both by
    :mod:`~approxrates.generators.tails`.
    """

    total: Cosines

    @functools.cached_property
    def heights(self) -> list[float]:
        """Amplitudes in float64."""
        return [float(a) for a in self.total.amplitudes]

    def _profiles(self, axis: int) -> list[tuple[Floats, Floats]]:
        """Bounds on the cosines of one coordinate on the grid, for each term."""
        side = grid_size(self.total.base)
        return [cosine_bounds(float(shifts[axis]), side) for shifts in self.total.phases]

    @functools.cached_property
    def below(self) -> list[float]:
        """Bound on the terms ``n >= L`` in d > 1, for each L and beyond the last."""
        d, result = self.total.dim, np.ones(len(self.heights) + 1)
        for axis in range(d):
            sizes = [np.maximum(np.abs(high), np.abs(low)) ** d for high, low in self._profiles(axis)]
            tails = tail_bounds(self.total.base, self.heights, [(size, size) for size in sizes])
            result *= np.array([float(high.max()) for high, _ in tails]) ** (1.0 / d)
        return [float(bound) * ROUND_UP for bound in result]

    @functools.cached_property
    def fine(self) -> list[tuple[float, float, float, float]]:
        """``(a, b, c, e)``: the terms ``n >= L`` in d = 1 are ``a + b t + c t^2`` up to e, for each L."""
        tails = tail_bounds(self.total.base, self.heights, self._profiles(0))
        return [best_quadratic(high, low) for high, low in tails[:-1]]

    def _coarsest_left(self, level: int) -> int:
        """How many terms are modelled one by one."""
        return min(level if self.total.dim == 1 else level + 1, len(self.heights))

    def rounding(self, level: int) -> float:
        """Bound on the errors of all coefficients on a cell of a level, and of their sum from fine to coarse."""
        d, b = self.total.dim, self.total.base
        thetas = ((k, math.pi * float(b) ** (k - level)) for k in range(self._coarsest_left(level)))
        units = [self.heights[k] * (wave_units(theta, d) + (k + 4) * wave_size(theta) ** d) for k, theta in thetas]
        if d == 1 and level < len(self.heights):
            units.append((level + 4) * math.fsum(map(abs, self.fine[level])))
        return 1.01 * UNIT * math.fsum(units)

    def __call__(self, level: int, index: Any) -> TaylorModel:
        """Model on the cells of a level, given as whole numbers of shape ``(n, dim)``."""
        d = self.total.dim
        numbers, level = checked_cells(self.total.base, d, level, index), int(level)
        terms, remainder = np.zeros((n_terms(d), len(numbers))), np.zeros(len(numbers))
        if d > 1:
            remainder += self.below[min(level + 1, len(self.heights))]
        elif level < len(self.heights):
            *coefficients, error = self.fine[level]
            terms += np.array(coefficients)[:, None]
            remainder += error
        for start in range(0, len(numbers), _CHUNK):
            rows = slice(start, start + _CHUNK)
            columns = [np.ascontiguousarray(column) for column in numbers[rows].T]
            self._add_coarse(level, columns, terms[:, rows], remainder[rows])
        return TaylorModel(d, terms, (remainder + self.rounding(level)) * ROUND_UP)

    def _add_coarse(self, level: int, columns: list[Cells], terms: Floats, remainder: Floats) -> None:
        """Add the terms that are modelled one by one, rounding not counted."""
        for k in range(self._coarsest_left(level) - 1, -1, -1):
            width = self.total.base ** (level - k)
            theta = math.pi / width
            factors = [
                wave((2 * (j % width) + 1) / (2.0 * width) + float(shift), theta)
                for j, shift in zip(columns, self.total.phases[k], strict=True)
            ]
            added, lost = product(factors)
            assert lost is not None
            rough = lost > 1.0
            if rough.any():
                added[:, rough], lost[rough] = 0.0, 1.0
            terms += self.heights[k] * added
            remainder += self.heights[k] * lost


def cosine_sum_enclosure(total: Cosines) -> CosineModel:
    """The enclosure of a sum of products of cosines: a ``Target.enclosure``."""
    return CosineModel(total)
