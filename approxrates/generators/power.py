"""Powers of a distance: one singular point, smooth elsewhere. Rough for uniform methods, easy for adaptive ones."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.rounding import LIBRARY
from approxrates.generators.singular import PowerModel
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import UNIT

BELOW = 4.0
SHAPES = ("abs", "plus", "endpoint")
_BALL_BITS = 192
_CENTRE = 1.0 / 3.0


@dataclass(frozen=True)
class Power:
    """``|x - c (1, ..., 1)|^r``, or ``max(x - c, 0)^r`` in one variable."""

    exponent: float
    centre: float
    one_sided: bool

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, d)``, shape ``(n,)``."""
        away = x - self.centre
        if x.shape[1] == 1:
            distance = np.maximum(away[:, 0], 0.0) if self.one_sided else np.abs(away[:, 0])
            return np.asarray(distance**self.exponent)
        # hypot neither overflows nor underflows, where squares of tiny distances would.
        return np.asarray(functools.reduce(np.hypot, away.T) ** self.exponent)

    def gradient(self, x: base.Floats) -> base.Floats:
        """Gradient for an exponent above 1, ``(n, d)``; 0 at the singular point."""
        away = x - self.centre
        distance = functools.reduce(np.hypot, np.abs(away.T))
        if self.one_sided:
            away = np.maximum(away, 0.0)
        slope = self.exponent * distance ** (self.exponent - 1.0)
        return np.asarray(slope[:, None] * away / np.where(distance > 0.0, distance, 1.0)[:, None])

    def exact(self, point: Point) -> Any:
        """Value at a point of rationals, as a ``flint.arb`` ball."""
        import flint

        with flint.ctx.workprec(_BALL_BITS):
            centre = flint.fmpq(*self.centre.as_integer_ratio())
            away = [flint.fmpq(c.numerator, c.denominator) - centre for c in point]
            if self.one_sided:
                away = [max(away[0], flint.fmpq(0))]
            square = sum((a * a for a in away), start=flint.fmpq(0))
            return flint.arb(square) ** (flint.arb(self.exponent) / 2) if square else flint.arb(0)


def derivative_constant(r: float) -> float:
    """``r (r - 1) ... (r - m0 + 1)`` with ``m0 = floor r``: what ``m0`` derivatives put before a power."""
    return math.prod(r - i for i in range(math.floor(r)))


def _radius(r: float, shape: str, d: int) -> float | None:
    """The Hölder constant of :func:`power`; None where none is proven."""
    m0 = math.floor(r)
    if d > 1 and m0 > 1:
        return None
    signed = shape == "abs" and m0 % 2 == 1
    return base.ROUND_UP * derivative_constant(r) * (2.0 ** (1.0 - (r - m0)) if signed else 1.0)


def _gap(r: float, holder: float, curvature: float, level: int) -> float:
    """Distance to linear interpolation at spacing ``2 ** -level``; derived in :func:`power`."""
    h = 2.0 ** -base.whole("level", level, 0)
    if r < 1:
        return base.ROUND_UP * holder * math.pow(h / 2.0, r)
    return base.ROUND_UP * (holder * math.pow(h, r) / 4.0 if r < 2 else curvature * h * h / 8.0)


def power(smoothness: float, dim: int = 1, seed: int = 0, centre: float | None = None, shape: str = "abs") -> Target:
    r"""A power of the distance to a point, Hölder of order exactly ``r = smoothness``, and analytic elsewhere.

    ``abs`` is ``|x - c|^r`` (Euclidean distance to ``(c, ..., c)`` in d > 1), ``plus`` is ``max(x - c, 0)^r``,
    ``endpoint`` is ``x^r``.

    *Hölder constant*, ``m0 = floor r``, ``alpha = r - m0``, ``q = r (r - 1) ... (r - m0 + 1)``. In one variable the
    derivative of order ``m0`` is q times ``t_+^alpha`` or ``|t|^alpha`` (constant 1, as ``|s^a - t^a| <= |s - t|^a``)
    or, for ``abs`` and odd ``m0``, ``sign(t) |t|^alpha``: there ``s^a + t^a <= 2 ((s + t) / 2)^a`` gives
    ``2^(1 - alpha)``, attained at ``-t, t``. In d > 1 and ``r < 1`` the same follows from the triangle inequality. For
    ``1 < r < 2`` the gradient is ``r |x|^(alpha-1) x``; with s, t the lengths of two points and u the square of their
    distance, the square of the difference is ``A + B u``, ``B = (s t)^(alpha-1)``; ``(A + B u) / u^alpha`` first falls,
    then rises, so it is largest at an end of the range of u, on a line through the centre: ``r 2^(1 - alpha)`` again.
    Higher orders in d > 1 have no stated constant.

    *Exactly r*: no polynomial is within ``o(t^r)`` of ``t^r`` at 0, as r is no integer.

    *Besov*: it lies in ``B^(r + 1/p)_(p, inf)`` for every p. So free knots and other adaptive methods exceed ``r / d``
    by far (any power, with graded knots): it is not information-rich.

    *Linear interpolation* at spacing h, L the constant above. At the fraction ``t`` of a cell the error is a mean of
    differences over ``t h`` and ``(1 - t) h`` with weights ``1 - t`` and ``t``; for ``r < 1`` Jensen's inequality gives
    at most ``L (2 t (1 - t) h)^r <= L (h / 2)^r``. For ``1 < r < 2`` two mean values of the derivative give
    ``t (1 - t) h L h^alpha <= L h^r / 4``. Beyond, ``h^2 / 8`` times the largest second derivative.

    *Rounding.* The difference to c is rounded once, each ``hypot`` and the power are good to 8 units; the power makes a
    relative error r times as large, and values are at most ``d^(r/2)``.

    Args:
        smoothness: ``0 < r < 4``, not an integer.
        dim: Input dimension d; only ``abs`` has more than one.
        seed: Accepted and without meaning.
        centre: The c, in ``[0, 1]``; by default the float nearest to 1/3, for ``endpoint`` 0.
        shape: ``abs``, ``plus`` or ``endpoint``.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, or an unknown shape.

    Reference:
        DeVore (1998), Acta Numerica 7, 51-150, for x^alpha under free knots.
    """
    r, d = base.rough("power", smoothness, BELOW), base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    c = _centre(shape, centre)
    if d > 1 and shape != "abs":
        raise ValueError(f"shape of power in dim={d} must be abs. Got shape={shape!r}. Use dim=1 for {shape}.")
    total = Power(r, c, shape == "plus")
    extra: dict[str, Any] = {} if shape == "abs" else {"shape": shape}
    if shape != "endpoint" and c != _CENTRE:
        extra["centre"] = c
    radius = _radius(r, shape, d)
    curvature = r * (r - 1) * max(c, 1 - c) ** (r - 2) if r > 2 else 0.0
    return Target(
        name="power",
        regularity=Regularity(r, d, radius=radius),
        parameters=base.identity("power", (r, d), 0, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        base=2,
        enclosure=PowerModel(r, c, shape == "plus", d),
        gradient=total.gradient if r > 1 else None,
        evaluation_error=1.01 * UNIT * (r * (1.0 + LIBRARY * (d - 1)) + LIBRARY) * math.pow(d, r / 2.0),
        interpolation_gap=functools.partial(_gap, r, radius or 0.0, curvature) if d == 1 else None,
    )


def _centre(shape: Any, centre: Any) -> float:
    """The singular point, if shape and centre go together."""
    if shape not in SHAPES:
        raise ValueError(f"shape must be one of {', '.join(SHAPES)}. Got shape={shape!r}. Use e.g. shape='abs'.")
    if centre is None:
        return 0.0 if shape == "endpoint" else _CENTRE
    if isinstance(centre, bool) or not isinstance(centre, (int, float)):
        raise TypeError(f"centre must be a number. Got {centre!r}. Write e.g. centre=0.5.")
    if not 0 <= centre <= 1 or (shape == "endpoint" and centre != 0):
        span = "0 for an endpoint" if shape == "endpoint" else "between 0 and 1"
        raise ValueError(f"centre must be {span}. Got centre={centre}. Leave it out.")
    return float(centre)
