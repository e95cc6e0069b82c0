"""Fractional Brownian paths: rough at every point, with a modulus that carries a logarithm."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.gaussian_paths import NODE_ROUNDING, NodeSpline, dyadic, polygon_tail, stationary
from approxrates.generators.node_models import node_enclosure
from approxrates.regularity import Regularity
from approxrates.target import Target

FINEST = 16
MOST = 1.0 - 1e-6
_SERIES_ABOVE = 0.9  # of H; below, the direct formula is good to 4e-5 of the smallest eigenvalue, and defines the paths
_SERIES_FROM = 8.0  # lag
_SERIES_TERMS = 12


def increment_covariance(hurst: float, lags: base.Floats) -> base.Floats:
    r"""Covariance of the increments of fractional Brownian motion over unit steps, at whole lags.

    It is half the second difference of ``k^(2H)``, which cancels at large lags: its rounding spoils the small
    eigenvalues near H = 1 (by 12 % at .999). There the binomial series ``k^(2H) sum_j C(2H, 2j) k^(-2j)`` is summed.

    Args:
        hurst: The H.
        lags: Whole numbers >= 0.
    """
    powers = [np.abs(lags + shift) ** (2.0 * hurst) for shift in (-1.0, 0.0, 1.0)]
    found = np.asarray(0.5 * (powers[0] - 2.0 * powers[1] + powers[2]))
    if hurst <= _SERIES_ABOVE:
        return found
    far, twice = lags >= _SERIES_FROM, 2.0 * hurst
    binomials = [0.5 * twice * (twice - 1.0)]
    for j in range(1, _SERIES_TERMS):
        binomials.append(binomials[-1] * (twice - 2 * j) * (twice - 2 * j - 1) / ((2 * j + 1) * (2 * j + 2)))
    inverse = lags[far] ** -2.0
    found[far] = lags[far] ** (twice - 2.0) * np.polynomial.polynomial.polyval(inverse, binomials)
    return found


@functools.lru_cache(maxsize=32)
def _path(hurst: float, seed: int) -> base.Floats:
    """Fractional Brownian motion at ``j 2^-16``, shape ``(2^16 + 1,)``, rounded to multiples of ``2^-40``."""
    n = 2**FINEST
    lags = np.minimum(np.arange(2 * n), 2 * n - np.arange(2 * n)).astype(np.float64)
    noise = stationary(increment_covariance(hurst, lags), seed)[:n]
    path = dyadic(np.concatenate([[0.0], np.cumsum(noise)]) * float(n) ** -hurst)
    path.flags.writeable = False
    return path


def _midpoint_variance(hurst: float, level: int) -> float:
    """Variance of the midpoint of a cell of level k about the mean of its ends."""
    return float(2.0 ** (-2.0 * hurst * (level + 1)) * (1.0 - 2.0 ** (2.0 * hurst - 2.0)))


def brownian(smoothness: float, dim: int = 1, seed: int = 0, levels: int = FINEST) -> Target:
    r"""A fractional Brownian path of Hurst exponent ``H = smoothness``, started at 0; ``H = 1/2`` is Brownian motion.

    The path is drawn at ``2^16 + 1`` dyadic points by circulant embedding of its increments (the eigenvalues are not
    negative for any H: Craigmile 2003 and Dietrich & Newsam 1997), rounded to multiples of ``2^-40``, and joined
    linearly: its Faber-Schauder series up to that level. Fewer ``levels`` take every second point of the same path.

    *Regularity.* With probability 1 the modulus of continuity of the limit is ``h^H sqrt(2 log 1/h)`` to leading order
    (Lévy 1937 for H = 1/2, Marcus 1968), so the path is Hölder of every order below H and of no order above it,
    anywhere; not of order H itself, so no radius is stated (kind ``holder-log``).

    *Tail*, with probability at least 1 - 1e-6 over the draws. A midpoint differs from the mean of the ends of its cell
    of level k by a normal number of variance ``s - (2^-k)^(2H) / 4``, ``s = (2^-(k+1))^(2H)`` (expand the square, with
    the covariance ``((2^-k)^(2H) - 2 s) / 2`` of the two increments); the sum over levels is in
    :func:`~approxrates.generators.gaussian_paths.polygon_tail`. Rounding moves the nodes by 2^-41 at most.

    *Information.* To describe a path to ``eps`` in the sup norm takes about ``eps^(-1/H)`` bits, on average and for
    almost all paths (Dereich, Fehringer, Matoussi & Scheutzow 2003; Dereich & Scheutzow 2006), as for its class: it is
    information-rich. Strictly that holds for true randomness, and here a hash makes the numbers.

    *Linear interpolation*: the distance at each spacing is read off the path, node by node.

    Args:
        smoothness: The Hurst exponent, ``0 < H <= 1 - 1e-6``: nearer to 1 the eigenvalues drown in the rounding of the
            Fourier transform.
        dim: 1.
        seed: Seed of the path.
        levels: Number of halvings, at most 16.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Davies & Harte (1987), Biometrika 74, 95-101; Craigmile (2003), J. Time Ser. Anal. 24, 505-511.
    """
    h = base.rough("brownian", smoothness, below=1.0)
    if h > MOST:
        raise ValueError(
            f"smoothness of brownian must be at most 0.999999: nearer to 1 its increments are alike to rounding. "
            f"Got smoothness={h!r}. Use e.g. smoothness=0.999."
        )
    base.whole("dim", dim, 1, 1)
    seed, levels = base.whole("seed", seed, 0), base.whole("levels", levels, 1, FINEST)
    total = NodeSpline(2, levels, _path(h, seed)[:: 2 ** (FINEST - levels)])
    extra: dict[str, Any] = {} if levels == FINEST else {"levels": levels}
    return Target(
        name="brownian",
        regularity=Regularity(h, 1, "holder-log"),
        parameters=base.identity("brownian", (h, 1), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=polygon_tail(levels, functools.partial(_midpoint_variance, h)) + NODE_ROUNDING,
        base=2,
        enclosure=node_enclosure(total),
        evaluation_error=total.rounding,
        interpolation_gap=total.gap,
    )
