r"""Piecewise polynomials as quadratics with proven remainders, across break-points too.

Where a range lies in one piece, the piece itself is expanded. Where it holds break-points:

- *straight pieces*: the chord over the range, moved to the middle of what is above and below it; for relu on
  ``[l, u]`` it has slope ``u / (u - l)`` and the remainder ``-u l / (2 (u - l))``;
- *no kink* (the derivative is continuous): ``f(c) + f'(c) s + (m + M) s^2 / 4`` with remainder ``(M - m) rho^2 / 4``
  where ``f''`` lies in ``[m, M]``;
- *a kink between curved pieces*: the same with ``f'`` and one order less; *a jump*: the same with ``f`` itself.

A periodic function is reduced to one period and written with the periods on either side.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.activations.base import Activation

Array = NDArray[np.float64]
Polynomial = tuple[Fraction, ...]
Index = NDArray[np.integer[Any]]
UNIT = 2.0**-53
_UP = 1.0 + 64 * UNIT


@dataclass(frozen=True, eq=False)
class Expansion:
    """``|f(c + s) - (value + slope s + curvature s^2)| <= remainder`` and ``|f(c + s) - level| <= spread``.

    For all ``|s| <= rho``; arrays of one shape. ``level`` and ``spread`` serve where the range is wide.
    """

    value: Array
    slope: Array
    curvature: Array
    remainder: Array
    level: Array
    spread: Array


def derivative(polynomial: Polynomial) -> Polynomial:
    """The derivative of a polynomial, constant term first."""
    return tuple(k * c for k, c in enumerate(polynomial))[1:] or (Fraction(0),)


def at(polynomial: Polynomial, t: Fraction) -> Fraction:
    """The value of a polynomial."""
    return sum((c * t**k for k, c in enumerate(polynomial)), Fraction(0))


def shifted(polynomial: Polynomial, by: Fraction, lift: Fraction) -> Polynomial:
    """``t -> p(t - by) + lift``."""
    n = len(polynomial)
    moved = [
        sum((polynomial[j] * math.comb(j, k) * (-by) ** (j - k) for j in range(k, n)), Fraction(0)) for k in range(n)
    ]
    return (moved[0] + lift, *moved[1:])


class Pieces:
    """A function on the line made of polynomials, by tables of float64 coefficients."""

    def __init__(self, breaks: list[Fraction], pieces: list[Polynomial]) -> None:
        self.marks = np.array([float(b) for b in breaks])
        self.degree = max(max((k for k, c in enumerate(piece) if c), default=0) for piece in pieces)
        rows = [pieces]
        for _ in range(2):
            rows.append([derivative(piece) for piece in rows[-1]])
        # How many derivatives are continuous: -1 for a jump.
        self.smoothness = -1
        for derived in rows:
            sides = zip(derived, derived[1:], breaks, strict=False)
            if any(at(left, b) != at(right, b) for left, right, b in sides):
                break
            self.smoothness += 1
        self.tables = [np.array([_floats(piece, self.degree) for piece in derived]).T for derived in rows]

    def index(self, z: Array) -> Index:
        """Number of the piece that holds each point."""
        found = np.zeros(z.shape, dtype=np.int8 if len(self.marks) < 127 else np.intp)
        for mark in self.marks:
            found += z >= mark
        return found

    def taylor(self, order: int, index: Index, c: Array, rho: Array) -> tuple[list[Array], Array]:
        """Taylor coefficients at ``c`` of a derivative of the piece numbered, and what rounding does within rho."""
        coefficients = [row.take(index) for row in self.tables[order][: self.degree + 1 - min(order, self.degree)]]
        far, size = np.abs(c) + rho, np.zeros_like(c)
        for row in reversed(coefficients):
            size = size * far + np.abs(row)
        found, n = [], len(coefficients)
        for k in range(n):
            value = coefficients[-1] * float(math.comb(n - 1, k))
            for j in range(n - 2, k - 1, -1):
                value = value * c + coefficients[j] * float(math.comb(j, k))
            found.append(value)
        # Coefficients are rounded once, and every step of Horner's rule rounds twice (Higham 2002, sec. 5.1).
        return found, (4 * n + 4) * UNIT * 2.0**n * size

    def span(self, order: int, lo: Array, hi: Array) -> tuple[Array, Array]:
        """Bounds of a derivative on ``[lo, hi]``: the smallest and largest over the pieces that the range meets."""
        least, most = np.full(lo.shape, np.inf), np.full(lo.shape, -np.inf)
        first, last = self.index(lo), self.index(hi)
        ends = np.concatenate([[-np.inf], self.marks, [np.inf]])
        for piece in range(len(ends) - 1):
            meets = (first <= piece) & (piece <= last)
            if not meets.any():
                continue
            a, b = np.maximum(lo, ends[piece]), np.minimum(hi, ends[piece + 1])
            middle, half = 0.5 * (a + b), 0.5 * (b - a) + 2 * UNIT * (np.abs(a) + np.abs(b))
            terms, rounding = self.taylor(order, np.full(lo.shape, piece, dtype=np.intp), middle, half)
            off = rounding
            for k, term in enumerate(terms[1:], 1):
                off = off + np.abs(term) * half**k
            off = off * _UP
            least = np.where(meets, np.minimum(least, terms[0] - off), least)
            most = np.where(meets, np.maximum(most, terms[0] + off), most)
        return least, most

    def __call__(self, c: Array, rho: Array) -> Expansion:
        """The expansion; see the module."""
        c = np.ascontiguousarray(c)
        wide = np.ascontiguousarray(rho + 4 * UNIT * (np.abs(c) + rho))
        lo, hi = c - wide, c + wide
        here, first, last = self.index(c), self.index(lo), self.index(hi)
        terms, rest = self.taylor(0, here, c, wide)
        for k, term in enumerate(terms[3:], 3):
            rest = rest + np.abs(term) * wide**k
        zero = np.zeros_like(c)
        slope, curvature = (terms[k] if len(terms) > k else zero.copy() for k in (1, 2))
        result = Expansion(terms[0], slope, curvature, rest * _UP, zero.copy(), np.full_like(c, np.inf))
        bent = np.flatnonzero((first != last).ravel())
        if len(bent):
            part = self._across(*(a.ravel()[bent] for a in (c, wide, lo, hi)))
            for whole, some in zip(vars(result).values(), vars(part).values(), strict=True):
                whole.reshape(-1)[bent] = some
        return result

    def _across(self, c: Array, rho: Array, lo: Array, hi: Array) -> Expansion:
        """The expansion on ranges that hold break-points, shape ``(n,)``."""
        least, most = self.span(0, lo, hi)
        level = 0.5 * (least + most)
        spread = (0.5 * (most - least) + 4 * UNIT * (np.abs(least) + np.abs(most))) * _UP
        if self.smoothness < 0:
            return Expansion(level, np.zeros_like(c), np.zeros_like(c), spread, level, spread)
        if self.degree == 1:
            return Expansion(*self._chord(c, lo, hi), level, spread)
        order = 1 + (self.smoothness > 0)
        low, high = self.span(order, lo, hi)
        terms, rounding = self.taylor(0, self.index(c), c, rho)
        middle, half = 0.5 * (low + high), 0.5 * (high - low) + 4 * UNIT * (np.abs(low) + np.abs(high))
        if order == 1:
            rest = (rounding + half * rho) * _UP
            return Expansion(terms[0], middle, np.zeros_like(c), rest, level, spread)
        rest = (rounding + 0.5 * half * rho * rho) * _UP
        return Expansion(terms[0], terms[1], 0.5 * middle, rest, level, spread)

    def _chord(self, c: Array, lo: Array, hi: Array) -> tuple[Array, Array, Array, Array]:
        """Straight pieces: the slope of the chord; what it misses is greatest at an end or a break-point."""
        start, end = (self.taylor(0, self.index(z), z, np.zeros_like(z))[0][0] for z in (lo, hi))
        slope = (end - start) / (hi - lo)
        above = np.maximum(start - slope * (lo - c), end - slope * (hi - c))
        below = np.minimum(start - slope * (lo - c), end - slope * (hi - c))
        size = np.abs(start) + np.abs(end) + np.abs(slope) * (hi - lo)
        intercepts, slopes = self.tables[0]
        for piece, mark in enumerate(self.marks):
            inside = (lo < mark) & (mark < hi)
            bend = intercepts[piece] + slopes[piece] * mark
            off = bend - slope * (mark - c)
            above, below = (
                np.where(inside, np.maximum(above, off), above),
                np.where(inside, np.minimum(below, off), below),
            )
            size = np.where(inside, size + abs(intercepts[piece]) + abs(slopes[piece] * mark), size)
        far = float(np.abs(intercepts).max()) + float(np.abs(slopes).max()) * (np.abs(lo) + np.abs(hi))
        rest = (0.5 * (above - below) + 16 * UNIT * (size + far)) * _UP
        return 0.5 * (above + below), slope, np.zeros_like(c), rest


def _floats(polynomial: Polynomial, degree: int) -> list[float]:
    """Coefficients as floats, filled up with zeros to a degree."""
    row = [float(c) for c in polynomial[: degree + 1]]
    return row + [0.0] * (degree + 1 - len(row))


@dataclass(frozen=True)
class Periodic:
    """A piecewise polynomial that repeats, up to a drift: three periods of it; its range where more are met."""

    pieces: Pieces
    start: float
    period: float
    drift: float

    def __call__(self, c: Array, rho: Array) -> Expansion:
        """The expansion; see the module."""
        turns = np.floor((c - self.start) / self.period)
        inside, off = c - turns * self.period, 8 * UNIT * (np.abs(c) + self.period)
        wide = rho + off
        fits = wide < 0.99 * self.period
        found = self.pieces(inside, np.where(fits, wide, 0.0))
        lift = turns * self.drift
        shift = off * (np.abs(found.slope) + 2.0 * np.abs(found.curvature) * wide) + 4 * UNIT * np.abs(lift)
        rest = (found.remainder + shift + 4 * UNIT * np.abs(found.value)) * _UP
        # A range of n periods or less: the function stays in the range of one period, moved by n drifts up or down.
        edges = np.array([self.start]), np.array([self.start + self.period])
        least, most = (float(v[0]) for v in self.pieces.span(0, *edges))
        many = np.ceil(wide / self.period) + 1.0
        level = 0.5 * (least + most) + lift
        spread = (
            0.5 * (most - least) + many * abs(self.drift) + 8 * UNIT * (np.abs(level) + abs(least) + abs(most))
        ) * _UP
        return Expansion(found.value + lift, found.slope, found.curvature, np.where(fits, rest, np.inf), level, spread)


def pieced(activation: Activation) -> Pieces | Periodic:
    """Expansions of an activation from its break-points and pieces."""
    assert activation.pieces is not None
    breaks, pieces = [Fraction(b) for b in activation.breakpoints], list(activation.pieces)
    if activation.period is None:
        return Pieces(breaks, pieces)
    period, drift = Fraction(activation.period), Fraction(activation.drift)
    marks = [b + n * period for n in (-1, 0, 1) for b in breaks]
    rows = [shifted(piece, n * period, n * drift) for n in (-1, 0, 1) for piece in pieces]
    # Left of the first mark nothing is asked; the last piece of the period before stands there.
    left = shifted(pieces[-1], -2 * period, -2 * drift)
    return Periodic(Pieces(marks, [left, *rows]), float(breaks[0]), float(period), float(drift))
