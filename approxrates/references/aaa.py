"""Rational approximation by the AAA algorithm: a barycentric formula, support points taken greedily.

A fit may have poles on the interval between the samples. It is unbounded then, whatever the samples say, and no result.
"""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method
from approxrates.sampling import chebyshev
from approxrates.target import Target

_POLE = 1e-10
"""A pole this close to the interval counts as on it: the spike is too narrow for any sampling to see."""


def build(target: Target, n_params: int) -> Approximant:
    """The fit with at most ``n_params // 3`` support points, by ``scipy.interpolate.AAA``.

    Raises:
        ValueError: If the fit has a pole on [0, 1].
    """
    from scipy.interpolate import AAA

    terms = n_params // 3
    x = samples(terms)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=RuntimeWarning)  # that it has not converged with so few terms
        fit = AAA(x, target(x[:, None]), max_terms=terms)
    used = len(fit.support_points)
    near = poles_on_interval(fit.poles() if used > 1 else np.zeros(0))
    if len(near):
        raise ValueError(
            f"aaa must have no pole on [0, 1]. Got {len(near)} with {used} terms, the first at {near[0]:.6g}. Use "
            "another n_params, or another reference for this target."
        )
    provenance = {
        "reference": "aaa",
        "terms": used,
        "n_samples": len(x),
        "counted": {"points": used, "values": used, "weights": used},
    }

    def evaluate(points: Array) -> Array:
        result: Array = np.asarray(fit(points[:, 0]), dtype=np.float64)
        return result

    return Approximant("aaa", 1, 3 * used, evaluate, provenance=provenance)


def samples(terms: int) -> Array:
    """Points on which the fit is made: an even grid and Chebyshev points, at least 16 of each for every term."""
    n = max(1024, 16 * terms)
    return np.unique(np.concatenate([np.arange(n + 1) / n, chebyshev(n)[:, 0]]))


def poles_on_interval(poles: NDArray[Any]) -> Array:
    """Real parts of the poles on [0, 1], ascending."""
    on = (np.abs(np.imag(poles)) <= _POLE) & (np.real(poles) >= -_POLE) & (np.real(poles) <= 1.0 + _POLE)
    result: Array = np.sort(np.real(poles[on]))
    return result


METHOD = Method(
    name="aaa",
    statement="Near-best rational approximation in practice: geometric for functions analytic on the interval, "
    "exp(-c sqrt n) for functions with power singularities. No theorem bounds the error of the algorithm.",
    reference="Nakatsukasa, Sète & Trefethen (2018), doi:10.1137/16M1106122; Stahl (1993), "
    "doi:10.1070/SM1993v076n02ABEH003552 (best rational approximation of |x|)",
    rate_law="geometric for analytic functions; root-exponential for power singularities; for others none is known",
    count_law="3 m: support points, values and weights",
    dims=(1,),
    least=lambda dim: 6,
    most=600,
    rate=lambda smoothness, dim: math.inf if math.isinf(smoothness) else math.nan,
    build=build,
)
