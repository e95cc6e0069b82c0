"""Upper bounds that cannot be wrong: numbers ``m 2^e`` with short integers ``m``, every operation rounded up.

Floats cannot hold the Lipschitz constant of a chain of a thousand layers of slope 8, and their logarithms lose a little
at each step with no direction to it.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from approxrates import activations
from approxrates.layers import IDENTITY, SparseLayer

Upper = tuple[int, int]
"""``m 2^e`` as ``(m, e)``, ``m >= 0``."""

ZERO: Upper = (0, 0)
ONE: Upper = (1, 0)
SINES = frozenset({"sin"})
"""The name of ``sin(2 pi t)``."""
TWO_PI: Upper = (13_493_037_705, -31)
"""``2 pi 2^31 = 13493037704.52...``, rounded up."""
_KEPT = 64
"""Bits of ``m``: a rounding adds at most a part in 2^63."""


def upper(mantissa: int, exponent: int) -> Upper:
    """``|mantissa| 2^exponent``, rounded up to few bits."""
    size = abs(mantissa)
    extra = size.bit_length() - _KEPT
    return (size, exponent) if extra <= 0 else (-(-size >> extra), exponent + extra)


def times(left: Upper, right: Upper) -> Upper:
    """An upper bound of the product."""
    return upper(left[0] * right[0], left[1] + right[1])


def plus(left: Upper, right: Upper) -> Upper:
    """An upper bound of the sum."""
    if not left[0] or not right[0]:
        return left if left[0] else right
    if left[1] < right[1]:
        left, right = right, left
    shift = left[1] - right[1]
    if shift > 2 * _KEPT:  # right < 2^(right[1] + 65) <= 2^(left[1] - 64)
        return upper((left[0] << _KEPT) + 1, left[1] - _KEPT)
    return upper((left[0] << shift) + right[0], right[1])


def over(left: Upper, right: Upper) -> Upper:
    """An upper bound of the quotient; ``right`` must not be zero."""
    return upper(-(-(left[0] << 2 * _KEPT) // right[0]), left[1] - right[1] - 2 * _KEPT)


def ceil_log2(value: Upper) -> int:
    """The least ``k`` with ``value <= 2^k``; of zero, a very low one."""
    return value[1] + (value[0] - 1).bit_length() if value[0] else -(1 << 60)


def float_above(value: Upper) -> float:
    """A float64 number that is not below; infinite beyond the range."""
    try:
        return math.nextafter(math.ldexp(value[0], value[1]), math.inf) if value[0] else 0.0
    except OverflowError:
        return math.inf


def lipschitz(code: str) -> Upper:
    """An upper bound of the Lipschitz constant of a continuous piecewise linear activation or of ``sin(2 pi t)``."""
    if code in ("relu", IDENTITY, "abs"):
        return ONE
    if code in SINES:
        return TWO_PI
    pieces = activations.get(code).pieces
    assert pieces is not None
    slope = max(abs(row[1]) if len(row) > 1 else 0 for row in pieces)
    over_, under = slope.as_integer_ratio()
    return upper(over_, 1 - under.bit_length()) if under & (under - 1) == 0 else upper(-(-(over_ << 64) // under), -64)


def sensitivities(layers: Sequence[SparseLayer]) -> list[list[Upper]]:
    """How far the outputs move with each unit's value: sums of absolute weights over all paths, from above.

    Entry ``[i][j]`` bounds the sum over the outputs of the Lipschitz constants with respect to the value of unit ``j``
    of layer ``i`` *after* its activation, every path of the network above it counted with its absolute weights and
    the Lipschitz constants of the activations on it. Zero for a unit that no output depends on.
    """
    found: list[list[Upper]] = [[ONE] * layers[-1].n_out]
    for layer in reversed(layers[1:]):
        below: list[Upper] = [ZERO] * layer.n_in
        constants = {code: lipschitz(code) for code in set(layer.activations)}
        for row, code, above in zip(layer.rows, layer.activations, found[-1], strict=True):
            if not above[0]:
                continue
            through = times(above, constants[code])
            for source, weight in row:
                if weight.mantissa:
                    path = times(through, upper(weight.mantissa, weight.exponent))
                    below[source] = plus(below[source], path)
        found.append(below)
    return found[::-1]
