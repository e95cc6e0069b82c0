"""Matérn fields: stationary Gaussian functions of any smoothness, the prior of most Gaussian-process models."""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import numpy as np

from approxrates.generators import base
from approxrates.generators.gaussian_paths import NODE_ROUNDING, NodeSpline, dyadic, polygon_tail, stationary
from approxrates.generators.node_models import node_enclosure
from approxrates.regularity import Regularity
from approxrates.target import Target

FINEST = {1: 16, 2: 8}
BELOW = 3.0
LEAST = {1: 0.001, 2: 0.05}  # nu by dimension: below, the covariance reaches over hundreds of periods in each
LENGTH = 0.1
_FAR = 36.0  # a Matérn covariance is below 1e-15 beyond
_SIDE = 2  # of the torus; the field is used on half of it in every direction


def covariance(nu: float, distance: base.Floats) -> base.Floats:
    """Matérn covariance of variance 1 at distances in units of ``length / sqrt(2 nu)``."""
    from scipy.special import gamma, kv

    result = np.where(distance == 0.0, 1.0, 0.0)
    near = (distance > 0.0) & (distance < _FAR)
    z = distance[near]
    result[near] = np.minimum(2.0 ** (1.0 - nu) / gamma(nu) * z**nu * kv(nu, z), 1.0)
    return result


@functools.lru_cache(maxsize=16)
def _torus(nu: float, length: float, dim: int) -> base.Floats:
    """Covariance of the field with period 2 to the origin, on the grid: the sum over all periodic images."""
    cells = 2 ** FINEST[dim]
    scale = math.sqrt(2.0 * nu) / length
    side = np.arange(cells + 1) / cells
    reach = math.ceil((_FAR / scale + 1.0) / _SIDE)
    quarter = np.zeros((cells + 1,) * dim)
    for image in itertools.product(range(-reach, reach + 1), repeat=dim):
        axes = np.meshgrid(*[(side + _SIDE * i) ** 2 for i in image], indexing="ij", sparse=True)
        quarter += covariance(nu, scale * np.sqrt(sum(axes, start=np.zeros((1,) * dim))))
    fold = np.concatenate([np.arange(cells + 1), np.arange(cells - 1, 0, -1)])
    return np.asarray(quarter[np.ix_(*[fold] * dim)])


@functools.lru_cache(maxsize=16)
def _field(nu: float, length: float, dim: int, seed: int) -> base.Floats:
    """One draw on the torus, rounded to multiples of ``2^-40``."""
    values = dyadic(stationary(_torus(nu, length, dim), seed))
    values.flags.writeable = False
    return values


def _variance(nu: float, length: float, level: int) -> float:
    """Bound on the variance of a midpoint of level k about the mean of its ends; derived in :func:`matern`."""
    z = math.sqrt(2.0 * nu) * 2.0 ** -(level + 1) / length
    return 2.0 * math.gamma(1.0 - nu) / math.gamma(1.0 + nu) * math.pow(z / 2.0, 2.0 * nu)


def matern(smoothness: float, dim: int = 1, seed: int = 0, length: float = LENGTH, levels: int | None = None) -> Target:
    r"""A Gaussian field with Matérn covariance of smoothness ``nu = smoothness``, variance 1, made periodic.

    ``C(t) = 2^(1-nu) / Gamma(nu) z^nu K_nu(z)``, ``z = sqrt(2 nu) |t| / length``, summed over images of period 2; the
    torus makes circulant embedding exact in every dimension. Values at the nodes are rounded to multiples of
    ``2^-40``; they are the coefficients of hats (``nu < 1``) or of cubic B-splines (``nu > 1``; they smooth a little at
    the finest scale but keep the smoothness of the field, where polygons would not).

    *Regularity.* As for Brownian paths: almost surely Hölder of every order below nu and of none above, anywhere, with
    modulus ``h^nu sqrt(log 1/h)`` of the last derivative (kind ``holder-log``; no radius). In L^2 it lies in ``H^s``
    for ``s < nu``.

    *Tail*, for ``d = 1``, ``nu < 1`` and ``length <= sqrt(2 nu)``, with probability at least 1 - 1e-6 over the draws. A
    midpoint lies about the mean of its ends with variance at most ``V(t) = 2 (C(0) - C(t))`` at ``t = 2^-(k+1)``, by
    convexity of the square. The spectral density is at most ``c |w|^(-2 nu - 1)``, whose integral against
    ``2 (1 - cos w t)`` is ``2 Gamma(1-nu) / Gamma(1+nu) (z/2)^(2 nu)``; periodic images at distance over 1 only lower
    ``V``, since C is convex at ``z >= 1``. The sum over levels is in
    :func:`~approxrates.generators.gaussian_paths.polygon_tail`, to which the rounding of the nodes, 2^-41, is added.
    Otherwise no tail is proven, and it is inf.

    *Information*: about ``eps^(-d/nu)`` bits to sup error eps, from the small-ball probabilities (Li & Linde 1999 with
    Dereich et al. 2003), so it is information-rich, under true randomness.

    Args:
        smoothness: The nu, ``nu < 3``, not an integer, at least 0.001 in d = 1 and 0.05 in d = 2: the covariance
            reaches as far as ``36 length / sqrt(2 nu)``, and all periodic images in that reach are summed.
        dim: 1 or 2.
        seed: Seed of the field.
        length: Correlation length, between 0.02 and 0.25.
        levels: Number of halvings, at most 16 in d = 1 and 8 in d = 2.

    Raises:
        TypeError: For values of the wrong kind.
        ValueError: For values out of range.

    Reference:
        Stein (1999), Interpolation of Spatial Data, chapter 2; Dietrich & Newsam (1997), SIAM J. Sci. Comput. 18.
    """
    nu, d = base.rough("matern", smoothness, BELOW), base.whole("dim", dim, 1, 2)
    if nu < LEAST[d]:
        raise ValueError(
            f"smoothness of matern must be at least {LEAST[d]:g} in dim={d}: below, its covariance "
            f"reaches over too many periods. Got smoothness={nu:g}. Use e.g. smoothness={LEAST[d]:g}."
        )
    full = FINEST[d]
    seed, levels = base.whole("seed", seed, 0), full if levels is None else base.whole("levels", levels, 1, full)
    if isinstance(length, bool) or not isinstance(length, (int, float)):
        raise TypeError(f"length must be a number. Got {length!r}. Write e.g. length=0.1.")
    if not 0.02 <= length <= 0.25:
        raise ValueError(f"length must be between 0.02 and 0.25. Got length={length}. Use e.g. length=0.1.")
    order, step = 2 if nu < 1 else 4, 2 ** (full - levels)
    beyond = order // 2 - 1  # nodes outside of the cube: the torus has them
    nodes = step * np.arange(-beyond, 2**levels + 1 + beyond)
    total = NodeSpline(order, levels, _field(nu, float(length), d, seed)[np.ix_(*[nodes] * d)])
    proven = d == 1 and nu < 1 and length <= math.sqrt(2 * nu)
    extra: dict[str, Any] = {
        k: v for k, v, usual in (("length", length, LENGTH), ("levels", levels, full)) if v != usual
    }
    return Target(
        name="matern",
        regularity=Regularity(nu, d, "holder-log"),
        parameters=base.identity("matern", (nu, d), seed, extra),
        evaluate=total.evaluate,
        exact_evaluate=total.exact,
        tail_bound=polygon_tail(levels, functools.partial(_variance, nu, float(length))) + NODE_ROUNDING
        if proven
        else math.inf,
        base=2,
        enclosure=node_enclosure(total),
        evaluation_error=total.rounding,
        interpolation_gap=total.gap if d == 1 else None,
    )
