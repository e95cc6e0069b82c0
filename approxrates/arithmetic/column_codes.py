"""Activations on integer columns: continuous piecewise linear functions with dyadic pieces, and ``sin(2 pi t)``."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.arithmetic.bigints import SHORT, Integers, bits, extremes, objects
from approxrates.arithmetic.uppers import SINES
from approxrates.layers import IDENTITY, Dyadic, dyadic


@dataclass(frozen=True)
class Pieces:
    """A continuous piecewise linear function ``slope_k t + intercept_k``, piece ``k`` right of break-point ``k - 1``.

    Attributes:
        marks: Break-points, ascending.
        slopes: One more than there are break-points; with a period as many.
        intercepts: As many.
        period: The period, or None; the first break-point then starts it.
        drift: What is gained over a period.
        finer: Binary places that values need beyond those of the argument.
        places: Binary places that the argument needs at least.
    """

    marks: tuple[Dyadic, ...]
    slopes: tuple[Dyadic, ...]
    intercepts: tuple[Dyadic, ...]
    period: Dyadic | None
    drift: Dyadic
    finer: int
    places: int


def is_supported(code: str) -> bool:
    """Whether columns can evaluate this activation."""
    if code in SINES or code in (IDENTITY, "relu"):
        return True
    try:
        return pieces(code) is not None
    except ValueError:  # pieces that are not dyadic
        return False


@lru_cache(maxsize=256)
def pieces(code: str) -> Pieces | None:
    """The pieces of a continuous piecewise linear activation; None for any other.

    Raises:
        ValueError: If a piece is not dyadic.
    """
    found = activations.get(code)
    if found.pieces is None or not found.piecewise_linear:
        return None
    rows = [(*row, *(0,) * (2 - len(row))) for row in found.pieces]
    marks = tuple(dyadic(mark) for mark in found.breakpoints)
    slopes, intercepts = tuple(dyadic(row[1]) for row in rows), tuple(dyadic(row[0]) for row in rows)
    period = None if found.period is None else dyadic(found.period)
    ends = (*marks, *intercepts, dyadic(found.drift), *(() if period is None else (period,)))
    finer = max(0, *(-slope.exponent for slope in slopes))
    places = max(0, *(-end.exponent for end in ends))
    return Pieces(marks, slopes, intercepts, period, dyadic(found.drift), finer, places)


def straight(function: Pieces, values: Integers, exponent: int) -> tuple[Integers, int]:
    """The function at ``values * 2**-exponent``: integers and their exponent, without rounding."""
    if exponent < function.places:
        values, exponent = objects(values) << (function.places - exponent), function.places
    after = exponent + function.finer
    marks = [_places(mark, exponent) for mark in function.marks]
    slopes = [_places(slope, function.finer) for slope in function.slopes]
    intercepts = [_places(intercept, after) for intercept in function.intercepts]
    low, high = extremes(values)
    longest = max(bits(low, high), *(n.bit_length() for n in marks)) + max(n.bit_length() for n in slopes)
    if function.period is not None or max(longest, *(n.bit_length() for n in intercepts)) + 1 > SHORT:
        values = objects(values)
    turns: Integers | None = None
    if function.period is not None:
        length = _places(function.period, exponent)
        turns = (values - marks[0]) // length
        values = values - turns * length
    kind = values.dtype
    piece = np.searchsorted(np.array(marks, dtype=kind), values, side="right") - (turns is not None)
    result = np.array(slopes, dtype=kind)[piece] * values + np.array(intercepts, dtype=kind)[piece]
    if turns is not None and function.drift:
        result = result + turns * _places(function.drift, after)
    return result, after


def _places(number: Dyadic, exponent: int) -> int:
    """``number * 2**exponent``, an integer by choice of the exponent."""
    return number.mantissa << (number.exponent + exponent)


def sine(values: Integers, exponent: int, places: int) -> Integers:
    """``sin(2 pi t)`` at ``t = values * 2**-exponent``, times ``2**places``, off by less than 1.

    The argument is reduced to one period exactly, in integers; flint encloses the sine in a ball.
    """
    from flint import arb, ctx, fmpz

    if exponent <= 0:
        return np.zeros(len(values), dtype=np.int64)
    mask, scale = (1 << exponent) - 1, fmpz(1 << places)
    cut = max(0, exponent - places - 16)  # moves the sine by less than 2 pi 2^-16 units
    size = fmpz(1) << (exponent - cut - 1)
    found = np.empty(len(values), dtype=object)
    half = arb(0.5)
    before = ctx.prec
    try:
        ctx.prec = places + 32
        for k, value in enumerate(values):
            wave = (arb(fmpz((int(value) & mask) >> cut)) / size).sin_pi() * scale
            nearest = (wave.mid() + half).floor().unique_fmpz()
            assert nearest is not None
            found[k] = int(nearest)
    finally:
        ctx.prec = before
    return found


def sides(below: list[int], above: list[int], values: Integers, slack: int) -> NDArray[np.int32]:
    """On which side of break-points values lie: twice the number passed, odd if on one or too near to tell.

    Args:
        below: For each break-point the largest integer below it, ascending.
        above: For each break-point the least integer above it, ascending.
        values: Integers.
        slack: How far a value may be from the exact one.
    """
    limit = 1 << SHORT

    def passed(ends: list[int], side: Literal["left", "right"]) -> NDArray[np.intp]:
        if values.dtype != object:
            return np.searchsorted(np.array([max(-limit, min(limit, e)) for e in ends], np.int64), values, side=side)
        return np.searchsorted(np.array([*ends, None], dtype=object)[:-1], values, side=side)

    surely = passed([end + slack for end in above], "right")
    perhaps = passed([end - slack for end in below], "left")
    return (2 * surely + (perhaps > surely)).astype(np.int32)
