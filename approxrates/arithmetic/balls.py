r"""Evaluation in ball arithmetic: every activation with a known formula, weights of any length, proven radii.

A ball is a midpoint with a radius; each operation of flint encloses the true result. The precision starts short and is
doubled for those points whose ball is still too wide. Piecewise polynomials are evaluated by the piece in which the
ball lies, or by the union over the pieces that it meets: the true argument lies in one of them, and the polynomial of
that piece encloses its value over the whole ball. So a continuous activation gives a narrow ball everywhere, and one
with a jump gives a wide ball on the jump itself, which no precision narrows: that is refused.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from approxrates import activations
from approxrates.arithmetic.uppers import SINES
from approxrates.layers import IDENTITY, AnyLayer, Dyadic, sparse

if TYPE_CHECKING:
    from flint import arb

_FIRST, _LAST = 128, 1 << 22
"""Bits of the first and of the last precision that is tried."""
Array = NDArray[np.float64]


def evaluate_balls(
    layers: Sequence[AnyLayer],
    points: Sequence[Sequence[Fraction | Dyadic | float]],
    precision: int | None = None,
    *,
    bits: int = 50,
) -> tuple[Array, Array]:
    """Outputs at points with proven radii.

    Args:
        layers: The layers in order. Activations: piecewise polynomials with given pieces, sin, snake, tanh, gelu, silu.
        points: ``n`` points of ``dim`` numbers each: rationals, dyadic numbers, or floats, which are dyadic.
        precision: Bits of the computation; None for as many as it takes.
        bits: How narrow the balls must be when the precision is chosen: radius at most ``2^-bits``, or the last place
            of a float64 number where that is more.

    Returns:
        Midpoints and radii, both float64 of shape ``(n, n_outputs)``; ``|midpoint - exact output| <= radius``.

    Raises:
        ValueError: For an activation without a known formula, weights or points that are not finite, or a point where
            no precision up to four million bits is enough.
    """
    from flint import ctx

    tables = _tables(layers)
    middle, radius = (np.full((len(points), layers[-1].n_out), math.inf) for _ in range(2))
    wanted, places = list(range(len(points))), precision or _FIRST
    before = ctx.prec
    try:
        while wanted:
            ctx.prec = places
            for point in wanted:
                middle[point], radius[point] = _enclose(tables, points[point])
            if precision is not None:
                break
            # A ball that is far too wide may lie anywhere, at infinity too: that is no large value.
            goal = np.maximum(2.0**-bits, 2.0**-52 * np.where(np.isfinite(radius), np.abs(middle), 0.0))
            wanted = [point for point in wanted if not (radius[point] <= goal[point]).all()]
            places *= 2
            if wanted and places > _LAST:
                raise ValueError(
                    f"balls must come down to radius 2^-{bits}. At point {wanted[0]} they do not with {_LAST} bits: it "
                    "lies on a jump, or the network multiplies beyond reach. Write arithmetic='exact', or move it."
                )
    finally:
        ctx.prec = before
    return middle, radius


def _tables(layers: Sequence[AnyLayer]) -> list[list[tuple[list[tuple[int, Any]], Any, Callable[[Any], Any]]]]:
    """Each unit's weights and bias as exact balls, and its activation."""
    from flint import arb

    codes = {code for layer in layers for code in layer.activations}
    functions = {code: _function(code) for code in codes}

    def ball(weight: Dyadic) -> arb:
        return arb((weight.mantissa, weight.exponent))

    tables = []
    for layer in map(sparse, layers):
        rows = [[(source, ball(weight)) for source, weight in row if weight] for row in layer.rows]
        biases = [ball(bias) if bias else None for bias in layer.bias]
        tables.append(list(zip(rows, biases, (functions[code] for code in layer.activations), strict=True)))
    return tables


def _enclose(tables: Any, point: Sequence[Any]) -> tuple[list[float], list[float]]:
    """One point through all layers: midpoints and radii of the outputs."""
    from flint import arb

    values = [_coordinate(number) for number in point]
    for rows in tables:
        after = []
        for sources, bias, function in rows:
            total = arb(0) if bias is None else bias
            for source, weight in sources:
                total += weight * values[source]
            after.append(function(total))
        values = after
    middles, radii = [], []
    for value in values:
        middle = float(value.mid()) if value.is_finite() else math.nan
        error = (value - arb(middle)).abs_upper() if math.isfinite(middle) else arb.pos_inf()
        middles.append(middle)
        radii.append(math.nextafter(float(error), math.inf) if error else 0.0)
    return middles, radii


def _coordinate(number: Any) -> arb:
    """A coordinate as a ball: exact if it is dyadic."""
    from flint import arb, fmpq

    if isinstance(number, Dyadic):
        return arb((number.mantissa, number.exponent))
    if isinstance(number, (float, np.floating)):
        if not math.isfinite(number):
            raise ValueError("points must be finite. Got NaN or infinity. Leave such points out.")
        return arb(float(number))
    exact = Fraction(number)
    return arb(fmpq(exact.numerator, exact.denominator))


def _function(code: str) -> Callable[[Any], Any]:
    """An activation on balls."""
    from flint import arb

    if code == IDENTITY:
        return lambda t: t
    if code == "relu":
        return lambda t: t.max(0)
    if code in SINES:
        return lambda t: (2 * _reduced(t)).sin_pi()
    activation = activations.get(code)
    if activation.pieces is not None:
        return _pieced(activation)
    kind, _, parameter = code.partition(":")
    if kind == "sin":
        return lambda t: (t * arb(float(parameter))).sin()
    if kind == "snake":
        a = arb(float(parameter)) if parameter else arb(1)
        return lambda t: t + (a * t).sin() ** 2 / a
    if code == "tanh":
        return lambda t: t.tanh()
    if code == "gelu":
        return lambda t: t * (1 + (t / arb(2).sqrt()).erf()) / 2
    if code == "silu":
        return lambda t: t / (1 + (-t).exp())
    raise ValueError(
        f"balls need an activation with a known formula. Got {code}. Use arithmetic='float64', or give it pieces."
    )


def _reduced(t: arb) -> arb:
    """``t`` less an integer near it: without error, since the integer is exact and the difference is enclosed."""
    return t - t.mid().floor() if t.is_finite() else t


def _pieced(activation: Any) -> Callable[[Any], Any]:
    """A piecewise polynomial on balls."""
    from flint import arb, fmpq

    marks = [arb(mark) for mark in activation.breakpoints]
    rows = [[fmpq(c.numerator, c.denominator) for c in row] for row in activation.pieces]
    period = None if activation.period is None else arb(activation.period)
    drift = arb(activation.drift)

    def polynomial(row: Sequence[Any], t: arb) -> arb:
        value = arb(row[-1])
        for coefficient in reversed(row[:-1]):
            value = value * t + arb(coefficient)
        return value

    def value(t: arb) -> arb:
        if not t.is_finite():
            return arb.nan()
        first, last, moved = 0, len(rows) - 1, arb(0)
        ends, pieces = marks, rows
        if period is not None:
            # One period further on either side, for balls that reach over the end of this one.
            turns = ((t.mid() - marks[0]) / period).mid().floor()
            t, moved = t - turns * period, turns * drift
            ends = [mark + k * period for k in (-1, 0, 1) for mark in marks] + [marks[0] + 2 * period]
            if not (t > ends[0] and t < ends[-1]):
                return arb(0, math.inf)
            found: arb | None = None
            for k, (start, end) in enumerate(pairwise(ends)):
                if t < start or t >= end:
                    continue
                turn = k // len(marks) - 1
                part = polynomial(pieces[k % len(marks)], t - turn * period) + turn * drift
                found = part if found is None else found.union(part)
            assert found is not None
            return found + moved
        while first < last and t >= ends[first]:
            first += 1
        while last > first and t < ends[last - 1]:
            last -= 1
        total = polynomial(pieces[first], t)
        for row in pieces[first + 1 : last + 1]:
            total = total.union(polynomial(row, t))
        return total

    return value
