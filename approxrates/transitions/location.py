"""Where along a sweep something happens, as a value with an interval: grid bracket and spread over seeds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Located:
    """A position along a sweep.

    Attributes:
        value: Best guess.
        low: Lower end of the interval.
        high: Upper end; infinite, like ``-low``, where the sweep ended before the thing happened.
    """

    value: float
    low: float
    high: float

    @property
    def found(self) -> bool:
        """Whether both ends are finite."""
        return bool(np.isfinite(self.low) and np.isfinite(self.high))

    def distance(self, other: Located) -> float:
        """Gap between the two intervals, 0 if they overlap; infinite if either was not found."""
        if not (self.found and other.found):
            return float("inf")
        return max(0.0, self.low - other.high, other.low - self.high)


NOWHERE = Located(float("nan"), float("-inf"), float("inf"))


def as_series(control: ArrayLike, values: ArrayLike) -> tuple[Floats, Floats]:
    """A sweep in ascending order of its control, points that are not finite left out.

    Raises:
        ValueError: If the two are not equally many, fewer than two are finite, or a control comes twice.
    """
    x, y = np.asarray(control, dtype=np.float64), np.asarray(values, dtype=np.float64)
    if x.ndim != 1 or x.shape != y.shape:
        raise ValueError(f"control and values must have one shape (n,). Got {x.shape} and {y.shape}.")
    kept = np.isfinite(x) & np.isfinite(y)
    x, y = x[kept], y[kept]
    order = np.argsort(x, kind="stable")
    x, y = x[order], y[order]
    if len(x) < 2 or np.any(np.diff(x) <= 0):
        raise ValueError(f"a sweep needs at least two finite points, each control once. Got {len(x)} finite points.")
    return x, y


def vanishing(control: ArrayLike, values: ArrayLike, floor: float) -> Located:
    """Where an order parameter falls to ``floor`` for good: between its last point above and the next.

    Args:
        control: Shape ``(n,)``, any order.
        values: Order parameter, shape ``(n,)``.
        floor: Size up to which it counts as zero.

    Returns:
        The middle of the bracket. If it never falls: from the last point to infinity. If it was never above: from minus
        infinity to the first point.
    """
    x, y = as_series(control, values)
    above = np.flatnonzero(np.abs(y) > floor)
    if not len(above):
        return Located(float(x[0]), float("-inf"), float(x[0]))
    last = int(above[-1])
    if last == len(x) - 1:
        return Located(float(x[-1]), float(x[-1]), float("inf"))
    return Located(float(x[last] + x[last + 1]) / 2, float(x[last]), float(x[last + 1]))


def crossing(control: ArrayLike, values: ArrayLike, level: float = 0.0) -> Located:
    """Where a series first crosses a level: linear interpolation within the bracket; :data:`NOWHERE` if it does not.

    Args:
        control: Shape ``(n,)``, any order.
        values: Shape ``(n,)``.
        level: The level.
    """
    x, y = as_series(control, values)
    y = y - level
    changes = np.flatnonzero((y[:-1] < 0) != (y[1:] < 0))
    if not len(changes):
        return NOWHERE
    i = int(changes[0])
    value = x[i] + (x[i + 1] - x[i]) * y[i] / (y[i] - y[i + 1])
    return Located(float(value), float(x[i]), float(x[i + 1]))


def at_position(control: ArrayLike, values: ArrayLike, position: float) -> float:
    """Value of a series at a position, by linear interpolation; NaN outside its range."""
    x, y = as_series(control, values)
    return float(np.interp(position, x, y, left=np.nan, right=np.nan))


def combined(parts: Sequence[Located]) -> Located:
    """One position from several seeds: the median, within the hull of all brackets.

    The hull contains both what the grid leaves open and what seeds disagree about; it does not shrink with their
    number.

    Raises:
        ValueError: If there are none.
    """
    if not parts:
        raise ValueError("combined needs at least one position. Got none.")
    return Located(
        float(np.median([part.value for part in parts])),
        min(part.low for part in parts),
        max(part.high for part in parts),
    )
