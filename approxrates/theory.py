r"""The phase diagram as pure functions: feasible rates, boundaries, the resource law and certified lower curves.

``r`` is the smoothness, ``d`` the dimension, ``W`` the number of parameters, ``p`` the rate (sup error ``O(W^{-p})``)
and ``rho = p d / r`` the normalised rate. Derivations are written out in ``docs/theory.md``. Statements about a class
are about its worst function; a curve that holds for every single sampled function says so.

Reference:
    Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the diagram.
"""

from __future__ import annotations

import math
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]

CEILINGS: dict[str, float | None] = {
    "piecewise-constant": 1.0,
    "piecewise-linear": 2.0,
    "piecewise-polynomial": 2.0,
    "periodic": None,
    "smooth": None,
}
"""Largest feasible ``rho`` by family of activations (finitely many pieces); None where no ceiling is known."""


class Smooth(Protocol):
    """Anything with a smoothness and a dimension, such as ``Regularity``."""

    @property
    def smoothness(self) -> float:
        """``r``."""
        ...

    @property
    def dim(self) -> int:
        """``d``."""
        ...


def classical_rate(regularity: Smooth) -> float:
    """``r / d``: the best rate with weights that depend continuously on the target; ``inf`` for smooth targets.

    A continuous map into ``R^W`` cannot do better on the ball of ``r``-smooth functions (DeVore, Howard & Micchelli
    1989, Manuscripta Math. 63, Thm 4.2); local Taylor polynomials reach it (Yarotsky 2017, arXiv:1610.01145, Thm 1).
    """
    return regularity.smoothness / regularity.dim


def deep_rate(regularity: Smooth) -> float:
    """``2 r / d``: the best rate of any network with a piecewise-polynomial activation of finitely many pieces.

    The VC dimension of ``W`` weights is ``O(W^2)``, and error ``eps`` on the ball needs ``eps^{-d/r}`` shattered
    points. Reached at fixed width up to a logarithm (Yarotsky & Zhevnerchuk 2020, arXiv:1906.09477), and without it
    (Siegel 2023, arXiv:2211.14400).
    """
    return 2 * classical_rate(regularity)


def ceiling(*families: str) -> float | None:
    """Largest feasible ``rho`` of networks whose units are of these families; None if no ceiling is known.

    Piecewise constant with finitely many pieces (Heaviside): 1, since the VC dimension is ``O(W log W)`` at any depth.
    Piecewise polynomial: 2. Periodic activations have infinite VC dimension. For smooth ones such as tanh the known
    bound on the VC dimension, ``O(W^4)``, gives no more than ``rho <= 4``, which is nobody's conjecture: no ceiling is
    drawn.

    Args:
        families: ``"piecewise-constant"``, ``"piecewise-linear"``, ``"piecewise-polynomial"``, ``"periodic"``,
            ``"smooth"``.

    Raises:
        ValueError: For an unknown family, or none.

    Example:
        >>> ceiling("piecewise-linear"), ceiling("piecewise-linear", "periodic")
        (2.0, None)

    Reference:
        Bartlett, Harvey, Liaw & Mehrabian (2019), arXiv:1703.02930; Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477.
    """
    if not families:
        raise ValueError("ceiling needs at least one family. Got none. Write e.g. ceiling('piecewise-linear').")
    for family in families:
        if family not in CEILINGS:
            raise ValueError(f"family must be one of {', '.join(CEILINGS)}. Got {family!r}.")
    limits = [CEILINGS[family] for family in families]
    known = [limit for limit in limits if limit is not None]
    return max(known) if len(known) == len(limits) else None


def feasible_rate(regularity: Smooth, *families: str) -> float:
    """Supremum of the feasible rates ``p`` on the class: ``ceiling * r / d``; ``inf`` where no ceiling is known."""
    limit = ceiling(*families)
    return math.inf if limit is None else limit * classical_rate(regularity)


def required_depth_exponent(rho: float) -> float:
    """Least ``a`` with depth ``L ~ W^a`` at which a ReLU network can reach the normalised rate ``rho``: ``rho - 1``.

    The VC dimension ``O(W L log W)`` must reach ``eps^{-d/r} = W^{rho}``, hence ``L >= W^{rho - 1}`` up to a logarithm;
    up to a constant this depth suffices for ``1 < rho < 2`` (Yarotsky & Zhevnerchuk 2020, arXiv:1906.09477).

    Raises:
        ValueError: If ``rho`` is not in ``(0, 2]``.
    """
    if not 0 < rho <= 2:
        raise ValueError(f"rho must be in (0, 2]: beyond 2 no depth suffices. Got rho={rho}. Write e.g. rho=1.5.")
    return max(0.0, rho - 1)


def depth_term(depth_exponent: float, *families: str) -> float:
    """What depth ``L ~ W^a`` allows: ``1 + a`` for piecewise-linear networks; ``inf`` where no bound is known.

    Piecewise polynomials of degree two or more: VC dimension ``O(W L^2 + W L log W)``, hence ``min(2, 1 + 2 a)``;
    piecewise
    constant: 1 at any depth (Bartlett, Harvey, Liaw & Mehrabian 2019, arXiv:1703.02930, Thms 6 and 10; recalled).
    """
    limit = ceiling(*families)
    if limit is None or limit <= 1:
        return math.inf if limit is None else limit
    return min(limit, 1 + depth_exponent * (2 if "piecewise-polynomial" in families else 1))


def resource_law(depth_exponent: float, bits_exponent: float = math.inf, sample_exponent: float = math.inf) -> float:
    r"""Largest ``rho`` that resources allow on an information-rich target: ``min(1 + a, 1 + beta, sigma)``, ReLU.

    With depth ``W^a``, ``W^beta`` bits per weight and ``W^sigma`` samples of the target, up to logarithms. The target
    is known to error ``eps`` only through ``m = eps^{-d/r} = W^{rho}`` free signs. Depth: networks must produce all
    ``2^m`` patterns, so ``m <= VCdim = O(W L log W)``. Bits: ``W^{1 + beta}`` bits name at most
    ``2^{W^{1 + beta}}`` networks, so ``m <= W^{1 + beta}``. Samples: signs between samples are not seen, so
    ``m <= W^sigma``. Necessary only.

    Args:
        depth_exponent: ``a = d log L / d log W`` along the family, at least 0.
        bits_exponent: ``beta = d log(bits per weight) / d log W``; 0 for floating-point weights.
        sample_exponent: ``sigma = d log(samples) / d log W``; ``inf`` for an encoder that knows the target.

    Raises:
        ValueError: If an exponent is negative or NaN.

    Example:
        >>> resource_law(1.0), resource_law(1.0, 0.0), resource_law(0.5, 1.0, 2.0)
        (2.0, 1.0, 1.5)
    """
    for name, value in (
        ("depth_exponent", depth_exponent), ("bits_exponent", bits_exponent), ("sample_exponent", sample_exponent)
    ):  # fmt: skip
        if not value >= 0:
            raise ValueError(f"{name} must be at least 0. Got {name}={value}. Write e.g. {name}=1.0.")
    return min(1 + depth_exponent, 1 + bits_exponent, sample_exponent)


def depth_limited_rate(depth: int) -> float:
    """``2 H``: the largest rate of ReLU networks with ``H`` hidden layers on any ``C^2`` function that is not affine.

    On a segment where the curvature is at least ``c > 0`` a network with widths ``k_i`` has at most
    ``prod(k_i + 1) = O(W^H)`` pieces, and one piece of length ``l`` errs by at least ``c l^2 / 16``.

    Raises:
        ValueError: If ``depth < 1``.

    Reference:
        Yarotsky (2017), arXiv:1610.01145, Thm 6 (number recalled); derived in ``docs/theory.md``.
    """
    if depth < 1:
        raise ValueError(f"depth must be at least 1. Got depth={depth}. Write e.g. depth=1.")
    return 2.0 * depth


def free_knot_lower_curve(
    pieces: ArrayLike, smoothness: float, *, amplitude: float = 1.0, levels: float = math.inf
) -> Array:
    r"""Least sup error of *any* piecewise-linear function with so many pieces on a Faber tree: ``A 2^{-kr} / 2``.

    The tree is ``sum_k A 2^{-kr} sum_j s_kj hat(2^k x - j)`` with signs ``s_kj = +-1``, on ``[0, 1]``. ``P`` pieces
    have ``H = P - 1`` break-points, which bend at most ``H`` of the ``2^k`` cells of level ``k``; take the least ``k``
    with ``2^k > H``. On a straight cell the second difference at its ends and middle vanishes for the approximant and
    is ``A 2^{-kr}`` for the tree: coarser hats are straight there, finer ones vanish at these points. The
    functional ``f(middle) - (f(left) + f(right)) / 2`` has norm 2. Deterministic: true for every tree and network.

    Args:
        pieces: Numbers of linear pieces, any shape, at least 1.
        smoothness: ``r`` of the tree.
        amplitude: ``A``.
        levels: Number of levels of the tree; beyond ``2^(levels - 1)`` pieces the curve is 0.

    Returns:
        Lower bounds of the sup error, shape of ``pieces``.

    Raises:
        ValueError: If a number of pieces is below 1, or ``smoothness`` or ``amplitude`` is not positive.
    """
    counts = np.asarray(pieces, dtype=np.float64)
    if not (counts >= 1).all():
        raise ValueError(f"pieces must be at least 1. Got {counts.min()}. Write e.g. pieces=[1, 2, 4].")
    _positive(smoothness=smoothness, amplitude=amplitude)
    level = _least_level(counts - 1, base=2, dim=1)
    curve: Array = np.where(level < levels, amplitude * 2.0 ** (-level * smoothness) / 2, 0.0)
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
    base: int = 2, kappa: float = 0.5, doubt_bits: float = 20.0,
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
    if dim < 1 or base < 2:
        raise ValueError(f"dim must be at least 1 and base at least 2. Got dim={dim}, base={base}. Write 1 and 2.")
    total = np.asarray(n_params, dtype=np.float64) * np.asarray(bits_per_weight, dtype=np.float64)
    if not (total >= 0).all():
        raise ValueError(
            "n_params and bits_per_weight must not be negative. Got a negative product. Write e.g. 1000, 64."
        )
    level = _least_level(np.ceil(total + doubt_bits) - 1, base=base, dim=dim)
    curve: Array = kappa * amplitude * float(base) ** (-level * smoothness)
    return curve


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
