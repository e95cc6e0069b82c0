"""The corner singularity of elliptic equations: harmonic, rough at one point of the square."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.power import BELOW, derivative_constant
from approxrates.generators.rounding import LIBRARY
from approxrates.generators.singular import CornerModel
from approxrates.regularity import Regularity
from approxrates.target import Point, Target
from approxrates.taylor import UNIT

_BALL_BITS = 192


@dataclass(frozen=True)
class Corner:
    """``rho^r sin(r theta)``, the imaginary part of ``z^r``."""

    exponent: float

    def evaluate(self, x: base.Floats) -> base.Floats:
        """Values at points ``(n, 2)``, shape ``(n,)``."""
        turned = np.sin(self.exponent * np.arctan2(x[:, 1], x[:, 0]))
        return np.asarray(np.hypot(x[:, 0], x[:, 1]) ** self.exponent * turned)

    def gradient(self, x: base.Floats) -> base.Floats:
        """Gradient for an exponent above 1, ``(n, 2)``: the conjugate of the derivative ``r z^(r-1)``, turned."""
        angle = (self.exponent - 1.0) * np.arctan2(x[:, 1], x[:, 0])
        slope = self.exponent * np.hypot(x[:, 0], x[:, 1]) ** (self.exponent - 1.0)
        return np.asarray(slope[:, None] * np.stack([np.sin(angle), np.cos(angle)], axis=1))

    def exact(self, point: Point) -> Any:
        """Value at a point of rationals, as a ``flint.arb`` ball."""
        import flint

        with flint.ctx.workprec(_BALL_BITS):
            a, b = (flint.fmpq(c.numerator, c.denominator) for c in point)
            if not b:
                return flint.arb(0)
            angle = (flint.arb(a) / flint.arb(b)).atan()
            angle = flint.arb.pi() / 2 - angle
            r = flint.arb(self.exponent)
            return flint.arb(a * a + b * b) ** (r / 2) * (r * angle).sin()


def corner(smoothness: float = 2.0 / 3.0, dim: int = 2, seed: int = 0) -> Target:
    r"""``rho^r sin(r theta)`` in polar coordinates at a corner of the square; ``r = 2/3`` is the L-shaped domain's.

    It is the imaginary part of ``z^r``, harmonic inside the square, and singular at the origin only.

    *Hölder constant*, ``m0 = floor r``, ``alpha = r - m0``, ``q = r (r - 1) ... (r - m0 + 1)``. Derivatives of order
    ``m0`` are real or imaginary parts of ``q z^alpha`` up to sign. On a segment of length h the distance to the origin
    is at least that to the foot of its perpendicular, so
    ``|z^alpha - w^alpha| <= alpha int |zeta|^(alpha-1) <= 2 (h/2)^alpha``: the constant is ``q 2^(1-alpha)``. Exactly
    r, as on the diagonal the function is a multiple of ``rho^r``.

    It lies in ``B^s_(t, t)``, ``1/t = s/2 + 1/2``, for every s: adaptive methods exceed ``r / 2`` by far, and it is not
    information-rich.

    *Rounding.* The angle, at most ``r pi / 2``, is good to 8 + 1 units, the sine to 8, the distance to 8, its power to
    8 and r times those of the distance, the product to 1; values are at most ``2^(r/2)``.

    Args:
        smoothness: The exponent r, ``0 < r < 4``, not an integer.
        dim: 2.
        seed: Accepted and without meaning.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Grisvard (1985), Elliptic Problems in Nonsmooth Domains; Dahlke & DeVore (1997), Comm. PDE 22, 1-16, for the
        Besov scale of adaptivity.
    """
    r = base.rough("corner", smoothness, BELOW)
    base.whole("dim", dim, 2, 2)
    base.whole("seed", seed, 0)
    total = Corner(r)
    units = (LIBRARY + 1.0) * (r * math.pi / 2.0) + LIBRARY * (r + 2.0) + 1.0
    return Target(
        name="corner",
        regularity=Regularity(r, 2, radius=base.ROUND_UP * derivative_constant(r) * 2.0 ** (1.0 - (r - math.floor(r)))),
        parameters=base.identity("corner", (r, 2), 0, {}),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        base=2,
        enclosure=CornerModel(r),
        gradient=total.gradient if r > 1 else None,
        evaluation_error=1.01 * UNIT * math.pow(2.0, r / 2.0) * units,
    )
