r"""Lower and upper curves of the error: for single trees, for a network's own pieces, for a class.

``r`` is the smoothness, ``d`` the dimension, ``b`` the base and ``A`` the amplitude of a tree
``f = sum_k A b^{-kr} sum_j s_kj psi(b^k x - j)`` with signs ``s_kj = +-1``. A functional in every cell of level ``k``
shows the sign of the cell; ``kappa`` is its margin over its norm: 1/2 for Faber trees (second differences). Derivations
are written out in ``docs/theory.md``.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from approxrates.theory.patterns import log2_sign_patterns

Array = NDArray[np.float64]

DOUBT_BITS = 20.0
"""Default ``-log2`` of the chance that a curve which holds with high probability fails."""


def free_knot_lower_curve(
    pieces: ArrayLike, smoothness: float, *, amplitude: float = 1.0, levels: float = math.inf, base: int = 2,
    kappa: float = 0.5,
) -> Array:  # fmt: skip
    r"""Least sup error of *any* piecewise-linear function with so many pieces on a tree: ``kappa A b^{-kr}``.

    Faber trees, on ``[0, 1]``: ``P`` pieces have ``H = P - 1`` break-points, which bend at most ``H`` of the ``2^k``
    cells of level ``k``; take the least ``k`` with ``2^k > H``. On a straight cell the second difference at its ends
    and middle vanishes for the approximant and is ``A 2^{-kr}`` for the tree: coarser hats are straight there, finer
    ones vanish at these points. The functional ``f(middle) - (f(left) + f(right)) / 2`` has norm 2. The same holds for
    other trees whose functional is a difference of order two or more. Deterministic: true for every tree and network.

    Args:
        pieces: Numbers of linear pieces, any shape, at least 1.
        smoothness: ``r`` of the tree.
        amplitude: ``A``.
        levels: Number of levels of the tree; beyond ``b^(levels - 1)`` pieces the curve is 0.
        base: ``b``.
        kappa: Margin of the difference over its norm: 1/2 for Faber trees.

    Returns:
        Lower bounds of the sup error, shape of ``pieces``.

    Raises:
        ValueError: If a number of pieces is below 1, or ``smoothness`` or ``amplitude`` is not positive.
    """
    counts = np.asarray(pieces, dtype=np.float64)
    if not (counts >= 1).all():
        raise ValueError(f"pieces must be at least 1. Got {counts.min()}. Write e.g. pieces=[1, 2, 4].")
    _positive(smoothness=smoothness, amplitude=amplitude, kappa=kappa)
    level = _least_level(counts - 1, base=base, dim=1)
    curve: Array = np.where(level < levels, kappa * amplitude * float(base) ** (-level * smoothness), 0.0)
    return curve


def dyadic_interpolation_upper_curve(cell_level: ArrayLike, smoothness: float, *, amplitude: float = 1.0) -> Array:
    r"""Largest sup error of the interpolant at ``2^K`` cells on a Faber tree: ``A 2^{-Kr} (2/3) / (1 - 2^{-r})``.

    The interpolant is the sum of the first ``K`` levels. The rest is at most ``A 2^{-Kr} sum_n 2^{-nr} hat(2^n x)``
    with all signs positive, whose maximum is at ``x = 1/3`` for ``0 < r <= 1``, where every hat is ``2/3``. True for
    interpolants
    only: a trained network may lie above.

    Args:
        cell_level: ``K``, any shape, at least 0.
        smoothness: ``r`` in ``(0, 1]``.
        amplitude: ``A``.

    Returns:
        Upper bounds of the sup error, shape of ``cell_level``.

    Raises:
        ValueError: If ``K < 0``, ``r`` is not in ``(0, 1]``, or ``amplitude`` is not positive.
    """
    level = np.asarray(cell_level, dtype=np.float64)
    if not (level >= 0).all():
        raise ValueError(f"cell_level must be at least 0. Got {level.min()}. Write e.g. cell_level=[4, 5, 6].")
    _positive(smoothness=smoothness, amplitude=amplitude)
    if smoothness > 1:
        raise ValueError(
            f"smoothness must be at most 1 for trees of hats. Got {smoothness}. Write e.g. smoothness=0.5."
        )
    curve: Array = amplitude * 2.0 ** (-level * smoothness) * (2 / 3) / (1 - 2.0**-smoothness)
    return curve


def bits_lower_curve(
    n_params: ArrayLike, bits_per_weight: ArrayLike, smoothness: float, *, dim: int = 1, amplitude: float = 1.0,
    base: int = 2, kappa: float = 0.5, doubt_bits: float = DOUBT_BITS,
) -> Array:  # fmt: skip
    r"""Least sup error of any network with so many weights of so many bits on a random tree: ``kappa A b^{-kr}``.

    Level ``k`` of the tree has ``m = b^{kd}`` independent random signs, and an approximant within ``kappa A b^{-kr}``
    shows them all. ``W`` weights of ``B`` bits name at most ``2^{BW}`` networks of one architecture, so the chance
    that any of them is that close is at most ``2^{BW - m}``. The curve takes the least ``k`` with
    ``m >= B W + doubt_bits``, so it holds for the one sampled tree with probability at least ``1 - 2^{-doubt_bits}``
    per architecture. It needs *true* random signs; with those of a seeded generator it is conditional on their
    pseudo-randomness.

    Args:
        n_params: ``W``, any shape, non-negative.
        bits_per_weight: ``B``, broadcast against ``n_params``; 64 for double precision.
        smoothness: ``r``.
        dim: ``d``.
        amplitude: ``A``.
        base: ``b``.
        kappa: Margin of the sign functionals over their norm: 1/2 for Faber trees (second differences).
        doubt_bits: ``-log2`` of the probability of failure.

    Returns:
        Lower bounds of the sup error, broadcast shape.

    Raises:
        ValueError: If an argument is out of range.
    """
    _positive(smoothness=smoothness, amplitude=amplitude, kappa=kappa)
    level = bits_level(n_params, bits_per_weight, dim=dim, base=base, doubt_bits=doubt_bits)
    curve: Array = kappa * amplitude * float(base) ** (-level * smoothness)
    return curve


def bits_level(
    n_params: ArrayLike,
    bits_per_weight: ArrayLike,
    *,
    dim: int = 1,
    base: int = 2,
    doubt_bits: ArrayLike = DOUBT_BITS,
) -> Array:
    """The level of :func:`bits_lower_curve`: the least ``k`` with ``b^{kd} >= B W + doubt_bits``, broadcast shape.

    Raises:
        ValueError: If an argument is out of range.
    """
    if dim < 1 or base < 2:
        raise ValueError(f"dim must be at least 1 and base at least 2. Got dim={dim}, base={base}. Write 1 and 2.")
    total = np.asarray(n_params, dtype=np.float64) * np.asarray(bits_per_weight, dtype=np.float64)
    if not (total >= 0).all():
        raise ValueError(
            "n_params and bits_per_weight must not be negative. Got a negative product. Write e.g. 1000, 64."
        )
    return _least_level(np.ceil(total + np.asarray(doubt_bits, dtype=np.float64)) - 1, base=base, dim=dim)


def description_lower_curve(
    bits: ArrayLike, smoothness: float, *, dim: int = 1, amplitude: float = 1.0, base: int = 2, kappa: float = 0.5,
    doubt_bits: float = DOUBT_BITS,
) -> Array:  # fmt: skip
    r"""Least sup error on a random tree of any network whose weights are written in so many bits in all.

    As :func:`bits_lower_curve`, for weights of any length: a prefix-free code has at most ``2^T`` words of ``T`` bits,
    so some network of one architecture with a description of exactly ``T`` bits shows all ``m`` signs of a level with
    probability at most ``2^{T - m}``. The curve takes the least level with
    ``m >= T + doubt_bits + 2 log2(T + 1) + 1``: the sum over all ``T`` of these probabilities is then at most
    ``2^-doubt_bits sum_T 1 / (2 (T + 1)^2) < 2^-doubt_bits``, so the bound holds for all lengths at once, also where
    ``T`` depends on the target.

    Args:
        bits: ``T``, any shape, non-negative; ``Network.description_bits``.
        smoothness: ``r``.
        dim: ``d``.
        amplitude: ``A``.
        base: ``b``.
        kappa: As for :func:`bits_lower_curve`.
        doubt_bits: ``-log2`` of the probability of failure.

    Returns:
        Lower bounds of the sup error, shape of ``bits``.

    Raises:
        ValueError: If an argument is out of range.
    """
    _positive(smoothness=smoothness, amplitude=amplitude, kappa=kappa)
    level = description_level(bits, dim=dim, base=base, doubt_bits=doubt_bits)
    curve: Array = kappa * amplitude * float(base) ** (-level * smoothness)
    return curve


def description_level(bits: ArrayLike, *, dim: int = 1, base: int = 2, doubt_bits: float = DOUBT_BITS) -> Array:
    """The level of :func:`description_lower_curve`.

    Raises:
        ValueError: If an argument is out of range.
    """
    total = np.asarray(bits, dtype=np.float64)
    if not (total >= 0).all():
        raise ValueError("bits must not be negative. Got a negative number. Write e.g. 10_000.")
    return bits_level(total, 1.0, dim=dim, base=base, doubt_bits=doubt_bits + 1 + 2 * np.log2(total + 1))


def real_weights_lower_curve(
    widths: Sequence[int], smoothness: float, *, dim: int = 1, amplitude: float = 1.0, base: int = 2,
    kappa: float = 0.5, n_points: int = 3, breakpoints: int = 1, degree: int = 1, levels: float = math.inf,
    doubt_bits: float = DOUBT_BITS,
) -> float:  # fmt: skip
    r"""Least sup error on a random tree of any network of one architecture, whatever its *real* weights.

    Level ``k`` of the tree has ``m = b^{kd}`` independent random signs, which an approximant within ``kappa A b^{-kr}``
    shows. Networks of piecewise-polynomial units with any real weights show at most ``2^K`` of the ``2^m`` patterns,
    ``K`` by :func:`~approxrates.theory.patterns.log2_sign_patterns`; the curve takes the least ``k`` with ``K +
    doubt_bits <= m``. So it holds for the one sampled tree with probability at least ``1 - 2^{-doubt_bits}`` per
    architecture. It needs *true* random signs; with those of a seeded generator it is conditional on their
    pseudo-randomness.

    Args:
        widths: Units of the hidden layers.
        smoothness: ``r``.
        dim: ``d``.
        amplitude: ``A``.
        base: ``b``.
        kappa: Margin of the sign functionals over their norm.
        n_points: Points of each functional: 3 for second differences.
        breakpoints: Break-points of the activation.
        degree: Degree of its pieces.
        levels: Number of levels of the tree; where they do not suffice the bound is 0.
        doubt_bits: ``-log2`` of the probability of failure.

    Returns:
        The lower bound of the sup error; 0.0 where nothing is proved.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> f"{real_weights_lower_curve([12] * 16, 1.0):.1e}"
        '9.5e-07'
    """
    _positive(smoothness=smoothness, amplitude=amplitude, kappa=kappa)
    level = real_weights_level(
        widths, dim=dim, base=base, n_points=n_points, breakpoints=breakpoints, degree=degree, doubt_bits=doubt_bits
    )
    return kappa * amplitude * float(base) ** (-level * smoothness) if level < levels else 0.0


def real_weights_level(
    widths: Sequence[int], *, dim: int = 1, base: int = 2, n_points: int = 3, breakpoints: int = 1, degree: int = 1,
    doubt_bits: float = DOUBT_BITS,
) -> int:  # fmt: skip
    """The level of :func:`real_weights_lower_curve`: the least ``k`` with more signs than patterns, doubt included.

    Raises:
        ValueError: If an argument is out of range.
    """
    if dim < 1 or base < 2:
        raise ValueError(f"dim must be at least 1 and base at least 2. Got dim={dim}, base={base}. Write 1 and 2.")
    level, signs = 0, 1.0
    while signs < doubt_bits or doubt_bits + log2_sign_patterns(
        widths, signs, n_points=n_points, dim=dim, breakpoints=breakpoints, degree=degree
    ) > signs:  # fmt: skip
        level, signs = level + 1, signs * float(base) ** dim
    return level


def continuous_lower_curve(
    n_params: ArrayLike, smoothness: float, *, dim: int = 1, amplitude: float = 1.0, base: int = 2
) -> Array:
    r"""Least class error of any *continuous* choice of weights: ``A b^{-kr}`` at the least ``k`` with ``b^{kd} > W``.

    The bumps of level ``k`` span a space of dimension ``b^{kd}`` whose sup-norm ball of radius ``A b^{-kr}`` lies in
    the class of trees with free coefficients. By Borsuk's theorem a continuous map to ``R^W`` with ``W`` below that
    dimension sends some ``f`` and ``-f`` on the sphere to the same weights. A bound on the class over continuous
    choices, not on one function: deep constructions are meant to cross it.

    Reference:
        DeVore, Howard & Micchelli (1989), Manuscripta Math. 63, 469-478.
    """
    _positive(smoothness=smoothness, amplitude=amplitude)
    level = _least_level(np.asarray(n_params, dtype=np.float64), base=base, dim=dim)
    curve: Array = amplitude * float(base) ** (-level * smoothness)
    return curve


def _least_level(counts: Array, *, base: int, dim: int) -> Array:
    """Least integer ``k >= 0`` with ``base^(k dim) > counts``, elementwise; logarithms guess, powers decide."""
    cells = float(base) ** dim
    level = np.floor(np.log(np.maximum(counts, 1.0)) / math.log(cells))
    for _ in range(2):
        level = np.where(cells**level <= counts, level + 1, level)
    lower: Array = np.where((level > 0) & (cells ** (level - 1) > counts), level - 1, level)
    return lower


def _positive(**values: float) -> None:
    """Refuses numbers that are not positive and finite."""
    for name, value in values.items():
        if not 0 < value < math.inf:
            raise ValueError(f"{name} must be positive and finite. Got {name}={value}. Write e.g. {name}=0.5.")
