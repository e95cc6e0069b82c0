"""How a number passes through a layer: as one, two or three units from which the next layer reads it off.

A deep network of fixed width must hand on its input and a running sum. What that takes depends on the activation:

- a straight piece of the activation: one unit, exact;
- a quadratic piece: two units, ``s(c + pt) - s(c - pt)`` is linear in ``t``;
- a cubic piece: three units, a second difference is linear; two, if two pieces of different kind have cubes that cancel
  and slopes that do not (the cubic B-spline has, the cube of the rectifier has not);
- smooth activations: one unit with a small slope at the steepest point, where the curvature vanishes: what is handed on
  is ``t + O(p^2 t^3)``.

Formulas follow from the pieces of the activation, so they hold for registered activations too.
"""

from __future__ import annotations

import dataclasses
import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from approxrates.activations import Activation
from approxrates.training.starts.base import F64

BENDS = (3e-2, 3e-3, 3e-4, 3e-5)
"""Relative cubic errors of one inexact carry at ``|t| = 1``, tried in turn. Steep carriers are trained more easily,
gentle ones hand on what they should."""

_MARGIN = 0.05
_SLOPE = 0.5  # of carriers on unbounded pieces: x in [0, 1] is then handed on as x + margin
Interval = tuple[float, float]


@dataclass(frozen=True)
class Carry:
    """``t`` is about ``constant + sum readout_i s(slopes_i t + offsets_i)`` for ``-1 <= t <= 1``.

    Attributes:
        slopes: Shape ``(m,)``.
        offsets: Shape ``(m,)``.
        readout: Shape ``(m,)``.
        constant: Added to what is read off.
        exact: Whether the formula is exact, but for rounding.
    """

    slopes: F64
    offsets: F64
    readout: F64
    constant: float
    exact: bool = True

    @property
    def n_units(self) -> int:
        """Units that carry one number."""
        return len(self.slopes)


def carry_of(activation: Activation, bend: float = BENDS[0]) -> Carry | None:
    """The carry with the fewest units, or None for an activation that cannot hand on a number."""
    if activation.parts or not activation.trainable:
        return None
    if activation.pieces is None:
        return _steepest(activation, bend)
    pieces = list(zip(_intervals(activation), activation.pieces, strict=True))
    found = [c for make in (_straight, _mirrored) for interval, p in pieces if (c := make(interval, p)) is not None]
    found += _two_cubes(pieces) or [c for interval, p in pieces if (c := _second_difference(interval, p)) is not None]
    # The largest slope of what is read off, for given size of the units, is the least sensitive.
    best = min(found, key=lambda c: (c.n_units, float(np.abs(c.readout).max())), default=None)
    return None if best is None else _centred(activation, best)


def _intervals(activation: Activation) -> list[Interval]:
    """Where each piece of the activation holds."""
    marks = list(activation.breakpoints)
    if activation.period is not None:
        return list(itertools.pairwise([*marks, marks[0] + activation.period]))
    return list(itertools.pairwise([-math.inf, *marks, math.inf]))


def _centred(activation: Activation, carry: Carry) -> Carry:
    """The carry with the constant that reads zero as zero."""
    at_zero = float(carry.readout @ activation(carry.offsets))
    return dataclasses.replace(carry, constant=-at_zero)


def _coefficients(piece: Sequence[Fraction], degree: int) -> list[float] | None:
    """Coefficients of a piece of exactly this degree, constant first, else None."""
    row = [float(c) for c in piece]
    while row and row[-1] == 0.0:
        row.pop()
    return row if len(row) == degree + 1 else None


def _placed(interval: Interval, reach: float) -> tuple[float, float]:
    """A centre and a slope ``p`` so that ``centre + p [-reach, reach]`` stays off the ends of the interval."""
    low, high = interval
    if math.isinf(low) and math.isinf(high):
        return 0.0, _SLOPE
    if math.isinf(high):
        return low + _SLOPE * reach + _MARGIN, _SLOPE
    if math.isinf(low):
        return high - _SLOPE * reach - _MARGIN, _SLOPE
    return (low + high) / 2, (1 - 2 * _MARGIN) * (high - low) / (2 * reach)


def _straight(interval: Interval, piece: Sequence[Fraction]) -> Carry | None:
    """One unit on a straight piece."""
    row = _coefficients(piece, 1)
    if row is None:
        return None
    centre, p = _placed(interval, 1.0)
    return Carry(np.array([p]), np.array([centre]), np.array([1.0 / (row[1] * p)]), 0.0)


def _mirrored(interval: Interval, piece: Sequence[Fraction]) -> Carry | None:
    """Two units on a quadratic piece ``a (z - v)^2 + ...``: the difference is ``4 a (c - v) p t``."""
    row = _coefficients(piece, 2)
    if row is None:
        return None
    vertex = -row[1] / (2 * row[2])
    centre, p = _placed(interval, 1.0)
    if all(map(math.isfinite, interval)):
        centres = np.linspace(*interval, 41)[1:-1]
        rooms = (1 - 2 * _MARGIN) * np.minimum(centres - interval[0], interval[1] - centres)
        best = int(np.argmax(np.abs(centres - vertex) * rooms))
        centre, p = float(centres[best]), float(rooms[best])
    slope = 4 * row[2] * (centre - vertex) * p
    return Carry(np.array([p, -p]), np.array([centre, centre]), np.array([1.0, -1.0]) / slope, 0.0)


def _second_difference(interval: Interval, piece: Sequence[Fraction]) -> Carry | None:
    """Three units on a cubic piece: ``s(z + h) - 2 s(z) + s(z - h)`` is ``h^2 s''(z)``, linear in ``z``."""
    row = _coefficients(piece, 3)
    if row is None:
        return None
    centre, p = _placed(interval, 2.0)
    weights = np.array([1.0, -2.0, 1.0]) / (p**3 * 6 * row[3])
    return Carry(np.full(3, p), centre + p * np.array([-1.0, 0.0, 1.0]), weights, 0.0)


def _two_cubes(pieces: Sequence[tuple[Interval, Sequence[Fraction]]]) -> list[Carry]:
    """Two units on two cubic pieces ``a y^3 + b y + c`` with ``y = z - u``: cubes cancel, slopes remain."""
    cubes = []
    for (low, high), piece in pieces:
        if (row := _coefficients(piece, 3)) is not None:
            u = -row[2] / (3 * row[3])
            cubes.append((u, row[3], row[1] + 2 * row[2] * u + 3 * row[3] * u * u, low - u, high - u))
    found = []
    for (u, a, b, low, high), (v, c, d, left, right) in itertools.permutations(cubes, 2):
        for ratio in np.concatenate([-np.arange(0.25, 4.05, 0.05), np.arange(0.25, 4.05, 0.05)]):
            weight = -a / (c * ratio**3)
            slope = b + weight * d * ratio
            ends = sorted((left / ratio, right / ratio))
            start, stop = max(low, ends[0]), min(high, ends[1])
            if abs(slope) < 1e-9 or not stop - start > 1e-9 or math.isinf(stop - start):
                continue
            middle, p = (start + stop) / 2, (1 - 2 * _MARGIN) * (stop - start) / 2
            offsets = np.array([u + middle, v + ratio * middle])
            found.append(Carry(np.array([p, ratio * p]), offsets, np.array([1.0, weight]) / (slope * p), 0.0))
    return found


def _steepest(activation: Activation, bend: float) -> Carry | None:
    """One unit at the steepest point, with a slope that keeps the cubic term small."""
    reach = max(4.0, activation.period or 0.0)
    points = np.linspace(-reach, reach, 4001)
    steepness = np.abs(activation.derivative(points))
    tops = np.flatnonzero(steepness >= steepness.max() * (1 - 1e-4))
    place = int(tops[np.argmin(np.abs(points[tops]))])
    if not 0 < place < len(points) - 1:
        return None
    centre = _refined(activation, points[place - 1], points[place + 1])
    slope, h = float(activation.derivative(np.array(centre))), 1e-3 * reach / 4
    sides = activation.derivative(np.array([centre - h, centre + h]))
    third = abs(float(sides.sum() - 2 * slope)) / h**2
    p = math.sqrt(6 * bend * abs(slope) / third)
    value = float(activation(np.array(centre)))
    return Carry(np.array([p]), np.array([centre]), np.array([1 / (slope * p)]), -value / (slope * p), exact=False)


def _refined(activation: Activation, low: float, high: float) -> float:
    """Where the derivative is steepest within the interval, by golden section."""
    ratio = (math.sqrt(5.0) - 1.0) / 2
    for _ in range(60):
        a, b = high - ratio * (high - low), low + ratio * (high - low)
        first, second = np.abs(activation.derivative(np.array([a, b])))
        low, high = (low, b) if first >= second else (a, high)
    centre = (low + high) / 2
    return 0.0 if abs(centre) < 1e-6 else centre
