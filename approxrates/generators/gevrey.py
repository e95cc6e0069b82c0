"""Gevrey functions: infinitely smooth, not analytic; approximated faster than any power, slower than exponentially."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.rounding import LIBRARY
from approxrates.generators.singular import FlatModel
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import UNIT

_BALL_BITS = 192
_ORDER = 2.0


@dataclass(frozen=True)
class FlatProduct:
    """``prod_i exp(-x_i^-power)``, 0 where a coordinate is 0."""

    power: float

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        with np.errstate(divide="ignore", over="ignore"):
            return np.asarray(np.exp(-np.sum(x**-self.power, axis=1)))

    def exact(self, point: Point) -> Any:
        """Value at a point of rationals, as a ``flint.arb`` ball."""
        import flint

        with flint.ctx.workprec(_BALL_BITS):
            if not all(point):
                return flint.arb(0)
            power = flint.arb(self.power)
            terms = ((flint.arb(flint.fmpq(c.denominator, c.numerator))) ** power for c in point)
            return (-sum(terms, start=flint.arb(0))).exp()


def _curvature(power: float) -> float:
    """Bound on the second derivative of ``exp(-x^-power)``; derived in :func:`gevrey`."""
    outer, inner = 2.0 + 2.0 / power, 1.0 + 2.0 / power
    sizes = math.pow(outer / math.e, outer), math.pow(inner / math.e, inner)
    return power**2 * sizes[0] + power * (power + 1.0) * sizes[1]


def gevrey(smoothness: float = math.inf, dim: int = 1, seed: int = 0, order: float = _ORDER) -> Target:
    r"""``prod_i exp(-x_i^(-1/(s-1)))``: of Gevrey class s, so infinitely smooth, and flat but not zero at 0.

    Derivatives of order n grow like ``n!^s``: for the class polynomials of degree n err by about ``exp(-c n^(1/s))``.
    This function is flat at an end of the interval only, where the nodes of polynomials crowd: with ``x = sin^2(t/2)``
    it is about ``exp(-(t/2)^(-2/(s-1)))``, of Gevrey class ``(s + 1) / 2`` in t, and polynomials err by about
    ``exp(-c n^(2/(s+1)))``. It is no power law, so it tests no phase. For ``s <= 1`` the class is analytic, and this
    formula is not defined.

    *Linear interpolation* at spacing h (d = 1). With ``b = 1/(s-1)`` and ``u = x^-b`` the second derivative is
    ``exp(-u) (b^2 u^(2+2/b) - b (b+1) u^(1+2/b))``, and ``exp(-u) u^p <= (p/e)^p``: the error is at most ``h^2 / 8``
    times ``b^2 (p/e)^p + b (b+1) (q/e)^q`` with ``p = 2 + 2/b``, ``q = 1 + 2/b``.

    *Rounding.* The sum S of the powers is good to ``8 + d`` units, the exponential to 8, and ``S exp(-S) <= 1/e``.

    Args:
        smoothness: Infinite; accepted so that every family takes the same arguments.
        dim: Input dimension d.
        seed: Accepted and without meaning.
        order: The s, between 1.1 and 8.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Rodino (1993), Linear Partial Differential Operators in Gevrey Spaces, section 1.4, for the class.
    """
    base.infinite("gevrey", smoothness)
    d = base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    if isinstance(order, bool) or not isinstance(order, (int, float)):
        raise TypeError(f"order must be a number. Got {order!r}. Write e.g. order=2.0.")
    if not 1.1 <= order <= 8.0:
        raise ValueError(f"order of gevrey must be between 1.1 and 8. Got order={order}. Use e.g. order=2.0.")
    total = FlatProduct(1.0 / (float(order) - 1.0))
    return Target(
        name="gevrey",
        regularity=Regularity(math.inf, d, "gevrey"),
        parameters=base.identity("gevrey", (math.inf, d), 0, {} if order == _ORDER else {"order": float(order)}),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        base=2,
        enclosure=FlatModel(total.power, d),
        evaluation_error=1.01 * UNIT * ((LIBRARY + d) / math.e + LIBRARY),
        interpolation_gap=base.curvature_gap(_curvature(total.power)) if d == 1 else None,
    )
