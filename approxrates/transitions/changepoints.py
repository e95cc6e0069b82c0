"""Change points of any series along a sweep or a training, each with the interval that the data leave."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from approxrates.transitions.location import NOWHERE, Located, as_series

Floats = NDArray[np.float64]

PROFILE = 3.84
"""Two log-likelihood units times two: the 95 % quantile of chi squared with one degree of freedom."""
PIECE = 3
"""Points of a piece at least."""


def largest_step(control: ArrayLike, values: ArrayLike) -> Located:
    """The step of the grid over which a series changes most: the bracket of a discontinuity, if there is one."""
    x, y = as_series(control, values)
    i = int(np.argmax(np.abs(np.diff(y))))
    return Located(float(x[i] + x[i + 1]) / 2, float(x[i]), float(x[i + 1]))


def two_lines(control: ArrayLike, values: ArrayLike) -> Located:
    """The best split of a series into two straight pieces, which need not meet; :data:`NOWHERE` if one line is as good.

    Every split is tried; the interval is the set of splits whose residual variance the data cannot tell from the best
    one by a likelihood ratio at 95 %. A second line must pay for its two parameters, its variance and the choice of the
    split: four times ``log n`` in twice the log-likelihood.

    Args:
        control: Shape ``(n,)``, at least ``2 * PIECE`` points; any order.
        values: Shape ``(n,)``.
    """
    x, y = as_series(control, values)
    n = len(x)
    if n < 2 * PIECE:
        return NOWHERE
    scale = float(np.sum((y - y.mean()) ** 2))
    least = 1e-24 * scale + 1e-300  # of two exact lines every rounding error would be a likelihood of its own
    splits = np.arange(PIECE, n - PIECE + 1)
    costs = np.array([_residual(x[:k], y[:k]) + _residual(x[k:], y[k:]) for k in splits]) + least
    best = int(np.argmin(costs))
    if n * np.log((_residual(x, y) + least) / costs[best]) < 4 * np.log(n):
        return NOWHERE
    good = splits[n * np.log(costs / costs[best]) <= PROFILE]
    k = int(splits[best])
    return Located(float(x[k - 1] + x[k]) / 2, float(x[good.min() - 1]), float(x[good.max()]))


def nearest_to_zero(control: ArrayLike, values: ArrayLike) -> Located:
    """Where a series crosses zero, or else its smallest absolute value: that point with its neighbours.

    For stability margins, which fall to zero on a branch and are positive again on the next one.
    """
    x, y = as_series(control, values)
    i = int(np.argmin(np.abs(y)))
    return Located(float(x[i]), float(x[max(i - 1, 0)]), float(x[min(i + 1, len(x) - 1)]))


def compressed(values: ArrayLike) -> Floats:
    """A series over many decades on the scale of ``asinh`` in units of its median size: signs stay."""
    y = np.asarray(values, dtype=np.float64)
    sizes = np.abs(y[np.isfinite(y) & (y != 0)])
    found: Floats = np.arcsinh(y / np.median(sizes)) if len(sizes) else y
    return found


@dataclass(frozen=True)
class Agreement:
    """How well a detector found a point.

    Attributes:
        detector: What was looked at.
        located: Where it sees a change.
        distance: Detected position less the point's, in steps of the grid; NaN if nothing was found.
        agrees: Whether the two intervals are at most one step apart.
    """

    detector: str
    located: Located
    distance: float
    agrees: bool


def agreement(detector: str, located: Located, reference: Located, step: float) -> Agreement:
    """Compares a detector's position with that of the transition.

    Args:
        detector: Name for tables.
        located: Where the detector sees a change.
        reference: Where the transition is.
        step: Step of the grid.
    """
    return Agreement(
        detector, located, (located.value - reference.value) / step, located.distance(reference) <= 1.001 * step
    )


def _residual(x: Floats, y: Floats) -> float:
    """Sum of squares about the best straight line."""
    centred, value = x - x.mean(), y - y.mean()
    spread = float(centred @ centred)
    slope = float(centred @ value) / spread if spread > 0 else 0.0
    rest = value - slope * centred
    return float(rest @ rest)
