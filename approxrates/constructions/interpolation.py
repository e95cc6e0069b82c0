r"""Piecewise-linear interpolation on a uniform grid as a ReLU network: the continuous phase, with no training.

On ``N`` cells per axis let ``u_i = N x_i - k_i`` for a knot ``k``. The functions ``T_k(x) = relu(min(u_1, ..., u_d))``
are the truncated powers (cone splines) of the directions ``e_1, ..., e_d, e_1 + ... + e_d``, and the nodal hat of the
Kuhn--Freudenthal triangulation is their mixed difference ``hat = D_{e_1} ... D_{e_d} D_{e_1 + ... + e_d} T`` (de Boor,
Höllig & Riemenschneider 1993, Box Splines, ch. I: the linear box spline of the three-direction mesh and its analogue
in d = 3). So the interpolant is ``sum_k c_k T_k`` with ``c`` the same difference of the nodal values: one output
weight for each knot.

The minimum is taken by ReLU alone: with ``E_0 = 0`` and ``E_s = relu(u_{s+1} - u_s + E_{s-1})`` it is
``T = relu(u_d - E_{d-1})``. ``E_s`` depends only on ``k_2 - k_1, ..., k_{s+1} - k_s`` and is shared by all knots of a
diagonal.

Error. In a cell of side ``h = 1/N`` let ``lambda_i`` be the barycentric coordinates of x and ``e_i = v_i - x`` the ways
to the vertices: ``sum lambda_i e_i = 0``, and ``sum lambda_i |e_i|^2`` is at most ``d h^2 / 4``, its value for
distances from the centre of the cube (the mean minimises it). For ``r <= 1`` and Hölder constant C the error is at most
``C sum lambda_i |e_i|^r <= C (sqrt(d) h / 2)^r`` by Jensen's inequality. For ``1 < r <= 2`` linear functions, so the
Taylor polynomial at x, are reproduced; ``f(v_i) - f(x) - e_i grad f(x)`` is at most ``C sqrt(d) |e_i|^r / r`` if each
first derivative has Hölder constant C, and Jensen again gives ``C sqrt(d) / r (sqrt(d) h / 2)^r``: ``C h^2 / 8`` for
r = 2 and d = 1.

Float arithmetic. Input weights are ``N`` and biases whole numbers, so the knots are exactly ``k / N``. Nodal values
are rounded to a common quantum, chosen so that every difference is a float64 number: in rational arithmetic the
network interpolates the rounded values exactly, and they are off by at most 2^-52 of the largest output weight (or
2^-58 of the largest value, if that is more). Evaluation in float64 adds the rounding of the sum ``sum_k c_k T_k(x)``:
where second differences are small the terms are too (for x^2 at most 4e-15 up to N = 256 at any point, and nothing at
the knots and midpoints of a dyadic grid); for rough targets about ``2^-53 sum_k |c_k| T_k(x)``, in d = 1 of order
``2^-53 N^(2 - r)``, always far below the interpolation error ``N^-r``.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from approxrates.constructions.base import Theorem
from approxrates.layers import IDENTITY, Layer
from approxrates.network import Network
from approxrates.target import Target

Array = NDArray[np.float64]
_MAX_DENSE = 50_000_000
"""Scalars of the largest dense matrix that is built (400 MB)."""


def build(target: Target, *, n_params: int | None = None, cells: int | None = None) -> Network:
    """The interpolant on the finest uniform grid that fits.

    In d = 1: ``N`` cells take ``N`` input weights, ``N - 1`` biases (the first knot is 0), ``N`` output weights, and
    one output bias ``f(0)`` unless that is zero: ``3N - 1`` or ``3N`` parameters. In d > 1: ``(N + 1)^d`` knots with
    at most 4 parameters each, and ``O(N^{d-1})`` shared units.

    Args:
        target: What is interpolated; ``dim`` 1, 2 or 3.
        n_params: Upper limit on non-zero parameters; the largest grid that fits is taken.
        cells: Cells per axis, instead of a limit.

    Raises:
        ValueError: If neither or too small a number is given, both do not fit together, the dimension is above 3, or
            the target is known at data points only.
    """
    if target.dim > 3:
        raise ValueError(f"interpolation needs dim 1, 2 or 3. Got dim={target.dim}. Use a target of lower dimension.")
    if target.samples is not None:
        raise ValueError(
            f"interpolation needs values on a grid. Got {target.name}, known at data points only. "
            "Use Target.from_callable."
        )
    origin = float(target(np.zeros((1, target.dim)))[0])
    n_cells = _choose_cells(n_params, cells, target.dim, origin)
    values = target(_nodes(n_cells, target.dim)).reshape((n_cells + 1,) * target.dim)
    layers = _line(values) if target.dim == 1 else _simplices(values)
    provenance = {
        "construction": "interpolation",
        "cells": n_cells,
        "dim": target.dim,
        "zero_at_origin": origin == 0.0,
        "n_params": n_params,
        "target": dict(target.parameters),
    }
    largest = max(float(np.abs(layers[-1].weight).max()), 2.0**-6 * float(np.abs(values).max()))
    bound = _bound(target, n_cells, largest)
    return Network(layers, provenance if bound is None else {**provenance, "bound": bound})


def constant(target: Target) -> float:
    """``c`` with ``error_sup <= c cells^-min(r, 2)``, by the Hölder radius: see the text of the module.

    Raises:
        ValueError: If the smoothness is above 2, or the radius is not stated: then nothing is proven.
    """
    r, d, radius = target.regularity.smoothness, target.dim, target.regularity.radius
    if r > 2 or radius is None:
        raise ValueError(
            f"the constant of interpolation needs smoothness at most 2 and a Hölder radius. Got smoothness={r:g}, "
            f"radius={radius}. State them: ar.Regularity(smoothness=1.5, dim=1, radius=3.0)."
        )
    first = 1.0 if r <= 1 else math.sqrt(d) / r
    return 1.000001 * radius * first * math.pow(math.sqrt(d) / 2, r)


def _bound(target: Target, n_cells: int, largest: float) -> float | None:
    """Bound on the sup error: the law, the rounding of nodal values, and that of the target where it is known."""
    if target.regularity.smoothness > 2 or target.regularity.radius is None:
        return None
    law = constant(target) * math.pow(n_cells, -target.regularity.smoothness)
    return law + math.ldexp(largest, -52) + (target.evaluation_error or 0.0)


def count(n_cells: int, dim: int, *, zero_at_origin: bool = False) -> int:
    """Number of parameters of the interpolant on ``n_cells`` cells per axis.

    For ``dim > 1`` stage ``s`` carries ``dim - s`` inputs on (one weight each) and has one unit per diagonal, with two
    or (from the second stage on) three weights and a bias that is zero on as many diagonals as the stage before has;
    then each knot takes two weights in, a bias unless ``k_dim = 0``, and one weight out.
    """
    if dim == 1:
        return 3 * n_cells - (1 if zero_at_origin else 0)
    total = 0
    for stage in range(1, dim):
        weights = 2 if stage == 1 else 3
        total += dim - stage + (weights + 1) * _diagonals(n_cells, stage) - _diagonals(n_cells, stage - 1)
    return total + int(4 * (n_cells + 1) ** dim - (n_cells + 1) ** (dim - 1))


def _diagonals(n_cells: int, stage: int) -> int:
    """Number of diagonals of a grid of ``stage + 1`` axes with ``n_cells + 1`` knots each."""
    return int((n_cells + 1) ** (stage + 1) - n_cells ** (stage + 1))


def _choose_cells(n_params: int | None, cells: int | None, dim: int, origin: float) -> int:
    """Cells per axis from a limit on parameters, or as given."""
    for value, what in ((n_params, "n_params"), (cells, "cells")):
        if value is not None and (isinstance(value, bool) or not isinstance(value, (int, np.integer))):
            raise TypeError(f"{what} must be an integer. Got {value!r}. Write e.g. {what}=500.")
    if n_params is None and cells is None:
        raise ValueError("interpolation needs n_params or cells. Got neither. Write e.g. n_params=500.")
    if cells is not None and cells < 1:
        raise ValueError(f"cells must be at least 1. Got cells={cells}. Write e.g. cells=64.")
    least = count(1 if cells is None else int(cells), dim, zero_at_origin=origin == 0.0)
    if n_params is not None and n_params < least:
        raise ValueError(
            f"n_params must be at least {least} for interpolation on {cells or 1} cell(s) per axis in dim={dim}. "
            f"Got n_params={n_params}. Use n_params={least} or more."
        )
    chosen = _largest_fit(int(n_params or 0), dim, origin == 0.0) if cells is None else int(cells)
    if dim > 1 and _dense_scalars(chosen, dim) > _MAX_DENSE:
        raise ValueError(
            f"interpolation on {chosen} cells per axis in dim={dim} must hold at most {_MAX_DENSE} dense scalars. "
            f"Got {_dense_scalars(chosen, dim)}. Use fewer n_params."
        )
    return chosen


def _dense_scalars(n_cells: int, dim: int) -> int:
    """Size of the largest dense matrix: knots times the units of the layer before."""
    return int((n_cells + 1) ** dim) * (_diagonals(n_cells, dim - 1) + 1)


def _largest_fit(n_params: int, dim: int, zero_at_origin: bool) -> int:
    """The largest number of cells whose interpolant has at most ``n_params`` parameters."""
    if dim == 1:
        return (n_params + (1 if zero_at_origin else 0)) // 3
    n_cells: int = max(1, math.floor((n_params / 4) ** (1 / dim)))  # each knot takes about four
    while n_cells > 1 and count(n_cells, dim) > n_params:
        n_cells -= 1
    while count(n_cells + 1, dim) <= n_params:
        n_cells += 1
    return n_cells


def _nodes(n_cells: int, dim: int) -> Array:
    """The knots of the grid, shape ``((n_cells + 1)**dim, dim)``, first axis slowest."""
    axis = np.arange(n_cells + 1) / n_cells
    return np.stack(np.meshgrid(*[axis] * dim, indexing="ij"), axis=-1).reshape(-1, dim)


def _quantised(values: Array, differences: Array) -> tuple[NDArray[np.int64], int]:
    """Nodal values as whole multiples of ``2**exponent``, so coarse that all differences fit into a float64 number."""
    top, largest = float(np.abs(values).max()), float(np.abs(differences).max())
    exponent = max(math.frexp(top)[1] - 58, math.frexp(largest)[1] - 52)
    return np.rint(np.ldexp(values, -exponent)).astype(np.int64), exponent


def _mixed_difference(values: NDArray[Any], dim: int) -> NDArray[Any]:
    """``(1 - S_1) ... (1 - S_dim)(1 - S_1 ... S_dim)`` of values that are zero off the grid, ``S_i`` the shifts."""
    for axis in range(dim):
        values = np.diff(values, axis=axis, prepend=0)
    moved = np.zeros_like(values)
    moved[(slice(1, None),) * dim] = values[(slice(None, -1),) * dim]
    result: NDArray[Any] = values - moved
    return result


def _line(values: Array) -> tuple[Layer, ...]:
    """One hidden layer: a hinge at every knot but the last, weighted by the change of slope there."""

    def changes(nodal: NDArray[Any]) -> NDArray[Any]:
        return np.diff(np.diff(nodal), prepend=0)

    n_cells = len(values) - 1
    whole, exponent = _quantised(values, changes(values))
    knots = np.arange(n_cells, dtype=np.float64)
    hidden = Layer(np.full((n_cells, 1), float(n_cells)), -knots, ("relu",) * n_cells, bias_mask=knots > 0)
    origin = np.ldexp(whole[:1].astype(np.float64), exponent)
    weights = np.ldexp(changes(whole).astype(np.float64), exponent)
    return hidden, Layer(weights[None, :], origin if values[0] else None, (IDENTITY,))


def _simplices(values: Array) -> tuple[Layer, ...]:
    """Two or three hidden layers: shared diagonals, then one unit per knot."""
    dim, n_cells = values.ndim, len(values) - 1
    knots = np.stack(np.meshgrid(*[np.arange(-1, n_cells)] * dim, indexing="ij"), axis=-1).reshape(-1, dim)
    layers: list[Layer] = []
    before: NDArray[np.intp] = np.zeros(len(knots), dtype=np.intp)
    n_before = 0
    for stage in range(1, dim):
        steps, first, diagonal = np.unique(
            np.diff(knots[:, : stage + 1], axis=1), axis=0, return_index=True, return_inverse=True
        )
        diagonal = diagonal.reshape(-1)
        carried = (
            dim - stage
        )  # the inputs of this layer are x_stage, ..., x_dim and then the diagonals of the stage before
        weight = np.zeros((carried + len(steps), carried + 1 + n_before))
        offset = weight.shape[1] - n_before
        weight[np.arange(carried), np.arange(1, 1 + carried)] = 1.0
        units = carried + np.arange(len(steps))
        weight[units, 0], weight[units, 1] = -float(n_cells), float(n_cells)
        if n_before:
            weight[units, offset + before[first]] = 1.0
        bias = np.concatenate([np.zeros(carried), -steps[:, -1].astype(np.float64)])
        layers.append(_masked(weight, bias, "relu"))
        before, n_before = diagonal, len(steps)
    weight = np.zeros((len(knots), 1 + n_before))
    weight[:, 0] = n_cells
    weight[np.arange(len(knots)), 1 + before] = -1.0
    layers.append(_masked(weight, -knots[:, -1].astype(np.float64), "relu"))
    whole, exponent = _quantised(values, _mixed_difference(values, dim))
    out = np.ldexp(_mixed_difference(whole, dim).astype(np.float64), exponent)
    return *layers, Layer(out.reshape(1, -1), None, (IDENTITY,))


def _masked(weight: Array, bias: Array, code: str) -> Layer:
    """A layer whose zeros are structural."""
    return Layer(weight, bias, (code,) * len(weight), weight != 0.0, bias != 0.0)


THEOREM = Theorem(
    name="interpolation",
    statement="The linear interpolant of an r-Hölder function on N^d cells is a ReLU network with O(N^d) weights "
    "and O(1) depth, with sup error O(N^-min(r, 2)).",
    reference="Yarotsky & Zhevnerchuk (2020), arXiv:1906.09477 (continuous phase; recalled); de Boor, Höllig & "
    "Riemenschneider (1993), Box Splines (the truncated powers)",
    rate_law="error_sup ~ n_params^(-min(r, 2) / d)",
    count_law="d = 1: 3 N - 1 if f(0) = 0, else 3 N; d > 1: about 4 (N + 1)^d",
    dims=(1, 2, 3),
    rate=lambda smoothness, dim: min(smoothness, 2.0) / dim,
    build=build,
    count=lambda settings: count(
        int(settings["cells"]), int(settings["dim"]), zero_at_origin=bool(settings["zero_at_origin"])
    ),
    depth=lambda settings: int(settings["dim"]),
    size=lambda settings: float(settings["cells"]),
    constant=constant,
    order=2.0,
)
