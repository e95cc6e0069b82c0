"""The smallest value at which a condition begins to hold, for many cases at once: coarse scan, then bisection.

No theorem says that a threshold of training dynamics is met only once: a condition may hold at some value, fail above
it, and hold again. Bisection between two ends then finds *a* crossing. Hence the scan, from below and in coarse steps:
what is found is the first crossing, unless the condition holds only in between two neighbouring points of the scan.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

Holds = Callable[[NDArray[np.intp], NDArray[np.float64]], NDArray[np.bool_]]
"""``holds(cases, values)``: whether the condition holds for each of these cases ``(m,)`` at its value ``(m,)``."""


@dataclasses.dataclass(frozen=True)
class Scan:
    """Values to try: ``low + resolution * k`` for ``k = 0, 1, ..., n_steps``, every ``stride``-th of them at first.

    Attributes:
        low: Smallest value.
        resolution: Distance of the finest grid.
        n_steps: Steps of the finest grid up to the largest value; a multiple of ``stride``.
        stride: Fine steps in one coarse step.

    Raises:
        ValueError: If a number is out of range.
    """

    low: float
    resolution: float
    n_steps: int
    stride: int

    def __post_init__(self) -> None:
        if not 0.0 < self.resolution < np.inf:
            raise ValueError(f"resolution of a scan must be positive. Got resolution={self.resolution}.")
        if self.stride < 1 or self.n_steps < self.stride or self.n_steps % self.stride:
            raise ValueError(
                "n_steps of a scan must be a positive multiple of its stride. "
                f"Got n_steps={self.n_steps}, stride={self.stride}."
            )

    @property
    def high(self) -> float:
        """Largest value."""
        return self.value(self.n_steps)

    def value(self, step: int) -> float:
        """The value that lies so many fine steps above the lowest."""
        return float(self.low + self.resolution * step)

    def values(self, steps: NDArray[np.int64]) -> NDArray[np.float64]:
        """:meth:`value` of many."""
        return np.asarray(self.low + self.resolution * steps, dtype=np.float64)


@dataclasses.dataclass(frozen=True)
class Crossings:
    """Where a condition begins to hold, to one step of the finest grid; shapes ``(n,)``.

    Attributes:
        below: Largest value tried below the crossing; NaN if the condition held at the lowest value already.
        above: Smallest value at which it was seen to hold; NaN if it held nowhere in the scan.
    """

    below: NDArray[np.float64]
    above: NDArray[np.float64]


def first_crossings(holds: Holds, n: int, scan: Scan) -> Crossings:
    """Where a condition begins to hold for each of ``n`` cases.

    Args:
        holds: The condition; called once for each point of the coarse scan with the cases that have not met it yet, and
            once for each bisection with those that have.
        n: Number of cases.
        scan: Values to try.

    Example:
        >>> roots = np.array([0.2, 0.61, 9.0])
        >>> found = first_crossings(lambda i, x: x >= roots[i], 3, Scan(0.0, 0.1, 10, 5))
        >>> found.above.round(3).tolist()
        [0.2, 0.7, nan]
    """
    upper = _coarse(holds, n, scan)
    lower = np.where(upper < 0, scan.n_steps, upper - scan.stride)
    lower[upper == 0] = -1
    while len(open_ := np.flatnonzero((upper >= 0) & (lower >= 0) & (upper - lower > 1))):
        middle = (lower[open_] + upper[open_]) // 2
        held = np.asarray(holds(open_, scan.values(middle)), dtype=bool)
        upper[open_[held]] = middle[held]
        lower[open_[~held]] = middle[~held]
    return Crossings(np.where(lower < 0, np.nan, scan.values(lower)), np.where(upper < 0, np.nan, scan.values(upper)))


def _coarse(holds: Holds, n: int, scan: Scan) -> NDArray[np.int64]:
    """The first step of the coarse scan at which each case meets the condition, -1 where none does."""
    found = np.full(n, -1, dtype=np.int64)
    for step in range(0, scan.n_steps + 1, scan.stride):
        waiting = np.flatnonzero(found < 0)
        if not len(waiting):
            break
        held = np.asarray(holds(waiting, np.full(len(waiting), scan.value(step))), dtype=bool)
        found[waiting[held]] = step
    return found
