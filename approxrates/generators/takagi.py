"""Takagi-Landsberg functions: the Faber tree with every sign +1. Rough but self-similar: easy for deep networks."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.models import bump_sum_enclosure
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import AllPlus
from approxrates.regularity import Regularity
from approxrates.target import Target


class Sawtooth:
    """``2 dist(u, Z)`` on one period."""

    order = 2

    def values(self, u: base.Floats) -> base.Floats:
        """Values at fractions of a cell; overwrites ``u``."""
        np.minimum(u, 1.0 - u, out=u)
        u *= 2.0
        return u

    def exact(self, u: Fraction) -> Fraction:
        """Value at a rational fraction of a cell."""
        return 2 * min(u, 1 - u)


def landsberg_sum(weight: Fraction, levels: int, dim: int = 1) -> base.BumpSum:
    """The finite sum of ``weight^k prod_i 2 dist(2^k x_i, Z)`` over ``k < levels``, for any rational weight.

    Example:
        >>> parabola = landsberg_sum(Fraction(1, 4), levels=3)      # at 3 bits: 4 x (1 - x) to the last
        >>> parabola.exact((Fraction(3, 8),))
        Fraction(15, 16)
    """
    return base.BumpSum(Sawtooth(), 2, dim, tuple(weight**k for k in range(levels)), AllPlus(2, dim))


def takagi(smoothness: float, dim: int = 1, seed: int = 0, levels: int = base.DEFAULT_LEVELS) -> Target:
    r"""The Takagi-Landsberg function of weight ``2^-r``, Hölder of order ``r = smoothness`` and nowhere better.

    ``f(x) = sum_{k < levels} 2^(-k r) prod_i 2 dist(2^k x_i, Z)``. Hats have peak 1: twice the classical sum.

    *Hölder constant* (Euclidean distance h). A level lies between 0 and 1 and has gradient of length at most
    ``2 sqrt(d) 2^k``; :func:`~approxrates.generators.base.holder_constant` gives
    ``radius = (1 / (1 - 2^(r-1)) + 1 / (2^r - 1)) (2 sqrt(d))^r``.

    *Nowhere better*: as for the random tree, the second difference over a cell of level k is exactly ``-2 * 2^(-k r)``.

    Args:
        smoothness: ``0 < r < 1``. (Weight 1/2 has modulus ``h log 1/h``, weight 1/4 is a parabola: both are left out.)
        dim: Input dimension d.
        seed: Accepted and without meaning: there is one such function.
        levels: Number of levels, at most 64.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Takagi (1903); Landsberg (1908); Allaart & Kawamura (2011), arXiv:1110.1691, survey.
    """
    r, d = base.rough("takagi", smoothness, below=1.0), base.whole("dim", dim, 1)
    base.whole("seed", seed, 0)
    levels = base.whole("levels", levels, 1, base.deepest(2))
    heights = base.amplitudes(2, r, levels)
    total = base.BumpSum(Sawtooth(), 2, d, heights, AllPlus(2, d))
    extra: dict[str, Any] = {} if levels == base.DEFAULT_LEVELS else {"levels": levels}
    return Target(
        name="takagi",
        regularity=Regularity(r, d, radius=base.holder_constant(2, r, slope=2.0 * math.sqrt(d), swing=1.0)),
        parameters=base.identity("takagi", (r, d), 0, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=base.tail_sum(2, r, levels),
        base=2,
        enclosure=bump_sum_enclosure(total),
        evaluation_error=bump_sum_error(total),
        interpolation_gap=base.gap_function(2, [float(a) for a in heights], base.affine_pieces) if d == 1 else None,
    )
