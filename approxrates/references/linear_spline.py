r"""Linear interpolation on a uniform grid; in d = 2, 3 multilinear on the tensor grid.

Error of the linear interpolant of ``f`` in ``C^2[0, 1]`` on ``N`` cells: at most ``max|f''| / (8 N^2)``. For a Hölder
function of smoothness ``r <= 2``: ``O(N^-r)``.
"""

from __future__ import annotations

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method, root, tensor
from approxrates.target import Target


def build(target: Target, n_params: int) -> Approximant:
    """The interpolant on the finest uniform grid with at most ``n_params`` nodes."""
    dim = target.dim
    per_axis = root(n_params, dim)
    nodes = np.arange(per_axis) / (per_axis - 1)
    values = target(tensor(nodes, dim))
    provenance = {"reference": "linear_spline", "cells": per_axis - 1, "counted": {"values": per_axis**dim}}
    if dim == 1:
        return piecewise_linear("linear_spline", nodes, values, per_axis, provenance)
    from scipy.interpolate import RegularGridInterpolator

    interpolant = RegularGridInterpolator((nodes,) * dim, values.reshape((per_axis,) * dim), method="linear")
    return Approximant("linear_spline", dim, per_axis**dim, interpolant, provenance=provenance)


def piecewise_linear(name: str, t: Array, values: Array, n_params: int, provenance: dict[str, object]) -> Approximant:
    """The piecewise-linear function on [0, 1] with given values at given points."""

    def evaluate(x: Array) -> Array:
        result: Array = np.interp(x[:, 0], t, values)
        return result

    return Approximant(name, 1, n_params, evaluate, linear_pieces=(t, values), provenance=provenance)


METHOD = Method(
    name="linear_spline",
    statement="The (multi)linear interpolant of an r-Hölder function on N^d cells has sup error O(N^-min(r, 2)).",
    reference="de Boor (1978), A Practical Guide to Splines, ch. III",
    rate_law="min(r, 2) / d",
    count_law="(N + 1)^d nodal values; the uniform grid is known from N",
    dims=(1, 2, 3),
    least=lambda dim: int(2**dim),
    most=10_000_000,
    rate=lambda smoothness, dim: min(smoothness, 2.0) / dim,
    build=build,
)
