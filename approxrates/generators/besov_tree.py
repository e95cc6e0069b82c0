"""Besov tree: the sparse tree made to lie in a given Besov space, and in no better one of the same p."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from approxrates.generators.base import DEFAULT_LEVELS, deepest, identity, positive, whole
from approxrates.generators.bump_tree import AUTO_BASES, BELOW, first_proven
from approxrates.generators.signs import SparseSigns, chosen
from approxrates.generators.sparse_tree import DEFAULT_THETA, share, sparse_sum, target_of_sum
from approxrates.regularity import Regularity
from approxrates.target import Target

DEFAULT_P = 2.0


def holder_exponent(smoothness: float, dim: int, p: float, theta: float) -> float:
    """Hölder exponent ``s - (1 - theta) d / p`` of the Besov tree of smoothness s: that, and no better, anywhere.

    Example:
        >>> holder_exponent(1.75, dim=1, p=2.0, theta=0.5)
        1.5
    """
    return smoothness - (1.0 - theta) * dim / p


def _integrability(p: Any) -> float:
    """The p of the space, at least 1."""
    if isinstance(p, bool) or not isinstance(p, (int, float, np.integer, np.floating)):
        raise TypeError(f"p must be a number. Got {p!r}. Write e.g. p=2.")
    if not 1 <= p < math.inf:
        raise ValueError(f"p must be at least 1 and finite. Got p={p}. Use e.g. p=2; for p = inf use bump_tree.")
    return float(p)


def _exponent(s: float, d: int, p: float, theta: float) -> float:
    """The Hölder exponent, checked."""
    if not s > d / p:
        raise ValueError(
            f"smoothness of besov_tree must be above dim / p = {d / p:g}, or its functions need not be continuous. "
            f"Got smoothness={s:g}. Use e.g. smoothness={d / p + 0.3:g}, or a larger p."
        )
    r = holder_exponent(s, d, p, theta)
    if abs(r - round(r)) < 1e-9:
        raise ValueError(
            f"smoothness - (1 - theta) dim / p of besov_tree must not be an integer. Got {r:g} from "
            f"smoothness={s:g}, p={p:g}, theta={theta:g}. Change theta a little."
        )
    return r


def besov_tree(
    smoothness: float,
    dim: int = 1,
    seed: int = 0,
    p: float = DEFAULT_P,
    theta: float = DEFAULT_THETA,
    levels: int | None = None,
    signs: str = "hashed",
) -> Target:
    r"""A sparse tree in ``B^s_{p,inf}``, ``s = smoothness``, and in no ``B^t_{p,inf}`` with ``t > s``.

    It is the sparse tree of Hölder exponent ``r = s - (1 - theta) d / p``: heights ``b^(-k r)`` on
    ``b^ceil(theta k d)`` cells of level k. Both statements are proven in
    :func:`~approxrates.generators.sparse_tree.sparse_tree`; the order m of the splines is chosen so that
    ``m - 1 > s`` (or 2, with ``1 + 1/p > s`` and ``r < 1``), which the proof needs. The scaled coefficient norms
    ``b^(k (s - d/p)) (sum_j |c_kj|^p)^(1/p)`` lie in ``[1, b^(1/p))`` on every level.

    As a Hölder function it has exponent r only: a mesh fixed beforehand converges like ``N^(-r/d)``. Splines with free
    knots reach ``r / (theta d)``, more than the ``s/d`` of the worst function of the space: one sparsity on all levels
    makes it easier than the space (``r > theta d / p`` because ``s > d / p``). No Hölder radius of order s exists.

    Args:
        smoothness: The s, above ``dim / p`` and below 6; ``s - (1 - theta) dim / p`` is no integer.
        dim: Input dimension d.
        seed: Seed of the cells kept and of their signs.
        p: Integrability, at least 1.
        theta: Sparsity, above 0 and at most 1: the smaller, the rougher at the few places kept.
        levels: Number of levels; by default as many as reach cells of side ``2^-40``.
        signs: ``hashed``, or ``stored`` for true random bits on the coarse levels; the cells kept are always hashed.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        DeVore & Popov (1988), Trans. Amer. Math. Soc. 305, 397-414 (recalled).
    """
    s, d, seed = positive("besov_tree", smoothness, BELOW), whole("dim", dim, 1), whole("seed", seed, 0)
    p, theta = _integrability(p), share(theta)
    r = _exponent(s, d, p, theta)
    b, m = _setting(r, s, p)
    full = math.ceil(DEFAULT_LEVELS / math.log2(b))
    levels = full if levels is None else whole("levels", levels, 1, deepest(b))
    extra: dict[str, Any] = {"p": p, "theta": theta}
    extra |= {} if levels == full else {"levels": levels}
    extra |= {} if signs == "hashed" else {"signs": signs}
    total = sparse_sum(r, d, SparseSigns(b, d, theta, seed, chosen(signs, b, d, seed)), m, levels)
    parameters = identity("besov_tree", (s, d), seed, extra)
    return target_of_sum("besov_tree", total, r, Regularity(s, d, kind="besov"), parameters)


def _setting(r: float, s: float, p: float) -> tuple[int, int]:
    """Base and order that are proven for the Hölder exponent r and smooth enough for s."""
    if r < 1 and s < 1 + 1 / p:
        return 2, 2
    least = max(math.floor(r), math.floor(s)) + 2
    setting = first_proven(r, AUTO_BASES, range(least, least + 4))
    if setting is None:
        raise ValueError(
            f"besov_tree must have splines for which its smoothness is proven. Got smoothness={s:g}, p={p:g} with "
            f"Hölder exponent {r:g}: none found. Use a larger theta, or a smaller smoothness."
        )
    return setting
