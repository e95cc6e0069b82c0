"""Bumps of one size, extremal for the unit ball of a Hölder class; and one such bump alone, the needle."""

from __future__ import annotations

import itertools
import math
from fractions import Fraction
from typing import Any

from approxrates.generators.base import (
    ROUND_UP,
    BumpSum,
    amplitudes,
    gap_function,
    identity,
    positive,
    whole,
)
from approxrates.generators.bump_tree import SplineBump, coarse_gap
from approxrates.generators.models import bump_sum_enclosure, bump_sum_gradient
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import HashedSigns, Signs, SparseSigns, chosen, stored_levels
from approxrates.regularity import Regularity
from approxrates.target import Target

BELOW = 6.0
_TOTAL = 64  # cells of the cube by default, whatever its dimension
_FINEST = 20


def node_values(order: int) -> list[Fraction]:
    """Values at ``0, 1/m, .., 1`` of the derivative of order ``m - 2`` of the bump; it is affine between them."""
    times = order - 2
    scale = SplineBump(order).derivative_bound(times) / math.comb(times, times // 2)
    return [Fraction(0), *((-1) ** j * math.comb(times, j) * scale for j in range(times + 1)), Fraction(0)]


def seminorms(smoothness: float, dim: int) -> tuple[float, float]:
    r"""Hölder seminorms of order r at scale N = 1: the largest over all choices of signs, and that of one bump.

    Upper bounds, and in d = 1 equalities up to rounding: there the derivative of order ``m0 = ceil(r) - 1`` is
    piecewise affine, and a function ``a + b h`` divided by ``h^alpha`` has no largest value inside an interval on which
    ``a + b h >= 0``, so the quotient ``|g(x) - g(y)| / |x - y|^alpha`` is greatest at two nodes. They lie in one cell,
    or, at worst, in neighbouring cells of opposite sign: cells further apart have the same values at larger distances.
    In d > 1: derivatives over ``gamma``, with sup H, slope G and swing 2 H (H for one non-negative bump), give
    ``min(G h, swing) <= swing^(1-alpha) G^alpha h^alpha``.
    """
    m0 = math.ceil(smoothness) - 1
    alpha, order = smoothness - m0, m0 + 2
    if dim == 1:
        values = [float(v) for v in node_values(order)]
        places = list(enumerate(values))
        pairs = itertools.combinations(places, 2)
        one = max(abs(v - w) / ((k - i) / order) ** alpha for (i, v), (k, w) in pairs)
        across = (
            (abs(v) + abs(w)) / ((order - i + k) / order) ** alpha
            for (i, v), (k, w) in itertools.product(places, repeat=2)
            if order - i + k
        )
        return max(one, *across), one
    bump = SplineBump(order)
    sup = [float(bump.derivative_bound(p)) for p in range(m0 + 2)]
    both = []
    for split in itertools.combinations_with_replacement(range(dim), m0):
        times = [split.count(i) for i in range(dim)]
        height = math.prod(sup[p] for p in times)
        slope = math.sqrt(sum((height / sup[p] * sup[p + 1]) ** 2 for p in times))
        swings = (2.0 * height, height if m0 == 0 else 2.0 * height)
        both.append([swing ** (1.0 - alpha) * slope**alpha for swing in swings])
    return max(many for many, _ in both), max(one for _, one in both)


def _level(cells: Any, dim: int) -> int:
    """The level whose cells of side ``2^-level`` are asked for."""
    if cells is None:
        return max(1, round(math.log2(_TOTAL) / dim))
    number = whole("cells", cells, 2, 1 << _FINEST)
    if number & (number - 1):
        near = 1 << number.bit_length() - 1
        raise ValueError(f"cells must be a power of two. Got cells={number}. Use e.g. cells={near}.")
    return number.bit_length() - 1


def _target(name: str, signs: Signs, level: int, regularity: Regularity, parameters: dict[str, Any]) -> Target:
    """Bumps of height ``c_r 2^(-level r)`` with the given signs."""
    r = regularity.smoothness
    order = math.ceil(r) + 1
    height = amplitudes(2, r, level + 1)[level] * Fraction(1.0 / (seminorms(r, signs.dim)[0] * ROUND_UP))
    heights = (*[Fraction(0)] * level, height)
    bump = SplineBump(order)
    total = BumpSum(bump, 2, signs.dim, heights, signs)
    gap = gap_function(2, [float(a) for a in heights], coarse_gap(bump, 2)) if signs.dim == 1 else None
    return Target(
        name=name,
        regularity=regularity,
        parameters=parameters,
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        base=2,
        enclosure=bump_sum_enclosure(total),
        evaluation_error=bump_sum_error(total),
        gradient=bump_sum_gradient(total) if order > 2 else None,
        interpolation_gap=gap,
    )


def single_scale(
    smoothness: float, dim: int = 1, seed: int = 0, cells: int | None = None, signs: str = "hashed"
) -> Target:
    r"""Bumps of random sign on ``N^d`` equal cells, with a Hölder seminorm of order ``r = smoothness`` of 1.

    ``f_N(x) = c_r N^(-r) sum_j s_j prod_i psi(N x_i - j_i)``, ``psi`` the B-spline of order ``ceil(r) + 1`` on
    ``[0, 1]`` with peak 1, whose derivative of order ``m0 = ceil(r) - 1`` is Lipschitz. Any r, whole numbers too: for
    r = 1 the function has Lipschitz constant 1.

    *Seminorm*. ``c_r = 1 / S`` with S of :func:`seminorms`, so it is at most 1 for all signs; and in d = 1 it is 1, to
    rounding, if two neighbours of opposite sign exist, or without that where one bump attains S. So f_N lies in the
    unit ball, and its height ``c_r N^(-r)`` is the largest there up to a constant: the functions that the lower bounds
    of the class are made of. At that scale it carries ``N^d`` bits, and an approximation with fewer than ``c N^d``
    parameters sees a function as hard as the class; with more it is a spline of ``m N`` pieces per axis and easy. So
    take one N per size of network, not one for all.

    Args:
        smoothness: ``0 < r < 6``.
        dim: Input dimension d.
        seed: Seed of the signs.
        cells: N, cells along each coordinate: a power of two, at most 2^20; by default 64 in d = 1, 8 in d = 2, 4 in
            d = 3.
        signs: ``hashed``, or ``stored`` for true random bits; then N is at most 2^19 in d = 1, 512 in d = 2, 64 in
            d = 3.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        DeVore, Howard & Micchelli (1989), Manuscripta Math. 63, 469-478; Yarotsky (2017), arXiv:1610.01145, section 4
        (such bumps in the proofs of lower bounds; recalled).
    """
    r, d = positive("single_scale", smoothness, BELOW), whole("dim", dim, 1)
    seed, level = whole("seed", seed, 0), _level(cells, d)
    drawn = chosen(signs, 2, d, seed)
    if signs == "stored" and level >= stored_levels(2, d):
        most = 1 << stored_levels(2, d) - 1
        raise ValueError(
            f"cells must be at most {most} in dim={d} with stored signs, of which there are 2^20. "
            f"Got cells={1 << level}. Use signs='hashed', or e.g. cells={most}."
        )
    extra: dict[str, Any] = {"cells": 1 << level} | ({} if signs == "hashed" else {"signs": signs})
    regularity = Regularity(r, d, radius=1.0)
    parameters = identity("single_scale", (r, d), seed, extra)
    return _target("single_scale", drawn, level, regularity, parameters)


def needle(smoothness: float, dim: int = 1, seed: int = 0, cells: int | None = None) -> Target:
    r"""One bump of the single-scale function, at a random cell: zero everywhere else.

    ``f(x) = s c_r N^(-r) prod_i psi(N x_i - j_i)`` with j drawn uniformly: one of ``2 N^d`` needles, so two seeds may
    give the same one (0 and 1 do in d = 1). A method that sees values at points finds nothing unless a point falls into
    the cell, though the sup norm is ``c_r N^(-r)``: this is what limits fits from m samples to errors above
    ``c m^(-r/d)``. Its seminorm of order r is at most 1: ``radius`` is that of one bump (exact to rounding in d = 1),
    proven in :func:`seminorms`.

    Args:
        smoothness: ``0 < r < 6``.
        dim: Input dimension d.
        seed: Seed of the cell and the sign.
        cells: N, cells along each coordinate: a power of two, at most 2^20; by default 64 in d = 1, 8 in d = 2, 4 in
            d = 3.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Novak (1988), Deterministic and Stochastic Error Bounds in Numerical Analysis (the argument; recalled).
    """
    r, d = positive("needle", smoothness, BELOW), whole("dim", dim, 1)
    seed, level = whole("seed", seed, 0), _level(cells, d)
    many, one = seminorms(r, d)
    signs = SparseSigns(2, d, 0.0, seed, HashedSigns(2, d, seed))
    regularity = Regularity(r, d, radius=one / many * ROUND_UP)
    return _target("needle", signs, level, regularity, identity("needle", (r, d), seed, {"cells": 1 << level}))
