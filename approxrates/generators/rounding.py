r"""Proven bounds on the error of float64 values, by the code that computes them.

``u = 2^-53``. Sums, products and quotients are rounded correctly (IEEE 754); numpy's elementary functions are assumed
to be good to 4 units in the last place, which are at most ``8 u`` of the value. Second-order terms in u are covered by
a factor 1.01.
"""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

from approxrates.generators.base import BumpSum
from approxrates.taylor import UNIT

LIBRARY = 8.0
"""Relative error of an elementary function, in units of ``2**-53``."""
_SAFE = 1.01


def place_error(base: int, level: int) -> float:
    r"""Error of the fraction of a cell that :func:`~approxrates.generators.base.cells` gives, in units of ``2**-53``.

    None for powers of two. Else ``x = digits 2^-53 + below`` is split exactly and ``digits b^k`` is taken modulo 1
    exactly; ``below b^k``, at most ``2^-53 b^k``, costs three roundings of itself, and the sum of the two one of at
    most ``1 + 2^-53 b^k``.
    """
    if base & (base - 1) == 0:
        return 0.0
    return 1.0 + 4.0 * float(base) ** level * UNIT


def bump_error(bump: Any) -> float:
    r"""Error of the values of a spline bump at an exact fraction, in units of ``2**-53``.

    *Order 2*: ``min(u, 1 - u)`` and ``|u - 1/2|`` lose at most ``u/4``, doubling nothing, and the last sum, at most 1,
    ``u/2``: 1 unit. *Order m*: with ``v = m min(u, 1 - u)`` good to ``u m/2`` the truncated powers
    ``c (v - i)^(m-1)``, at most ``|c| R^(m-1)`` with ``R = m/2 - i``, have an argument good to ``u (m/2 + R)``, a
    factor good to u, and ``m - 1`` products; each of the sums rounds at most the sum of them all.
    """
    m: int = bump.order
    if m == 2:
        return 1.0
    powers = [(abs(float(c)), m / 2 - i) for i, c in bump.powers]
    sizes = [c * reach ** (m - 1) for c, reach in powers]
    arguments = math.fsum(c * (m - 1) * reach ** (m - 2) * (m / 2 + reach) for c, reach in powers)
    return arguments + (m + len(powers)) * math.fsum(sizes)


def slope_bound(bump: Any) -> float:
    """Bound on the slope of a spline bump: the greatest over the pieces, or 2 for hats."""
    return 2.0 if bump.order == 2 else float(bump.derivative_bound(1))


def summation_units(heights: list[float]) -> float:
    """Roundings of a sum from the first term on, in units of ``2**-53``: each at most the sum of the heights so far."""
    partial, total = 0.0, 0.0
    for height in heights:
        partial += height
        total += partial
    return total - heights[0] if heights else 0.0


def bump_sum_error(tree: BumpSum) -> float:
    r"""Bound on ``|float64 value - exact value|`` of a sum of spline bumps, anywhere on the cube.

    Level k: every factor is at most 1 and off by :func:`bump_error` plus the slope of the bump times
    :func:`place_error` (a point that rounding puts into the next cell lies as close to the face, where both bumps
    vanish); the product and the amplitude cost ``d + 1`` units. Then the levels are added from coarse to fine.
    """
    d, heights = tree.dim, [float(a) for a in tree.amplitudes]
    own, slope = bump_error(tree.bump), slope_bound(tree.bump)
    levels = (height * (d * (own + slope * place_error(tree.base, k)) + d + 1) for k, height in enumerate(heights))
    return _SAFE * UNIT * (math.fsum(levels) + summation_units(heights))


def cosine_sum_error(base: int, dim: int, amplitudes: tuple[Fraction, ...]) -> float:
    r"""Bound on ``|float64 value - exact value|`` of a sum of products of cosines, anywhere on the cube.

    An angle in turns is good to :func:`place_error` plus u (the sum with the phase, below 2); taking off whole turns is
    exact; times the rounded 2 pi it is good to that times 2 pi, plus ``2 pi u`` for two roundings of at most pi. The
    cosine adds 8 units, amplitude and products ``d + 1``. Then the terms are added.
    """
    heights = [float(a) for a in amplitudes]
    turn = 2.0 * math.pi
    terms = (h * (dim * (turn * (place_error(base, n) + 2.0) + LIBRARY) + dim + 1) for n, h in enumerate(heights))
    return _SAFE * UNIT * (math.fsum(terms) + summation_units(heights))
