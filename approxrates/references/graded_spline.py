r"""Linear interpolation on a mesh graded towards a point, for functions with one power singularity.

The knots are ``x0 +- len (i / n)^q`` on each side of the point ``x0``. For ``f = |x - x0|^r`` the cell at the point has
error of order ``n^(-q r)``, and the others, where ``h ~ x^(1 - 1/q) / n``, of order ``h^2 |f''| ~ n^-2 x^(r - 2/q)``.
So the sup error is ``O(n^-min(2, q r))``, and ``q = 2 / r`` is enough for the best rate 2.
"""

from __future__ import annotations

import numpy as np

from approxrates.approximant import Approximant
from approxrates.references.base import Array, Method, check_number
from approxrates.references.linear_spline import piecewise_linear
from approxrates.target import Target


def check(*, point: float, grading: float = 2.0) -> None:
    """Options: the singular ``point`` in [0, 1] and the exponent ``grading`` of the mesh."""
    check_number("point", point, 0.0, 1.0, "point=1/3")
    check_number("grading", grading, 1.0, 16.0, "grading=2")


def build(target: Target, n_params: int, *, point: float, grading: float = 2.0) -> Approximant:
    """The interpolant on the finest graded mesh of ``n_params // 2`` cells."""
    cells = n_params // 2
    t = mesh(cells, float(point), float(grading))
    provenance = {
        "reference": "graded_spline",
        "cells": cells,
        "grading": grading,
        "point": point,
        "counted": {"values": cells + 1, "knots": cells - 1},
        "n_params_by_formula": cells + 3,  # the values, the point and the grading, with knots made from a formula
    }
    return piecewise_linear("graded_spline", t, target(t[:, None]), 2 * cells, provenance)


def mesh(cells: int, point: float, grading: float) -> Array:
    """Knots of ``cells`` cells from 0 to 1, shape ``(cells + 1,)``.

    Each side of the point gets the share of cells that makes the cells at the point equally long.

    Raises:
        ValueError: If two knots fall together in float64.
    """
    left_share = point ** (1 / grading) / (point ** (1 / grading) + (1 - point) ** (1 / grading))
    left = int(np.clip(round(cells * left_share), 0 if point == 0 else 1, cells if point == 1 else cells - 1))
    below = point - point * (np.arange(left, 0, -1) / max(left, 1)) ** grading
    above = point + (1.0 - point) * (np.arange(1, cells - left + 1) / max(cells - left, 1)) ** grading
    t: Array = np.concatenate([below, [point], above])
    t[0], t[-1] = 0.0, 1.0
    if not np.all(np.diff(t) > 0):
        raise ValueError(
            f"graded_spline needs knots that differ in float64. Got grading={grading:g} with {cells} cells, whose "
            f"cells at point={point:g} are too short. Use a smaller grading or n_params."
        )
    return t


METHOD = Method(
    name="graded_spline",
    statement="On a mesh graded with exponent q towards x0 the linear interpolant of |x - x0|^r on N cells has sup "
    "error O(N^-min(2, q r)).",
    reference="Rice (1969), in Approximations with Special Emphasis on Spline Functions; DeVore (1998), Acta Numerica "
    "7, sec. 6.2",
    rate_law="min(2, q r) on |x - x0|^r",
    count_law="2 N: N + 1 values and N - 1 inner knots, which depend on the target through the point and the grading "
    "(N + 3 if the knots are made from their formula: the same rate)",
    dims=(1,),
    least=lambda dim: 4,
    most=1_000_000,
    rate=lambda smoothness, dim, point, grading=2.0: min(2.0, grading * smoothness),
    build=build,
    check=check,
)
