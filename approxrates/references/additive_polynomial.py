"""A sum of polynomials of one coordinate each, ``sum_i p_i(x_i)``, by least squares: the model with no interactions.

What it misses of a target in many dimensions is what needs interactions; what it reaches is no merit of depth.
"""

from __future__ import annotations

import math
from typing import Any

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method
from approxrates.references.leastsquares import fit_linear, fit_points
from approxrates.target import Target


def build(target: Target, n_params: int) -> Approximant:
    """The fit of the highest degree whose coefficients fit into ``n_params``."""
    dim = target.dim
    degree = (n_params - 1) // dim
    x, y = fit_points(target, dim * degree + 1, seed=0)

    def features(points: Array) -> Array:
        from numpy.polynomial.chebyshev import chebvander

        columns: Any = chebvander(2.0 * points - 1.0, degree)[..., 1:]  # the constant is fitted apart
        result: Array = columns.reshape(len(points), -1)
        return result

    fit = fit_linear(features, x, y)
    provenance = {
        "reference": "additive_polynomial",
        "degree": degree,
        "n_samples": len(y),
        "counted": {"coefficients": dim * degree, "constant": 1},
    }
    return Approximant("additive_polynomial", dim, dim * degree + 1, fit, provenance=provenance)


METHOD = Method(
    name="additive_polynomial",
    statement="Additive targets are approximated like functions of one variable, with degree (n - 1)/d; what is not "
    "additive stays.",
    reference="Hastie & Tibshirani (1986), doi:10.1214/ss/1177013604 (additive models); Trefethen (2019), "
    "Approximation Theory and Approximation Practice",
    rate_law="geometric for additive analytic targets, r for additive r-Hölder ones; none for others",
    count_law="1 + d k: a constant and k coefficients for each coordinate",
    dims=None,
    least=lambda dim: dim + 1,
    most=3_000,
    rate=lambda smoothness, dim: math.nan,
    build=build,
    takes_data=True,
)
