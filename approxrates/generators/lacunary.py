"""Lacunary cosine series of any order, whole numbers included: Zygmund smoothness. The Weierstrass sum otherwise."""

from __future__ import annotations

import functools
import math
from typing import Any

from approxrates.generators.base import (
    DEFAULT_LEVELS,
    ROUND_UP,
    amplitudes,
    deepest,
    geometric,
    identity,
    positive,
    tail_sum,
    whole,
)
from approxrates.generators.rounding import cosine_sum_error
from approxrates.generators.waves import cosine_sum_enclosure
from approxrates.generators.weierstrass import CosineSum, cosine_gap, phases
from approxrates.regularity import Regularity
from approxrates.target import Target

BELOW = 8.0


def zygmund_constant(base: int, alpha: float) -> float:
    r"""Upper bound on ``|Delta_h^2 F| / |h|^alpha``, ``0 < alpha <= 1``, for ``F = sum_k base^(-k alpha) g_k``.

    Needs ``|g_k| <= 1`` and second derivatives of at most ``(2 pi base^k)^2`` along every direction, so that
    ``|Delta_h^2 g_k| <= min((2 pi base^k h)^2, 4)``. Between the kinks ``pi base^k h = 1`` the sum over all k is
    ``A h^2 + B`` with ``A, B >= 0``, and divided by ``h^alpha`` that has no largest value inside an interval: it is
    greatest at a kink, where two geometric series give
    ``4 pi^alpha (1 / (1 - base^-alpha) + 1 / (base^(2 - alpha) - 1))``.
    """
    series = geometric(base, alpha) + 1.0 / math.expm1((2.0 - alpha) * math.log(base))
    return ROUND_UP * 4.0 * math.pow(math.pi, alpha) * series


def lacunary(smoothness: float, dim: int = 1, seed: int = 0, base: int = 2, levels: int | None = None) -> Target:
    r"""A lacunary cosine series with random phases, of Zygmund smoothness ``r = smoothness`` and nowhere better.

    ``f(x) = sum_{n < levels} b^(-n r) prod_i cos(2 pi b^n x_i + phi_ni)``: the Weierstrass function, but r may be a
    whole number. Then f is in the Zygmund class and not Lipschitz: for r = 1 its modulus of continuity is
    ``h log(1/h)``, while its second differences are at most ``radius * h``. The rates of splines of degree above r - 1
    are those of second differences, ``N^(-r/d)`` without a logarithm.

    *Zygmund seminorm* (second differences of the derivatives of order ``m0 = ceil(r) - 1``, Euclidean length of the
    step, ``alpha = r - m0``). A derivative of order ``m0`` turns the product of cosines into ``(2 pi b^n)^m0`` times a
    product of shifted cosines g, up to sign. ``g`` is the mean over the ``2^d`` choices of signs ``e_i`` of cosines of
    ``2 pi b^n sum_i e_i x_i`` plus a shift; their second derivatives along a unit vector v are at most
    ``(2 pi b^n)^2 (sum_i e_i v_i)^2``, of mean ``(2 pi b^n)^2``. :func:`zygmund_constant` gives
    ``radius = (2 pi)^m0 4 pi^alpha (1 / (1 - b^-alpha) + 1 / (b^(2-alpha) - 1))``.

    *Nowhere better*: the series is lacunary with coefficients exactly ``b^(-n r)`` (see the Weierstrass function).

    Args:
        smoothness: ``0 < r < 8``.
        dim: Input dimension d.
        seed: Seed of the phases. They are all that is random: draws are alike in every other respect.
        base: The b, an integer from 2 to 64.
        levels: Number of terms; by default as many as reach frequency ``2^40``.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Zygmund (1945), Duke Math. J. 12, 47-76 (smooth functions); Zygmund, Trigonometric Series, II.4 (recalled).
    """
    r, d, seed = positive("lacunary", smoothness, BELOW), whole("dim", dim, 1), whole("seed", seed, 0)
    b = whole("base", base, 2, 64)
    full = math.ceil(DEFAULT_LEVELS / math.log2(b))
    levels = full if levels is None else whole("levels", levels, 1, deepest(b))
    extra: dict[str, Any] = {k: v for k, v, default in (("base", b, 2), ("levels", levels, full)) if v != default}
    total = CosineSum(b, d, amplitudes(b, r, levels), tuple(phases(seed, n, d) for n in range(levels)))
    m0 = math.ceil(r) - 1
    radius = (2 * math.pi) ** m0 * zygmund_constant(b, r - m0)
    return Target(
        name="lacunary",
        regularity=Regularity(r, d, kind="zygmund", radius=radius),
        parameters=identity("lacunary", (r, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=tail_sum(b, r, levels),
        base=b,
        enclosure=cosine_sum_enclosure(total),
        evaluation_error=cosine_sum_error(b, d, total.amplitudes),
        gradient=total.gradient if r > 1.0 else None,
        interpolation_gap=functools.partial(cosine_gap, total) if d == 1 else None,
    )
