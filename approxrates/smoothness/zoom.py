"""Local maxima of differences: a kink between the nodes of a grid is found by ever finer offsets around the best place.

On a grid of spacing s, the largest difference at step h falls short by about ``(s / h)^r`` of itself where the only
rough point is between two nodes: for small r that spoils all steps, the fine ones most.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from approxrates.smoothness.base import Floats
from approxrates.smoothness.sampled import Sampled

_HALF = 8  # offsets to each side of a round; the next round looks between two of them
_RESOLUTION = 2.0**-40  # of a spacing: float64 numbers of the cube are no closer
_SAME = 0.05  # spacings between places that count as one
_COMPARED = 3  # steps that must agree on a rough point


@dataclass(frozen=True)
class Peaks:
    """Where the largest differences start, one row per step.

    Attributes:
        strides: Steps in spacings, shape ``(k,)``.
        axes: Axis of each difference, shape ``(k,)``.
        lines: Number of the segment, shape ``(k, 1)``, or ``(k, 0)`` on the cube.
        places: In spacings, shape ``(k, axes)``.
        last: Largest place along each axis.
    """

    strides: Floats
    axes: NDArray[np.int64]
    lines: NDArray[np.int64]
    places: Floats
    last: Floats

    def fitting(self, used: NDArray[np.bool_], order: int) -> NDArray[np.bool_]:
        """Steps at which the difference that is largest at the finest steps fits into the cube.

        Where a lone point p is the rough one, the largest differences start at ``p - q h`` with one q. Near a border
        that does not fit for coarse steps: another q is then the best, with another constant, and the slope over both
        would be wrong. If the finest steps agree on no such p and q, all steps fit.

        Args:
            used: The steps of the regression, descending, shape ``(k,)``.
            order: Order of the differences.
        """
        everywhere = np.ones(len(used), dtype=bool)
        fine = np.flatnonzero(used)[-_COMPARED:]
        if len(fine) < _COMPARED or np.ptp(self.axes[fine]) or (self.lines[fine] != self.lines[fine[0]]).any():
            return everywhere
        axis, strides, starts = self.axes[fine[0]], self.strides[fine], self.places[fine].copy()
        q = -(starts[0, axis] - starts[-1, axis]) / (strides[0] - strides[-1])
        starts[:, axis] += q * strides
        if not 0.0 <= q <= order or np.ptp(starts, axis=0).max() > _SAME:
            return everywhere
        p = starts[0, axis]
        below, above = p - q * self.strides, p + (order - q) * self.strides
        return np.asarray((below >= -_SAME) & (above <= self.last[axis] + _SAME))


def zoomed(
    evaluate: Callable[[Floats], Floats],
    field: Sampled,
    order: int,
    strides: list[int],
    peaks: list[list[tuple[int, ...]]],
) -> tuple[Floats, Peaks]:
    """The largest difference near the best place of the grid, at every step.

    Args:
        evaluate: The function, ``(n, d) -> (n,)``.
        field: Its grid, with ``points``.
        order: Order of the differences.
        strides: Steps in spacings, k of them.
        peaks: For each step and each axis of the grid the index of the largest difference in ``field.values``.

    Returns:
        Sizes, shape ``(k,)``, never below those of the grid but for rounding; and where the differences start.
    """
    assert field.points is not None, "data have no values between their points"
    wide = len(field.axes)
    indices = np.array(peaks, dtype=np.float64).reshape(len(strides) * wide, -1)
    line, place = indices[:, : indices.shape[1] - wide].astype(np.int64), indices[:, -wide:]
    jump = np.repeat(np.array(strides, dtype=np.float64), wide)[:, None] * np.tile(np.eye(wide), (len(strides), 1))
    last = np.array([field.values.shape[a] for a in field.axes]) - 1.0 - order * jump
    weights = np.array([(-1.0) ** (order - k) * math.comb(order, k) for k in range(order + 1)])
    moves = np.arange(-_HALF, _HALF + 1) / _HALF
    best, window = np.zeros(len(place)), 1.0
    while window > _RESOLUTION:
        for axis in range(wide):
            offsets = window * moves[:, None] * np.eye(wide)[axis]
            trial = np.clip(place[:, None, :] + offsets, 0.0, last[:, None, :])
            nodes = trial[:, :, None, :] + np.arange(order + 1)[:, None] * jump[:, None, None, :]
            values = evaluate(field.points(line, nodes)).reshape(nodes.shape[:-1])
            changes = np.abs(values @ weights)
            found = np.argmax(changes, axis=1)
            place, best = trial[np.arange(len(place)), found], changes[np.arange(len(place)), found]
        window /= _HALF
    sizes = best.reshape(len(strides), wide)
    axes = np.argmax(sizes, axis=1)
    rows = np.arange(len(strides)) * wide + axes
    ends = np.array([field.values.shape[a] for a in field.axes]) - 1.0
    return sizes.max(axis=1), Peaks(np.array(strides, dtype=np.float64), axes, line[rows], place[rows], ends)
