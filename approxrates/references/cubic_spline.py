r"""Cubic spline interpolation on a uniform grid, not-a-knot at the ends; in d = 2, 3 the tensor product.

Not-a-knot ends keep the order four of the interior up to the boundary, with no derivatives asked for.
"""

from __future__ import annotations

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method, root, tensor
from approxrates.target import Target


def build(target: Target, n_params: int) -> Approximant:
    """The interpolant on the finest uniform grid with at most ``n_params`` nodes, from ``make_interp_spline``."""
    from scipy.interpolate import NdBSpline, make_interp_spline

    dim = target.dim
    per_axis = root(n_params, dim)
    nodes = np.arange(per_axis) / (per_axis - 1)
    provenance = {"reference": "cubic_spline", "cells": per_axis - 1, "counted": {"coefficients": per_axis**dim}}
    coefficients = target(tensor(nodes, dim)).reshape((per_axis,) * dim)
    knots = np.zeros(0)
    for axis in range(dim):  # the tensor spline is made axis by axis: each is a banded system
        line = make_interp_spline(nodes, np.moveaxis(coefficients, axis, 0), k=3)
        coefficients, knots = np.moveaxis(line.c, 0, axis), line.t
    spline = NdBSpline((knots,) * dim, np.ascontiguousarray(coefficients), 3)

    def evaluate(x: Array) -> Array:
        result: Array = np.asarray(spline(x), dtype=np.float64)
        return result

    return Approximant("cubic_spline", dim, per_axis**dim, evaluate, provenance=provenance)


METHOD = Method(
    name="cubic_spline",
    statement="The cubic spline interpolant of an r-Hölder function on N^d uniform cells has sup error "
    "O(N^-min(r, 4)).",
    reference="de Boor (1978), A Practical Guide to Splines, ch. IV and V; Hall & Meyer (1976), "
    "doi:10.1016/0021-9045(76)90040-X (the constants)",
    rate_law="min(r, 4) / d",
    count_law="(N + 1)^d coefficients; the uniform knots are known from N",
    dims=(1, 2, 3),
    least=lambda dim: int(4**dim),
    most=1_000_000,
    rate=lambda smoothness, dim: min(smoothness, 4.0) / dim,
    build=build,
)
