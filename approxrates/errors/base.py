"""What the ways of measuring an error share: the result, and a network in d = 1 as its pieces."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from approxrates.approximant import Approximant
from approxrates.arithmetic import evaluate_float64
from approxrates.network import Network

Array = NDArray[np.float64]
Method = Literal["break-points", "branch-and-bound", "grid", "data", "exact-pieces", "exact-grid"]
Ending = Literal["gap", "budget", "resolution"]
UNIT = 2.0**-53
"""Unit round-off of float64."""


@dataclass(frozen=True)
class ApproximationError:
    """Distance of a network to a target.

    Attributes:
        sup: ``(lower, upper)``: the sup-norm distance lies between. ``lower`` is the error at a point (less its
            rounding). ``upper`` is proven if ``certified``, else it contains an estimate of what is between the
            points.
        certified: Whether ``upper`` is a bound rather than an estimate.
        l2: L2 distance on the unit cube, by quadrature; for data the root mean square over the points.
        where: The point where ``lower`` is attained.
        method: ``"break-points"`` (piecewise linear, d = 1), ``"branch-and-bound"``, ``"grid"`` or ``"data"``; for
            weights longer than float64 holds ``"exact-pieces"`` (d = 1) or ``"exact-grid"``.
        pieces: Number of linear pieces of the network on [0, 1], None if it is not piecewise linear or d > 1.
        n_evaluations: Target evaluations used, those shared with other networks included; a bound over a cell is one.
        l2_error: Estimated absolute error of ``l2``; inf if there is no estimate.
        ended_by: What ended the search for the sup: ``"gap"`` (asked for and reached), ``"budget"`` (spent) or
            ``"resolution"`` (float64 tells no more); None for grids and data.
        share: Measure of the part of the cube on which the error is proven to be at most ``upper``: exactly 1 if and
            only if ``certified``. In between, the proof of a network with exact weights leaves intervals out.
    """

    sup: tuple[float, float]
    certified: bool
    l2: float
    where: tuple[float, ...]
    method: Method
    pieces: int | None
    n_evaluations: int
    l2_error: float = math.inf
    ended_by: Ending | None = None
    share: float = math.nan

    def __post_init__(self) -> None:
        if math.isnan(self.share):
            object.__setattr__(self, "share", 1.0 if self.certified else 0.0)

    @property
    def gap(self) -> float:
        """``(upper - lower) / lower``; 0 if both are 0, inf if only the lower bound is."""
        lower, upper = self.sup
        if lower == upper:
            return 0.0
        return (upper - lower) / lower if lower > 0 else math.inf


@dataclass(frozen=True, eq=False)
class Pieces:
    """A piecewise-linear function on [0, 1]: affine between neighbouring points of a mesh.

    Attributes:
        t: The mesh, shape ``(m,)``, strictly increasing from 0 to 1.
        values: Values on the mesh as float64 evaluation gives them, shape ``(m,)``.
        rounding: Proven bound on the distance of these values (and of what lies between) to the exact
            network.
        count: Number of linear pieces, neighbours of equal slope counted as one.
        is_quick: Whether a sharper bound can be had for more time.
    """

    t: Array
    values: Array
    rounding: float
    count: int
    is_quick: bool = False

    def __call__(self, x: Array) -> Array:
        """Values at points of [0, 1], shape of ``x``."""
        result: Array = np.interp(x, self.t, self.values)
        return result


def values_of(function: Network | Approximant, x: Array) -> Array:
    """Values of a network with one output, or of another approximating function, ``(n, dim) -> (n,)``."""
    if isinstance(function, Network):
        if function.is_float:
            return evaluate_float64(function.layers, x)[:, 0]
        return np.asarray(function(x), dtype=np.float64).reshape(len(x))
    return np.asarray(function.evaluate(x), dtype=np.float64).reshape(len(x))


def equidistributed(n: int, dim: int) -> Array:
    """The additive recurrence with powers of the root of ``x^(dim+1) = x + 1`` (Roberts 2018), shape ``(n, dim)``."""
    root = 2.0
    for _ in range(64):
        root = (1.0 + root) ** (1.0 / (dim + 1))
    steps = root ** -np.arange(1.0, dim + 1.0)
    result: Array = (0.5 + np.arange(1, n + 1)[:, None] * steps) % 1.0
    return result
