r"""Polynomial interpolation at Chebyshev points, mapped to [0, 1]; in d = 2, 3 the tensor product.

For a function analytic in the Bernstein ellipse of parameter ``rho`` the error falls like ``rho^-n``: geometric, faster
than any power. For the Runge function ``1 / (1 + 25 x^2)`` on [-1, 1] it is ``rho = (1 + sqrt 26) / 5``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method, root, tensor
from approxrates.target import Target

_CHUNK = 4096


def build(target: Target, n_params: int) -> Approximant:
    """The interpolant with at most ``n_params`` coefficients: a discrete cosine transform of values at the zeros."""
    from scipy.fft import dctn

    dim = target.dim
    n = root(n_params, dim)
    # sin, not cos: so the zeros are symmetric about 1/2 in float64.
    zeros = 0.5 + 0.5 * np.sin(np.pi * (n - 1 - 2 * np.arange(n)) / (2 * n))
    coefficients = dctn(target(tensor(zeros, dim)).reshape((n,) * dim), type=2) / n**dim
    for axis in range(dim):
        np.moveaxis(coefficients, axis, 0)[0] *= 0.5
    provenance = {"reference": "chebyshev", "degree": n - 1, "counted": {"coefficients": n**dim}}

    def evaluate(x: Array) -> Array:
        parts = [_values(x[i : i + _CHUNK], coefficients) for i in range(0, len(x), _CHUNK)]
        result: Array = np.concatenate(parts) if parts else np.zeros(0)
        return result

    return Approximant("chebyshev", dim, n**dim, evaluate, provenance=provenance)


def _values(x: Array, coefficients: Array) -> Array:
    """Values of a tensor Chebyshev series by Clenshaw's recurrence, one coordinate after the other."""
    from numpy.polynomial.chebyshev import chebval

    found: Any = chebval(2.0 * x[:, 0] - 1.0, coefficients)
    for coordinate in range(1, x.shape[1]):
        found = chebval(2.0 * x[:, coordinate] - 1.0, found, tensor=False)
    result: Array = found
    return result


METHOD = Method(
    name="chebyshev",
    statement="The interpolant in n Chebyshev points is within a factor 2 + (2/pi) log n of the best polynomial of its "
    "degree: geometric for analytic functions, O(n^-r log n) for r-Hölder ones.",
    reference="Trefethen (2019), Approximation Theory and Approximation Practice, thms 7.2, 8.2 and 15.2",
    rate_law="geometric for analytic functions; r / d up to logarithms for r-Hölder ones",
    count_law="n^d coefficients",
    dims=(1, 2, 3),
    least=lambda dim: 1,
    most=100_000,
    rate=lambda smoothness, dim: math.inf if math.isinf(smoothness) else smoothness / dim,
    build=build,
)
