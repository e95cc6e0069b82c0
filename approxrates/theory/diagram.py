r"""The phase diagram as pure functions: feasible rates, boundaries and the resource law.

``r`` is the smoothness, ``d`` the dimension, ``W`` the number of parameters, ``p`` the rate (sup error ``O(W^{-p})``)
and ``rho = p d / r`` the normalised rate. Derivations are written out in ``docs/theory.md``. Statements about a class
are about its worst function.

Reference:
    Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477, for the diagram.
"""

from __future__ import annotations

import math
from typing import Protocol

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
