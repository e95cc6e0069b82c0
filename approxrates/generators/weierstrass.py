"""Weierstrass functions with random phases: lacunary cosines, Hölder of any non-integer order, self-similar."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from approxrates.generators.base import (
    DEFAULT_LEVELS,
    ROUND_UP,
    Floats,
    amplitudes,
    cells,
    chunks,
    deepest,
    holder_constant,
    identity,
    rough,
    tail_sum,
    whole,
)
from approxrates.generators.rounding import cosine_sum_error
from approxrates.generators.waves import cosine_sum_enclosure
from approxrates.regularity import Regularity
from approxrates.seeds import hash_words
from approxrates.target import Point, Target

_PHASE_BITS = 53
_BALL_BITS = 192


def phases(seed: int, level: int, dim: int) -> tuple[Fraction, ...]:
    """Phases of one level in turns, one per coordinate: multiples of ``2^-53`` in ``[0, 1)``."""
    words = hash_words(seed, level, np.arange(dim, dtype=np.uint64))
    return tuple(Fraction(int(w) >> (64 - _PHASE_BITS), 1 << _PHASE_BITS) for w in words)


@dataclass(frozen=True)
class CosineSum:
    """The sum of ``amplitudes[n] prod_i cos(2 pi (base^n x_i + phases[n][i]))``."""

    base: int
    dim: int
    amplitudes: tuple[Fraction, ...]
    phases: tuple[tuple[Fraction, ...], ...]

    def evaluate(self, x: Floats) -> Floats:
        """Values at points of the cube, ``(n, dim) -> (n,)``; the whole turns are taken off exactly."""
        total = np.zeros(len(x))
        for rows, columns in chunks(x):
            walks = [cells(np.where(c == 1.0, 0.0, c), self.base, len(self.amplitudes)) for c in columns]
            for height, shifts, places in zip(self.amplitudes, self.phases, zip(*walks, strict=True), strict=True):
                values = np.full(rows.stop - rows.start, float(height))
                for shift, (_, turns) in zip(shifts, places, strict=True):
                    angle = turns + float(shift)
                    angle -= np.rint(angle)
                    angle *= 2.0 * math.pi
                    values *= np.cos(angle, out=angle)
                total[rows] += values
        return total

    def gradient(self, x: Floats) -> Floats:
        """First derivatives at points of the cube, ``(n, dim) -> (n, dim)``."""
        result, turn = np.zeros(x.shape), 2.0 * math.pi
        for rows, columns in chunks(x):
            walks = [cells(np.where(c == 1.0, 0.0, c), self.base, len(self.amplitudes)) for c in columns]
            for n, (height, shifts, places) in enumerate(
                zip(self.amplitudes, self.phases, zip(*walks, strict=True), strict=True)
            ):
                turns = [place + float(shift) for shift, (_, place) in zip(shifts, places, strict=True)]
                angles = [turn * (t - np.rint(t)) for t in turns]
                for i, angle in enumerate(angles):
                    others = math.prod((np.cos(a) for j, a in enumerate(angles) if j != i), start=np.sin(angle))
                    result[rows, i] -= float(height) * turn * float(self.base) ** n * others
        return result

    def exact(self, point: Point) -> Any:
        """Value at a point of rationals, as a ``flint.arb`` ball of radius about ``2^-180``."""
        import flint

        with flint.ctx.workprec(_BALL_BITS):
            total = flint.arb(0)
            for n, (height, shifts) in enumerate(zip(self.amplitudes, self.phases, strict=True)):
                term = flint.arb(flint.fmpq(height.numerator, height.denominator))
                for shift, c in zip(shifts, point, strict=True):
                    turns = 2 * ((c * self.base**n + shift) % 1)
                    term *= flint.arb(flint.fmpq(turns.numerator, turns.denominator)).cos_pi()
                total += term
        return total


def cosine_gap(total: CosineSum, level: int) -> float:
    """Distance to linear interpolation: each cosine by its curvature or by twice its height."""
    spacing = float(total.base) ** -whole("level", level, 0)
    turns = (float(total.base) ** n * spacing for n in range(len(total.amplitudes)))
    sizes = zip(total.amplitudes, turns, strict=True)
    return ROUND_UP * math.fsum(float(a) * min(2.0, (2.0 * math.pi * t) ** 2 / 8.0) for a, t in sizes)


def weierstrass(smoothness: float, dim: int = 1, seed: int = 0, base: int = 2, levels: int | None = None) -> Target:
    r"""A Weierstrass function with random phases, Hölder of order ``r = smoothness`` and nowhere better.

    ``f(x) = sum_{n < levels} b^(-n r) prod_i cos(2 pi b^n x_i + phi_ni)``.

    *Hölder seminorm* (derivatives of order ``m0 = floor r``, Euclidean distance, ``alpha = r - m0``). A derivative of
    order ``m0`` turns the product of cosines into ``(2 pi b^n)^m0`` times a product of shifted cosines ``g``, up to
    sign. ``|g| <= 1``, and its gradient has length at most ``2 pi b^n`` in any dimension: in the numbers
    ``s_i = sin^2`` the sum ``sum_i s_i prod_{j != i} (1 - s_j)`` is affine in each, so it is greatest at a corner of
    the cube, where it is 0 or 1. :func:`~approxrates.generators.base.holder_constant` with swing 2 gives
    ``radius = (2 pi)^m0 (2 / (1 - b^(alpha-1)) + 2 / (b^alpha - 1)) pi^alpha``.

    *Nowhere better*: the series is lacunary with coefficients exactly ``b^(-n r)``; a function that is smoother than r
    on some ball has smaller ones (Hardy 1916 for d = 1; in d > 1 the same pairing with
    ``exp(2 pi i b^n (x_1 + ... + x_d))`` times a smooth bump on the ball).

    *Linear interpolation* at spacing h errs by at most ``sum_n b^(-n r) min(2, (2 pi b^n h)^2 / 8)`` in d = 1.

    Args:
        smoothness: ``r > 0``, not an integer.
        dim: Input dimension d.
        seed: Seed of the phases. They are all that is random: draws are alike in every other respect.
        base: The b, an integer from 2 to 64.
        levels: Number of terms; by default as many as reach frequency ``2^40``.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Hardy (1916), Trans. Amer. Math. Soc. 17, 301-325; Elbrächter et al. (2021), arXiv:1901.02220.
    """
    r, d, seed = rough("weierstrass", smoothness), whole("dim", dim, 1), whole("seed", seed, 0)
    b = whole("base", base, 2, 64)
    full = math.ceil(DEFAULT_LEVELS / math.log2(b))
    levels = full if levels is None else whole("levels", levels, 1, deepest(b))
    extra: dict[str, Any] = {k: v for k, v, default in (("base", b, 2), ("levels", levels, full)) if v != default}
    total = CosineSum(b, d, amplitudes(b, r, levels), tuple(phases(seed, n, d) for n in range(levels)))
    m0 = math.floor(r)
    return Target(
        name="weierstrass",
        regularity=Regularity(r, d, radius=(2 * math.pi) ** m0 * holder_constant(b, r - m0, 2.0 * math.pi, 2.0)),
        parameters=identity("weierstrass", (r, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=tail_sum(b, r, levels),
        base=b,
        enclosure=cosine_sum_enclosure(total),
        evaluation_error=cosine_sum_error(b, d, total.amplitudes),
        gradient=total.gradient if r > 1.0 else None,
        interpolation_gap=functools.partial(cosine_gap, total) if d == 1 else None,
    )
