"""Sparse tree: bumps of random sign on a few random cells of every level. Rough, but easy for adaptive methods."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from approxrates.generators.base import (
    DEFAULT_LEVELS,
    BumpSum,
    amplitudes,
    deepest,
    gap_function,
    identity,
    rough,
    tail_sum,
    whole,
)
from approxrates.generators.bump_tree import (
    BELOW,
    SplineBump,
    coarse_gap,
    default_setting,
    holder_radius,
    setting_for,
)
from approxrates.generators.models import bump_sum_enclosure, bump_sum_gradient
from approxrates.generators.rounding import bump_sum_error
from approxrates.generators.signs import SparseSigns, chosen
from approxrates.regularity import Regularity
from approxrates.target import Target

DEFAULT_THETA = 0.5


def share(theta: Any) -> float:
    """The ``theta`` of a sparse tree, in ``(0, 1]``.

    Raises:
        TypeError: If it is not a number.
        ValueError: If it is out of range.
    """
    if isinstance(theta, bool) or not isinstance(theta, (int, float, np.integer, np.floating)):
        raise TypeError(f"theta must be a number. Got {theta!r}. Write e.g. theta=0.5.")
    if not 0 < theta <= 1:
        raise ValueError(f"theta must be above 0 and at most 1. Got theta={theta}. Use e.g. theta=0.5.")
    return float(theta)


def sparse_sum(r: float, dim: int, signs: SparseSigns, order: int, levels: int) -> BumpSum:
    """The sum of spline bumps of heights ``base^(-k r)`` on the kept cells."""
    return BumpSum(SplineBump(order), signs.base, dim, amplitudes(signs.base, r, levels), signs)


def target_of_sum(name: str, total: BumpSum, r: float, regularity: Regularity, parameters: dict[str, Any]) -> Target:
    """A target from a sum of spline bumps of heights ``base^(-k r)``."""
    bump, b, levels = total.bump, total.base, len(total.amplitudes)
    assert isinstance(bump, SplineBump)
    heights = [float(a) for a in total.amplitudes]
    return Target(
        name=name,
        regularity=regularity,
        parameters=parameters,
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=tail_sum(b, r, levels),
        base=b,
        enclosure=bump_sum_enclosure(total),
        evaluation_error=bump_sum_error(total),
        gradient=bump_sum_gradient(total) if bump.order > 2 and r > 1.0 else None,
        interpolation_gap=gap_function(b, heights, coarse_gap(bump, b)) if total.dim == 1 else None,
    )


def sparse_tree(
    smoothness: float,
    dim: int = 1,
    seed: int = 0,
    theta: float = DEFAULT_THETA,
    base: int | None = None,
    order: int | None = None,
    levels: int | None = None,
    signs: str = "hashed",
) -> Target:
    r"""A sparse b-adic tree of B-spline bumps: Hölder of order ``r = smoothness`` and no better, but few bumps.

    ``f(x) = sum_{k < levels} b^(-k r) sum_{j kept} s_kj prod_i psi(b^k x_i - j_i)``: on level k there are ``b^(k d)``
    cells, and ``n_k = b^ceil(theta k d)`` of them are kept, one drawn in each of as many equal blocks
    (:class:`~approxrates.generators.signs.SparseSigns`). ``theta = 1`` keeps all: then it is the bump tree. Before
    ``theta k d`` is rounded up, 1e-9 is taken off, against the rounding of products like .1 * 30; so on levels with
    ``theta k d <= 1e-9``, of which only a theta of at most 1e-9 has any, ``n_k`` is 1 and not b.

    *Hölder seminorm*: a sum over some of the cells obeys the bounds of :func:`~approxrates.generators.bump_tree`, and
    has the same radius.

    *Nowhere better*: the proof of :func:`~approxrates.generators.bump_tree.margin` bounds coarser levels whatever their
    signs, so it holds with zeros among them: the difference over a kept cell of level k has its sign and is at least
    ``2^o margin b^(-k r)``. Each ball holds kept cells of all fine levels.

    *Besov smoothness* ``s = r + (1 - theta) d / p`` in ``B^s_{p,inf}``, for ``d/p < s < m - 1 + 1/p`` (order m of the
    splines). The kept bumps of a level are disjoint, so level k has L^p norm ``b^(-k r) (n_k b^(-k d))^(1/p) ||psi||``,
    which is ``b^(-k s)`` up to a factor in ``[1, b^(1/p))``, and its modulus of smoothness of order m in L^p is that
    times ``C min(1, (b^k h)^(m-1+1/p))``; summed over the levels this is at most ``C h^s``. *Not better*: if f were in
    ``B^t_{p,inf}`` with ``t > s``, then ``sum_Q E_o(f, Q)^p <= C b^(k d) b^(-k t p)`` over the cells Q of level k, with
    ``E_o`` the sup distance to polynomials of degree below o (DeVore & Popov 1988; needs ``t > d/p``); but each of the
    ``n_k`` kept cells has ``E_o >= margin b^(-k r)``, which forces ``t <= s``.

    *Rates*. On a mesh that is uniform, or fixed beforehand, ``N^(-r/d)``: a cell that is no finer than a kept cell of
    level k errs by ``margin b^(-k r)`` there. Splines with free knots: the bumps of the first K levels are
    ``n ~ b^(theta K d)`` terms with error ``b^(-K r)``, a rate of ``r / (theta d)``; not better in d = 1, as fewer
    pieces than ``n_k / 2`` leave a kept cell of level k within one piece.

    Args:
        smoothness: ``0 < r < 6``, not an integer.
        dim: Input dimension d.
        seed: Seed of the cells kept and of their signs.
        theta: Sparsity, above 0 and at most 1.
        base: The b; by default the smallest proven power of two.
        order: Order m of the B-spline; by default the one with the largest margin.
        levels: Number of levels; by default as many as reach cells of side ``2^-40``.
        signs: ``hashed``, or ``stored`` for true random bits on the coarse levels; the cells kept are always hashed.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range, or a (b, r, m) whose smoothness is not proven.

    Reference:
        DeVore & Popov (1988), Trans. Amer. Math. Soc. 305, 397-414 (Besov spaces and free-knot splines; recalled);
        Siegel (2023), arXiv:2211.14400, for sparse coding by deep networks.
    """
    r, d, seed = rough("sparse_tree", smoothness, BELOW), whole("dim", dim, 1), whole("seed", seed, 0)
    theta, (b, m) = share(theta), setting_for(r, base, order)
    full = math.ceil(DEFAULT_LEVELS / math.log2(b))
    levels = full if levels is None else whole("levels", levels, 1, deepest(b))
    extra: dict[str, Any] = {"theta": theta}
    extra |= {} if (b, m) == default_setting(r) else {"base": b, "order": m}
    extra |= {} if levels == full else {"levels": levels}
    extra |= {} if signs == "hashed" else {"signs": signs}
    kept = SparseSigns(b, d, theta, seed, chosen(signs, b, d, seed))
    total = sparse_sum(r, d, kept, m, levels)
    regularity = Regularity(r, d, radius=holder_radius(SplineBump(m), b, r, d))
    return target_of_sum("sparse_tree", total, r, regularity, identity("sparse_tree", (r, d), seed, extra))
